#pragma once

// A world's contents as columns in memory: what tools are compiled against, what the checker and the solver read, and what
// `gauntlet env dump` writes as SQLite. Immutable once built, so any number of threads may read one.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/task.h"

namespace gauntlet {

enum class ColumnType { Text, Integer, Number, Date, Boolean, Reference };

/// One value. Integer, Number, Date (days since 1970-01-01) and Boolean (0 or 1) are in thousandths, so that arithmetic is
/// exact and the same everywhere; Text and Reference are symbol numbers.
using Cell = std::int64_t;
inline constexpr Cell kCellScale = 1000;
/// SQL NULL in a built world; "not observed yet" in the partial world that an agent has seen.
inline constexpr Cell kUnknownCell = std::numeric_limits<Cell>::min();

bool is_symbolic(ColumnType type);  ///< Text or Reference

/// Interned strings; numbers are dense from 0 in order of first use.
class Symbols {
 public:
  std::int32_t intern(std::string_view text);
  std::int32_t find(std::string_view text) const;  ///< -1 if absent
  const std::string& text(std::int32_t symbol) const { return texts_[static_cast<std::size_t>(symbol)]; }
  std::size_t size() const { return texts_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::vector<std::string> texts_;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> numbers_;
};

struct WorldColumn {
  std::string name;
  ColumnType type = ColumnType::Text;
  int decimals = 0;         ///< Number: digits after the point (0 to 3)
  std::string references;   ///< Reference: the table whose key this holds
  std::vector<Cell> cells;  ///< [rows]
};

struct WorldTable {
  std::string name;
  int key_column = -1;  ///< the column that names a row; -1 for relations without a key
  std::size_t rows = 0;
  std::vector<WorldColumn> columns;

  int find_column(std::string_view column) const;  ///< -1 if absent
};

struct RowRef {
  std::int32_t table = -1;
  std::int32_t row = -1;
};

struct World {
  Symbols symbols;
  std::vector<WorldTable> tables;
  std::vector<RowRef> row_of_symbol;  ///< [symbols.size()] the row whose key is that symbol; table -1 if none

  int find_table(std::string_view table) const;         ///< -1 if absent
  int find_row(int table, std::string_view key) const;  ///< -1 if absent
  /// Rebuilds row_of_symbol from the key columns. Throws Error(Input) if two rows anywhere share a key.
  void index_keys();
};

/// Calendar dates without time zones: "YYYY-MM-DD" to days since 1970-01-01 and back (proleptic Gregorian).
std::optional<std::int64_t> parse_date(std::string_view text);
std::string format_date(std::int64_t days);

/// A cell as JSON text, e.g. 4.3, "2025-10-01", null; cell_to_json parses it.
std::string cell_text(const World& world, const WorldColumn& column, Cell cell);
/// A cell as JSON: exact decimals (4.3, never 4.2999…), integers without a point, dates as text, booleans, null.
Json cell_to_json(const World& world, const WorldColumn& column, Cell cell);

}  // namespace gauntlet

#pragma once

// A problem bound to a world: names resolved to numbers, nodes in one array, and evaluation in three truth values over domains, so that
// the same code judges a finished answer, prunes the solver's search, and reasons about a world that is only partly observed.

#include <bitset>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "envs/world.h"
#include "verifiers/problem.h"

namespace gauntlet {

/// For an entity slot a row of its table, else an index into CompiledSlot::values.
using SlotValue = std::int32_t;

inline constexpr std::size_t kMaxSlots = 128;
using SlotMask = std::bitset<kMaxSlots>;

enum class Truth : std::uint8_t { False, True, Unknown };

inline constexpr Cell kLowest = std::numeric_limits<Cell>::min() / 4;
inline constexpr Cell kHighest = std::numeric_limits<Cell>::max() / 4;

/// What a value may be. Both bounds included. `defined`: 0 never (no such row), 1 perhaps, 2 always.
struct Range {
  Cell low = kLowest;
  Cell high = kHighest;
  std::uint8_t defined = 2;

  bool fixed() const { return defined == 2 && low == high; }
};

/// Says whether a look-up in a relation is settled. Only a partly observed world needs one (synth/seen_world.h).
class Completeness {
 public:
  virtual ~Completeness() = default;
  /// True when every row of `table` whose `columns` equal `values` has been observed. Called by evaluation, on its thread.
  virtual bool rows_known(int table, std::span<const int> columns, std::span<const Cell> values) const = 0;
};

struct CompiledSlot {
  std::string id;
  int table = -1;               ///< entity slots; else -1
  int key_column = -1;
  std::vector<Cell> values;     ///< other slots: the cell of each index (symbols from CompiledProblem::symbol_text)
  std::int32_t size = 0;        ///< number of values
};

struct CompiledNode {
  NodeKind kind = NodeKind::Const;
  CompareOp op = CompareOp::Equal;
  Aggregate aggregate = Aggregate::Min;
  int slot = -1;
  int table = -1;
  int column = -1;
  int index = -1;               ///< Link, Linked: number of the look-up index
  int at_least = 0;
  Cell constant = 0;
  std::vector<Cell> members;
  std::vector<int> children;
  SlotMask slots;               ///< all slots below
  const Node* source = nullptr; ///< for explanations; owned by the CompiledProblem
};

/// Rows of a relation by the values of some columns.
struct LookupIndex {
  int table = -1;
  std::vector<int> columns;
  std::unordered_map<std::string, std::vector<std::int32_t>> rows;  ///< key: the cells' bytes in order
};

class CompiledProblem {
 public:
  /// Keeps its own copy of the problem; the world (and `completeness`, if any) must outlive it. Throws Error(Input) for a table or column
  /// that the world lacks, naming the accepted ones, and for operands that do not go together (type_check.h).
  CompiledProblem(Problem problem, const World& world, const Completeness* completeness = nullptr);
  CompiledProblem(const CompiledProblem&) = delete;
  CompiledProblem& operator=(const CompiledProblem&) = delete;

  const Problem& problem() const { return problem_; }
  const World& world() const { return *world_; }
  const Completeness* completeness() const { return completeness_; }
  const std::vector<CompiledSlot>& slots() const { return slots_; }
  const std::vector<CompiledNode>& nodes() const { return nodes_; }
  const CompiledNode& node(int index) const { return nodes_[static_cast<std::size_t>(index)]; }

  /// The `within` rules first, then the constraints, as nodes; all must hold.
  const std::vector<int>& roots() const { return roots_; }
  /// roots() with conjunctions taken apart and all-different as pairs: equivalent, and finer for the solver.
  const std::vector<int>& atoms() const { return atoms_; }
  int objective() const { return objective_; }  ///< a value node, or -1
  const std::vector<LookupIndex>& indexes() const { return indexes_; }

  /// The cell that `value` of `slot` stands for: the row's key symbol, a text's symbol, a number or a date.
  Cell slot_cell(int slot, SlotValue value) const {
    const CompiledSlot& info = slots_[static_cast<std::size_t>(slot)];
    if (info.table < 0) return info.values[static_cast<std::size_t>(value)];
    const WorldTable& table = world_->tables[static_cast<std::size_t>(info.table)];
    return table.columns[static_cast<std::size_t>(info.key_column)].cells[static_cast<std::size_t>(value)];
  }
  /// The slot's value with that text / number / date, or -1. `text` for entity and text slots.
  SlotValue find_text(int slot, std::string_view text) const;
  SlotValue find_cell(int slot, Cell cell) const;
  Json value_to_json(int slot, SlotValue value) const;
  const std::string& symbol_text(Cell symbol) const;

  /// Rows of the indexed relation with these cells, or an empty span.
  std::span<const std::int32_t> lookup(int index, std::span<const Cell> cells) const;

 private:
  int compile(const Node& node);
  void bind_relation(const Node& node, CompiledNode& out);
  void check_single_text(const CompiledNode& link) const;
  void add_atoms(int node);
  Cell intern(const std::string& text);

  Problem problem_;
  std::vector<Node> within_;
  const World* world_;
  const Completeness* completeness_;
  std::vector<CompiledSlot> slots_;
  std::vector<CompiledNode> nodes_;
  std::vector<int> roots_;
  std::vector<int> atoms_;
  int objective_ = -1;
  std::vector<LookupIndex> indexes_;
  Symbols extra_;  ///< texts of the problem that the world does not hold; numbered after the world's
};

/// The candidates of one slot: sorted ascending; one candidate means assigned.
struct Domain {
  const SlotValue* data = nullptr;
  std::int32_t count = 0;
  std::uint64_t version = 0;  ///< equal versions hold equal candidates
};

/// What a comparison of two values comes to.
Truth compare_values(CompareOp op, const Range& a, const Range& b);

/// Evaluates nodes over the current domains. One per thread; cheap to make.
class Evaluator {
 public:
  explicit Evaluator(const CompiledProblem& problem);

  const CompiledProblem& problem() const { return *problem_; }
  std::size_t slot_count() const { return domains_.size(); }
  const Domain& domain(int slot) const { return domains_[static_cast<std::size_t>(slot)]; }
  bool assigned(int slot) const { return domain(slot).count == 1; }
  /// The slots that are not assigned.
  const SlotMask& open() const { return open_; }

  /// All slots back to every value.
  void reset();
  /// `data` must stay valid while it is in use.
  void set_domain(int slot, std::span<const SlotValue> values);
  void restore_domain(int slot, const Domain& domain) {
    domains_[static_cast<std::size_t>(slot)] = domain;
    open_[static_cast<std::size_t>(slot)] = domain.count != 1;
  }
  void assign(int slot, SlotValue value);
  /// All slots at once, for judging.
  void assign_all(std::span<const SlotValue> values);

  Truth truth(int node) const;
  Range value(int node) const;
  /// The range of an attribute's value in one row.
  Range cell_range(Cell cell) const {
    if (cell != kUnknownCell) return {cell, cell, 2};
    return {kLowest, kHighest, static_cast<std::uint8_t>(problem_->completeness() != nullptr ? 1 : 0)};
  }

 private:
  struct Cached {
    std::uint64_t version = 0;
    Range range;
  };
  Truth compare(const CompiledNode& node) const;
  Truth all_different(const CompiledNode& node) const;
  Truth differ(int left, int right) const;
  Range attribute(const CompiledNode& node, int index) const;
  /// The relation's rows for the operands' current values; `settled` false when they are not all fixed.
  std::span<const std::int32_t> matching(const CompiledNode& node, bool& settled, bool& never) const;
  bool disjoint(int a, int b) const;

  const CompiledProblem* problem_;
  std::vector<Domain> domains_;
  SlotMask open_;
  std::vector<std::vector<SlotValue>> full_;   ///< [slot] every value
  std::vector<SlotValue> single_;              ///< [slot] storage of assigned values
  std::uint64_t next_version_ = 1;
  mutable std::vector<Cached> cache_;          ///< [node] ranges of attributes and slots
};

}  // namespace gauntlet

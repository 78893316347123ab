#include "envs/world.h"

#include <fmt/format.h>

#include "core/error.h"
#include "envs/json_text.h"

namespace gauntlet {

bool is_symbolic(ColumnType type) { return type == ColumnType::Text || type == ColumnType::Reference; }

std::int32_t Symbols::intern(std::string_view text) {
  const auto it = numbers_.find(text);
  if (it != numbers_.end()) return it->second;
  const auto number = static_cast<std::int32_t>(texts_.size());
  texts_.emplace_back(text);
  numbers_.emplace(std::string(text), number);
  return number;
}

std::int32_t Symbols::find(std::string_view text) const {
  const auto it = numbers_.find(text);
  return it == numbers_.end() ? -1 : it->second;
}

int WorldTable::find_column(std::string_view column) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

int World::find_table(std::string_view table) const {
  for (std::size_t i = 0; i < tables.size(); ++i) {
    if (tables[i].name == table) return static_cast<int>(i);
  }
  return -1;
}

int World::find_row(int table, std::string_view key) const {
  const std::int32_t symbol = symbols.find(key);
  if (symbol < 0 || static_cast<std::size_t>(symbol) >= row_of_symbol.size()) return -1;
  const RowRef ref = row_of_symbol[static_cast<std::size_t>(symbol)];
  return ref.table == table ? ref.row : -1;
}

void World::index_keys() {
  row_of_symbol.assign(symbols.size(), {});
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (tables[t].key_column < 0) continue;
    const auto& keys = tables[t].columns[static_cast<std::size_t>(tables[t].key_column)].cells;
    for (std::size_t row = 0; row < tables[t].rows; ++row) {
      auto& ref = row_of_symbol[static_cast<std::size_t>(keys[row])];
      if (ref.table >= 0) {
        fail(ErrorKind::Input, fmt::format("the world has two rows named \"{}\" (in {} and {}); names must be unique",
                                           symbols.text(static_cast<std::int32_t>(keys[row])),
                                           tables[static_cast<std::size_t>(ref.table)].name, tables[t].name));
      }
      ref = {.table = static_cast<std::int32_t>(t), .row = static_cast<std::int32_t>(row)};
    }
  }
}

// Days from civil and back: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).
std::optional<std::int64_t> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto digits = [&](std::size_t from, std::size_t count) {
    int value = 0;
    for (std::size_t i = from; i < from + count; ++i) {
      if (text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  const int year = digits(0, 4);
  const int month = digits(5, 2);
  const int day = digits(8, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1) return std::nullopt;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > kDays[month - 1] + (month == 2 && leap ? 1 : 0)) return std::nullopt;
  const int y = month <= 2 ? year - 1 : year;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const int year_of_era = y - era * 400;
  const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return std::int64_t{era} * 146097 + day_of_era - 719468;
}

std::string format_date(std::int64_t days) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const std::int64_t day_of_era = days - era * 146097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const std::int64_t month = shifted_month + (shifted_month < 10 ? 3 : -9);
  return fmt::format("{:04}-{:02}-{:02}", year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day);
}

std::string cell_text(const World& world, const WorldColumn& column, Cell cell) {
  if (cell == kUnknownCell) return "null";
  switch (column.type) {
    case ColumnType::Text:
    case ColumnType::Reference: {
      std::string text;
      append_json_string(text, world.symbols.text(static_cast<std::int32_t>(cell)));
      return text;
    }
    case ColumnType::Date:
      return fmt::format("\"{}\"", format_date(cell / kCellScale));
    case ColumnType::Boolean:
      return cell != 0 ? "true" : "false";
    case ColumnType::Integer:
      return fmt::format("{}", cell / kCellScale);
    case ColumnType::Number:
      break;
  }
  const Cell magnitude = cell < 0 ? -cell : cell;
  std::string text = fmt::format("{}{}.{:03}", cell < 0 ? "-" : "", magnitude / kCellScale, magnitude % kCellScale);
  while (text.back() == '0' && text[text.size() - 2] != '.') text.pop_back();
  return text;
}

Json cell_to_json(const World& world, const WorldColumn& column, Cell cell) {
  if (cell == kUnknownCell) return nullptr;
  if (is_symbolic(column.type)) return world.symbols.text(static_cast<std::int32_t>(cell));
  if (column.type == ColumnType::Date) return format_date(cell / kCellScale);
  // The shortest decimal text reads back as the nearest double, which prints as the same text again.
  return Json::parse(cell_text(world, column, cell));
}

}  // namespace gauntlet

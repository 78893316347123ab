#include "synth/seen_world.h"

#include <algorithm>

#include "envs/generators.h"

namespace gauntlet {

SeenWorld::SeenWorld(const Planner& planner) : planner_(planner) {
  for (const auto& entity : planner.spec().entities) {
    WorldTable table;
    table.name = entity.name;
    for (std::size_t i = 0; i < entity.columns.size(); ++i) {
      const auto& column = entity.columns[i];
      table.columns.push_back({.name = column.name, .type = column.type, .decimals = column.decimals, .references = column.references, .cells = {}});
      if (column.name == entity.key) table.key_column = static_cast<int>(i);
    }
    world_.tables.push_back(std::move(table));
  }
}

int SeenWorld::append_row(int number) {
  WorldTable& table = world_.tables[static_cast<std::size_t>(number)];
  for (auto& column : table.columns) column.cells.push_back(kUnknownCell);
  return static_cast<int>(table.rows++);
}

int SeenWorld::row_for(int number, const std::string& key) {
  const int known = world_.find_row(number, key);
  if (known >= 0) return known;
  const int row = append_row(number);
  WorldTable& table = world_.tables[static_cast<std::size_t>(number)];
  const std::int32_t symbol = world_.symbols.intern(key);
  table.columns[static_cast<std::size_t>(table.key_column)].cells[static_cast<std::size_t>(row)] = symbol;
  world_.row_of_symbol.resize(world_.symbols.size());
  world_.row_of_symbol[static_cast<std::size_t>(symbol)] = {.table = number, .row = row};
  return row;
}

void SeenWorld::learn_name(int table, const std::string& name) { row_for(table, name); }

Cell SeenWorld::parse_cell(const WorldColumn& column, const Json& value) {
  if (value.is_null()) return kUnknownCell;
  if (value.is_boolean()) return value.get<bool>() ? kCellScale : 0;
  if (value.is_number()) return number_to_cell(value, column.name);
  const auto text = value.get<std::string>();
  if (column.type == ColumnType::Date) return parse_date(text).value_or(0) * kCellScale;
  return world_.symbols.intern(text);
}

/// `item` is one element of a list, one row object, or the whole result.
void SeenWorld::record_row(const Reveal& reveal, const PlannedCall& call, const Json& item) {
  const ToolDefinition& tool = planner_.spec().tools[static_cast<std::size_t>(reveal.tool)];
  std::vector<std::pair<int, Json>> cells;
  for (const auto& [argument, column] : reveal.given) cells.emplace_back(column, call.arguments.at(argument));
  if (item.is_object()) {
    for (std::size_t i = 0; i < reveal.shows.size(); ++i) {
      const auto it = item.find(tool.result_columns[i]);
      if (it != item.end()) cells.emplace_back(reveal.shows[i], *it);
    }
  } else {
    cells.emplace_back(reveal.shows[0], item);
  }
  int row = -1;
  for (const auto& [column, value] : cells) {
    if (column == reveal.key_column && value.is_string()) row = row_for(reveal.table, value.get<std::string>());
  }
  WorldTable& table = world_.tables[static_cast<std::size_t>(reveal.table)];
  if (row < 0) {
    // A row without a key cannot be recognised; one that an earlier call showed must not be counted twice.
    std::vector<int> columns;
    std::vector<Cell> values;
    for (const auto& [column, value] : cells) {
      if (column < 0) continue;
      columns.push_back(column);
      values.push_back(parse_cell(table.columns[static_cast<std::size_t>(column)], value));
    }
    if (rows_known(reveal.table, columns, values)) return;
    row = append_row(reveal.table);
  }
  for (const auto& [column, value] : cells) {
    if (column < 0 || (column == reveal.key_column && table.key_column >= 0)) continue;
    const Cell cell = parse_cell(table.columns[static_cast<std::size_t>(column)], value);
    table.columns[static_cast<std::size_t>(column)].cells[static_cast<std::size_t>(row)] = cell;
  }
}

void SeenWorld::record(const PlannedCall& call, const Json& result) {
  const Reveal* reveal = planner_.of_tool(call.tool);
  if (reveal == nullptr || !calls_.insert({call.tool, call.text()}).second) return;
  const ToolDefinition& tool = planner_.spec().tools[static_cast<std::size_t>(call.tool)];
  const bool many = tool.shape == ResultShape::List || tool.shape == ResultShape::Rows;
  if (many && result.is_array()) {
    for (const auto& item : result) record_row(*reveal, call, item);
  } else if (!many && !result.is_null()) {
    record_row(*reveal, call, result);
  }
  if (!reveal->keywords.empty()) return;
  std::vector<std::pair<int, Cell>> given;
  for (const auto& [argument, column] : reveal->given) {
    given.emplace_back(column, parse_cell(world_.tables[static_cast<std::size_t>(reveal->table)].columns[static_cast<std::size_t>(column)], call.arguments.at(argument)));
  }
  std::sort(given.begin(), given.end());
  std::vector<int> columns;
  std::vector<Cell> values;
  for (const auto& [column, value] : given) {
    columns.push_back(column);
    values.push_back(value);
  }
  complete_.insert({reveal->table, columns, values});
  world_.row_of_symbol.resize(world_.symbols.size());
}

bool SeenWorld::rows_known(int table, std::span<const int> columns, std::span<const Cell> values) const {
  return std::any_of(complete_.begin(), complete_.end(), [&](const auto& entry) {
    const auto& [entry_table, entry_columns, entry_values] = entry;
    if (entry_table != table) return false;
    for (std::size_t i = 0; i < entry_columns.size(); ++i) {
      const auto it = std::find(columns.begin(), columns.end(), entry_columns[i]);
      if (it == columns.end() || values[static_cast<std::size_t>(it - columns.begin())] != entry_values[i]) return false;
    }
    return true;
  });
}

}  // namespace gauntlet

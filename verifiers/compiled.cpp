#include "verifiers/compiled.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "verifiers/type_check.h"

namespace gauntlet {
namespace {

std::string key_of(std::span<const Cell> cells) {
  std::string key(cells.size() * sizeof(Cell), '\0');
  if (!cells.empty()) std::memcpy(key.data(), cells.data(), key.size());
  return key;
}

[[noreturn]] void unknown_name(std::string_view what, const std::string& name, const std::vector<std::string>& accepted) {
  const std::string nearest = nearest_word(name, accepted);
  fail(ErrorKind::Input, fmt::format("the problem names the {} \"{}\", which the world does not have{}; accepted: {}", what, name,
                                     nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest),
                                     fmt::join(accepted, ", ")));
}

int table_of(const World& world, const std::string& name) {
  const int table = world.find_table(name);
  if (table >= 0) return table;
  std::vector<std::string> names;
  for (const auto& candidate : world.tables) names.push_back(candidate.name);
  unknown_name("table", name, names);
}

int column_of(const World& world, int table, const std::string& name) {
  const WorldTable& data = world.tables[static_cast<std::size_t>(table)];
  const int column = data.find_column(name);
  if (column >= 0) return column;
  std::vector<std::string> names;
  for (const auto& candidate : data.columns) names.push_back(candidate.name);
  unknown_name(fmt::format("column of {}", data.name), name, names);
}

}  // namespace

CompiledProblem::CompiledProblem(Problem problem, const World& world, const Completeness* completeness)
    : problem_(std::move(problem)), within_(within_constraints(problem_)), world_(&world), completeness_(completeness) {
  require(problem_.slots.size() <= kMaxSlots, ErrorKind::Input,
          fmt::format("the problem has {} slots; at most {} are accepted", problem_.slots.size(), kMaxSlots));
  for (const auto& spec : problem_.slots) {
    CompiledSlot slot;
    slot.id = spec.id;
    if (spec.domain == SlotDomain::Entity) {
      slot.table = table_of(world, spec.entity);
      const WorldTable& table = world.tables[static_cast<std::size_t>(slot.table)];
      slot.key_column = table.key_column;
      if (slot.key_column < 0) fail(ErrorKind::Input, fmt::format("slot \"{}\" ranges over {}, whose rows have no key", spec.id, spec.entity));
      slot.size = static_cast<std::int32_t>(table.rows);
    } else if (spec.domain == SlotDomain::Texts) {
      for (const auto& text : spec.texts) slot.values.push_back(intern(text));
    } else {
      for (std::int64_t value = spec.from; value <= spec.to; ++value) slot.values.push_back(value * kCellScale);
    }
    if (slot.table < 0) slot.size = static_cast<std::int32_t>(slot.values.size());
    slots_.push_back(std::move(slot));
  }
  for (const auto& node : within_) roots_.push_back(compile(node));
  for (const auto& node : problem_.constraints) roots_.push_back(compile(node));
  if (problem_.sense != ObjectiveSense::None) objective_ = compile(problem_.objective);
  check_types(problem_, world);
  for (const int root : std::vector<int>(roots_)) add_atoms(root);
}

Cell CompiledProblem::intern(const std::string& text) {
  const std::int32_t known = world_->symbols.find(text);
  if (known >= 0) return known;
  return static_cast<Cell>(world_->symbols.size()) + extra_.intern(text);
}

const std::string& CompiledProblem::symbol_text(Cell symbol) const {
  const auto count = static_cast<Cell>(world_->symbols.size());
  return symbol < count ? world_->symbols.text(static_cast<std::int32_t>(symbol))
                        : extra_.text(static_cast<std::int32_t>(symbol - count));
}

int CompiledProblem::compile(const Node& node) {
  CompiledNode out;
  out.kind = node.kind;
  out.op = node.op;
  out.aggregate = node.aggregate;
  out.at_least = node.at_least;
  out.source = &node;
  if (node.kind == NodeKind::Const) {
    out.constant = node.constant.type == ConstType::Text ? intern(node.constant.text) : node.constant.number;
  }
  for (const auto& member : node.members) {
    out.members.push_back(member.type == ConstType::Text ? intern(member.text) : member.number);
  }
  if (node.kind == NodeKind::SlotValue || node.kind == NodeKind::Attribute) {
    out.slot = problem_.find_slot(node.slot);
    if (out.slot < 0) fail(ErrorKind::Input, fmt::format("the problem names the slot \"{}\", which it does not have", node.slot));
    out.slots.set(static_cast<std::size_t>(out.slot));
  }
  if (node.kind == NodeKind::Attribute) {
    out.table = slots_[static_cast<std::size_t>(out.slot)].table;
    if (out.table < 0) fail(ErrorKind::Input, fmt::format("the problem asks for {} of slot \"{}\", which holds no row", node.column, node.slot));
    out.column = column_of(*world_, out.table, node.column);
  }
  for (const auto& child : node.children) {
    out.children.push_back(compile(child));
    out.slots |= nodes_[static_cast<std::size_t>(out.children.back())].slots;
  }
  if (node.kind == NodeKind::Link || node.kind == NodeKind::Linked) bind_relation(node, out);
  nodes_.push_back(std::move(out));
  return static_cast<int>(nodes_.size()) - 1;
}

void CompiledProblem::bind_relation(const Node& node, CompiledNode& out) {
  out.table = table_of(*world_, node.table);
  if (node.kind == NodeKind::Link) out.column = column_of(*world_, out.table, node.column);
  std::vector<int> columns;
  for (const auto& name : node.match_columns) columns.push_back(column_of(*world_, out.table, name));
  for (std::size_t i = 0; i < indexes_.size(); ++i) {
    if (indexes_[i].table == out.table && indexes_[i].columns == columns) out.index = static_cast<int>(i);
  }
  if (out.index >= 0) return check_single_text(out);
  LookupIndex index{.table = out.table, .columns = columns, .rows = {}};
  const WorldTable& table = world_->tables[static_cast<std::size_t>(out.table)];
  std::vector<Cell> cells(columns.size());
  for (std::size_t row = 0; row < table.rows; ++row) {
    for (std::size_t i = 0; i < columns.size(); ++i) cells[i] = table.columns[static_cast<std::size_t>(columns[i])].cells[row];
    // A cell without content equals nothing.
    if (std::find(cells.begin(), cells.end(), kUnknownCell) != cells.end()) continue;
    index.rows[key_of(cells)].push_back(static_cast<std::int32_t>(row));
  }
  out.index = static_cast<int>(indexes_.size());
  indexes_.push_back(std::move(index));
  check_single_text(out);
}

/// Texts have no order: of several rows none would be the lowest. Whether rows share columns is a matter of the whole world, so a partly
/// observed one, which may hold a row twice as two tools showed it, is not asked.
void CompiledProblem::check_single_text(const CompiledNode& link) const {
  const WorldTable& table = world_->tables[static_cast<std::size_t>(link.table)];
  if (completeness_ != nullptr || link.column < 0 || !is_symbolic(table.columns[static_cast<std::size_t>(link.column)].type)) return;
  for (const auto& [key, rows] : indexes_[static_cast<std::size_t>(link.index)].rows) {
    if (rows.size() == 1) continue;
    fail(ErrorKind::Input,
         fmt::format("the problem links {}.{}, a text, by columns that {} rows share; accepted: a number or a date, or columns that name one row",
                        table.name, table.columns[static_cast<std::size_t>(link.column)].name, rows.size()));
  }
}

void CompiledProblem::add_atoms(int root) {
  const CompiledNode node = this->node(root);
  if (node.kind == NodeKind::AllOf) {
    for (const int child : node.children) add_atoms(child);
    return;
  }
  if (node.kind != NodeKind::AllDifferent) {
    atoms_.push_back(root);
    return;
  }
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    for (std::size_t j = i + 1; j < node.children.size(); ++j) {
      CompiledNode pair;
      pair.kind = NodeKind::AllDifferent;
      pair.children = {node.children[i], node.children[j]};
      pair.slots = this->node(node.children[i]).slots | this->node(node.children[j]).slots;
      pair.source = node.source;
      nodes_.push_back(std::move(pair));
      atoms_.push_back(static_cast<int>(nodes_.size()) - 1);
    }
  }
}

SlotValue CompiledProblem::find_text(int slot, std::string_view text) const {
  const CompiledSlot& info = slots_[static_cast<std::size_t>(slot)];
  if (info.table >= 0) return world_->find_row(info.table, text);
  Cell symbol = world_->symbols.find(text);
  if (symbol < 0) {
    const std::int32_t extra = extra_.find(text);
    if (extra < 0) return -1;
    symbol = static_cast<Cell>(world_->symbols.size()) + extra;
  }
  return find_cell(slot, symbol);
}

SlotValue CompiledProblem::find_cell(int slot, Cell cell) const {
  const auto& values = slots_[static_cast<std::size_t>(slot)].values;
  const auto it = std::find(values.begin(), values.end(), cell);
  return it == values.end() ? -1 : static_cast<SlotValue>(it - values.begin());
}

Json CompiledProblem::value_to_json(int slot, SlotValue value) const {
  const Cell cell = slot_cell(slot, value);
  switch (problem_.slots[static_cast<std::size_t>(slot)].domain) {
    case SlotDomain::Dates: return format_date(cell / kCellScale);
    case SlotDomain::Integers: return cell / kCellScale;
    case SlotDomain::Entity:
    case SlotDomain::Texts: break;
  }
  return symbol_text(cell);
}

std::span<const std::int32_t> CompiledProblem::lookup(int index, std::span<const Cell> cells) const {
  const auto& rows = indexes_[static_cast<std::size_t>(index)].rows;
  const auto it = rows.find(key_of(cells));
  return it == rows.end() ? std::span<const std::int32_t>{} : std::span<const std::int32_t>(it->second);
}

}  // namespace gauntlet

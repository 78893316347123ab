#include "synth/planner.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

namespace gauntlet {

bool Reveal::gives(int column) const {
  return std::any_of(given.begin(), given.end(), [&](const auto& entry) { return entry.second == column; });
}

bool Reveal::shows_column(int column) const { return std::find(shows.begin(), shows.end(), column) != shows.end(); }

bool Reveal::lists_rows() const { return keywords.empty() && key_column >= 0 && !gives(key_column) && shows_column(key_column); }

Planner::Planner(const EnvSpec& spec) : spec_(&spec) {
  for (std::size_t i = 0; i < spec.tools.size(); ++i) {
    const ToolDefinition& tool = spec.tools[i];
    if (!tool.reveals) continue;
    Reveal reveal;
    reveal.tool = static_cast<int>(i);
    const EntitySpec* entity = spec.find_entity(tool.reveals->entity);
    reveal.table = static_cast<int>(entity - spec.entities.data());
    const auto column = [&](const std::string& name) {
      const ColumnSpec* found = entity->find_column(name);
      return found == nullptr ? -1 : static_cast<int>(found - entity->columns.data());
    };
    reveal.key_column = entity->key.empty() ? -1 : column(entity->key);
    for (const auto& [argument, name] : tool.reveals->given) reveal.given.emplace_back(argument, column(name));
    reveal.keywords = tool.reveals->keywords;
    for (const auto& name : tool.result_columns) reveal.shows.push_back(column(name));
    reveals_.push_back(std::move(reveal));
  }
}

const Reveal* Planner::of_tool(int tool) const {
  for (const auto& reveal : reveals_) {
    if (reveal.tool == tool) return &reveal;
  }
  return nullptr;
}

const Reveal* Planner::lister(int table) const {
  const Reveal* best = nullptr;
  for (const auto& reveal : reveals_) {
    if (reveal.table != table || !reveal.lists_rows()) continue;
    if (best == nullptr || reveal.given.size() < best->given.size()) best = &reveal;
  }
  return best;
}

std::set<int> Planner::with_parents(std::set<int> tables) const {
  std::vector<int> open(tables.begin(), tables.end());
  while (!open.empty()) {
    const int table = open.back();
    open.pop_back();
    const Reveal* reveal = lister(table);
    if (reveal == nullptr) continue;
    for (const auto& [argument, column] : reveal->given) {
      const std::string& parent_name = spec_->entities[static_cast<std::size_t>(table)].columns[static_cast<std::size_t>(column)].references;
      const EntitySpec* parent = parent_name.empty() ? nullptr : spec_->find_entity(parent_name);
      if (parent == nullptr) continue;
      const int number = static_cast<int>(parent - spec_->entities.data());
      if (tables.insert(number).second) open.push_back(number);
    }
  }
  return tables;
}

std::optional<PlannedCall> Planner::list(int table, const std::vector<std::pair<int, Json>>& given) const {
  const Reveal* reveal = lister(table);
  if (reveal == nullptr) return std::nullopt;
  PlannedCall call{.tool = reveal->tool};
  for (const auto& [argument, column] : reveal->given) {
    const auto it = std::find_if(given.begin(), given.end(), [&, wanted = column](const auto& entry) { return entry.first == wanted; });
    if (it == given.end()) return std::nullopt;
    call.arguments[argument] = it->second;
  }
  return call;
}

std::optional<PlannedCall> Planner::tell(int table, const std::string& key, const std::vector<int>& columns) const {
  const EntitySpec& entity = spec_->entities[static_cast<std::size_t>(table)];
  for (const bool with_keywords : {true, false}) {
    for (const auto& reveal : reveals_) {
      if (reveal.table != table || reveal.keywords.empty() == with_keywords || reveal.given.size() != 1 || reveal.given[0].second != reveal.key_column) continue;
      if (!std::all_of(columns.begin(), columns.end(), [&](int column) { return reveal.shows_column(column); })) continue;
      PlannedCall call{.tool = reveal.tool};
      if (with_keywords) {
        Json words = Json::array();
        for (const int column : columns) words.push_back(entity.columns[static_cast<std::size_t>(column)].name);
        call.arguments[reveal.keywords] = std::move(words);
      }
      call.arguments[reveal.given[0].first] = key;
      return call;
    }
  }
  return std::nullopt;
}

std::optional<PlannedCall> Planner::look_up(int table, const std::vector<int>& columns, const std::vector<Json>& cells) const {
  for (const auto& reveal : reveals_) {
    if (reveal.table != table || !reveal.keywords.empty() || reveal.given.empty()) continue;
    PlannedCall call{.tool = reveal.tool};
    bool all = true;
    for (const auto& [argument, column] : reveal.given) {
      const auto it = std::find(columns.begin(), columns.end(), column);
      all = all && it != columns.end();
      if (all) call.arguments[argument] = cells[static_cast<std::size_t>(it - columns.begin())];
    }
    if (all) return call;
  }
  return std::nullopt;
}

std::set<std::string> told_names(const Problem& problem, const World& world) {
  std::set<std::string> names;
  const std::function<void(const Node&)> walk = [&](const Node& node) {
    const auto add = [&](const Constant& constant) {
      if (constant.type != ConstType::Text) return;
      const std::int32_t symbol = world.symbols.find(constant.text);
      if (symbol >= 0 && static_cast<std::size_t>(symbol) < world.row_of_symbol.size() && world.row_of_symbol[static_cast<std::size_t>(symbol)].table >= 0) names.insert(constant.text);
    };
    add(node.constant);
    for (const auto& member : node.members) add(member);
    for (const auto& child : node.children) walk(child);
  };
  for (const auto& node : problem.constraints) walk(node);
  return names;
}

Json cell_argument(const World& world, const WorldColumn& column, Cell cell) { return cell_to_json(world, column, cell); }

namespace {

/// Gathers the calls of count_calls.
class CallCounter {
 public:
  CallCounter(const Planner& planner, const CompiledProblem& problem, const std::set<std::string>& told) : planner_(planner), problem_(problem), world_(problem.world()), told_(told) {}

  bool need_row(int table, int row) {
    const WorldTable& data = world_.tables[static_cast<std::size_t>(table)];
    const Cell key = data.columns[static_cast<std::size_t>(data.key_column)].cells[static_cast<std::size_t>(row)];
    if (told_.contains(problem_.symbol_text(key)) || !rows_.insert({table, row}).second) return true;
    const Reveal* reveal = planner_.lister(table);
    if (reveal == nullptr) return false;
    PlannedCall call{.tool = reveal->tool};
    for (const auto& [argument, column] : reveal->given) {
      const WorldColumn& given = data.columns[static_cast<std::size_t>(column)];
      const Cell cell = given.cells[static_cast<std::size_t>(row)];
      if (!need_symbol(given, cell)) return false;
      call.arguments[argument] = cell_argument(world_, given, cell);
      seen_.insert({table, row, column});
    }
    for (const int column : reveal->shows) seen_.insert({table, row, column});
    calls_.insert(std::to_string(call.tool) + call.text());
    return true;
  }

  /// A symbol that names a row has to be known before it can be an argument.
  bool need_symbol(const WorldColumn& column, Cell cell) {
    if (!is_symbolic(column.type) || cell < 0 || static_cast<std::size_t>(cell) >= world_.row_of_symbol.size()) return true;
    const RowRef ref = world_.row_of_symbol[static_cast<std::size_t>(cell)];
    return ref.table < 0 || need_row(ref.table, ref.row);
  }

  bool need_fact(const Fact& fact) {
    if (fact.row >= 0) {
      // A told name gives no attribute away; a listed row shows what its lister shows.
      if (!seen_.contains({fact.table, fact.row, fact.column})) untold_[{fact.table, fact.row}].push_back(fact.column);
      return true;
    }
    const LookupIndex& index = problem_.indexes()[static_cast<std::size_t>(fact.index)];
    std::vector<Json> cells;
    for (std::size_t i = 0; i < index.columns.size(); ++i) {
      const WorldColumn& column = world_.tables[static_cast<std::size_t>(index.table)].columns[static_cast<std::size_t>(index.columns[i])];
      // A text that the world does not hold can be compared with what is shown, but no tool takes it as an argument.
      const bool foreign = is_symbolic(column.type) && static_cast<std::size_t>(fact.cells[i]) >= world_.symbols.size();
      if (!foreign && !need_symbol(column, fact.cells[i])) return false;
      cells.push_back(foreign ? Json(nullptr) : cell_argument(world_, column, fact.cells[i]));
    }
    const auto call = planner_.look_up(index.table, index.columns, cells);
    if (call && std::any_of(call->arguments.begin(), call->arguments.end(), [](const Json& argument) { return argument.is_null(); })) return false;
    if (call) calls_.insert(std::to_string(call->tool) + call->text());
    return call.has_value();
  }

  std::optional<int> finish() {
    for (const auto& [where, columns] : untold_) {
      const WorldTable& data = world_.tables[static_cast<std::size_t>(where.first)];
      const Cell key = data.columns[static_cast<std::size_t>(data.key_column)].cells[static_cast<std::size_t>(where.second)];
      const auto call = planner_.tell(where.first, problem_.symbol_text(key), columns);
      if (!call) return std::nullopt;
      calls_.insert(std::to_string(call->tool) + call->text());
    }
    return static_cast<int>(calls_.size()) + 1;
  }

 private:
  const Planner& planner_;
  const CompiledProblem& problem_;
  const World& world_;
  const std::set<std::string>& told_;
  std::set<std::pair<int, int>> rows_;
  std::set<std::tuple<int, int, int>> seen_;
  std::map<std::pair<int, int>, std::vector<int>> untold_;
  std::set<std::string> calls_;
};

}  // namespace

std::optional<int> Planner::count_calls(const CompiledProblem& problem, const std::vector<SlotValue>& answer, const std::set<std::string>& told) const {
  CallCounter counter(*this, problem, told);
  const auto& slots = problem.slots();
  const bool optimal = problem.objective() >= 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].table < 0) continue;
    if (!counter.need_row(slots[i].table, answer[i])) return std::nullopt;
    // To know that nothing is better, every row that the slot may hold has to be seen.
    for (int row = 0; optimal && row < slots[i].size; ++row) {
      if (!counter.need_row(slots[i].table, row)) return std::nullopt;
    }
  }
  Evaluator evaluator(problem);
  evaluator.assign_all(answer);
  std::vector<Fact> facts = facts_of_answer(evaluator);
  if (optimal) {
    std::vector<Fact> compared;
    collect_facts(evaluator, problem.objective(), compared);
    for (const Fact& fact : compared) {
      for (int row = 0; fact.row >= 0 && row < static_cast<int>(problem.world().tables[static_cast<std::size_t>(fact.table)].rows); ++row) {
        facts.push_back({.table = fact.table, .row = row, .column = fact.column, .index = -1, .cells = {}});
      }
    }
    std::sort(facts.begin(), facts.end());
    facts.erase(std::unique(facts.begin(), facts.end()), facts.end());
  }
  for (const Fact& fact : facts) {
    if (!counter.need_fact(fact)) return std::nullopt;
  }
  return counter.finish();
}

}  // namespace gauntlet

#include "synth/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "core/error.h"
#include "synth/plan_review.h"
#include "synth/slips.h"
#include "synth/solver.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxBatch = 40;
constexpr std::int64_t kMaxSearchNodes = 400'000;

void add_unique(std::vector<PlannedCall>& calls, PlannedCall call) {
  if (std::find(calls.begin(), calls.end(), call) == calls.end()) calls.push_back(std::move(call));
}

}  // namespace

OracleStyle draw_style(Rng& rng) {
  return {.parallel = rng.chance(800'000), .siblings = static_cast<int>(rng.range(0, 6)), .slip_per_million = 167'000};
}

OracleAgent::OracleAgent(const Planner& planner, Problem problem, OracleStyle style, Rng rng)
    : planner_(planner), problem_(std::move(problem)), style_(style), rng_(rng), seen_(planner) {
  const auto table_of = [&](const std::string& entity) { return seen_.world().find_table(entity); };
  const std::function<void(const Node&)> walk = [&](const Node& node) {
    if (node.kind == NodeKind::Attribute) {
      const int table = table_of(problem_.slots[static_cast<std::size_t>(problem_.find_slot(node.slot))].entity);
      const int column = seen_.world().tables[static_cast<std::size_t>(table)].find_column(node.column);
      auto& columns = relevant_[table];
      if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
    }
    // A name compared with a slot is one that the task states.
    if (node.kind == NodeKind::Compare && node.op == CompareOp::Equal) {
      for (const int side : {0, 1}) {
        const Node& slot = node.children[static_cast<std::size_t>(side)];
        const Node& name = node.children[static_cast<std::size_t>(1 - side)];
        if (slot.kind != NodeKind::SlotValue || name.kind != NodeKind::Const || name.constant.type != ConstType::Text) continue;
        const auto& entity = problem_.slots[static_cast<std::size_t>(problem_.find_slot(slot.slot))].entity;
        if (!entity.empty()) seen_.learn_name(table_of(entity), name.constant.text);
      }
    }
    for (const auto& child : node.children) walk(child);
  };
  for (const auto& node : problem_.constraints) walk(node);
  if (problem_.sense != ObjectiveSense::None) walk(problem_.objective);
  for (auto& [table, columns] : relevant_) std::sort(columns.begin(), columns.end());
  if (style_.slip_per_million > 0 && rng_.chance(static_cast<std::uint32_t>(style_.slip_per_million))) slip_at_ = static_cast<int>(rng_.range(1, 8));
}

OracleAgent::~OracleAgent() = default;

Json OracleAgent::describe() const { return {{"kind", "oracle"}, {"parallel", style_.parallel}, {"siblings", style_.siblings}}; }

std::string OracleAgent::say(std::initializer_list<std::string_view> variants) {
  return std::string(variants.begin()[rng_.below(variants.size())]);
}

std::string OracleAgent::key_text(int table, int row) const {
  const WorldTable& data = seen_.world().tables[static_cast<std::size_t>(table)];
  return seen_.world().symbols.text(static_cast<std::int32_t>(data.columns[static_cast<std::size_t>(data.key_column)].cells[static_cast<std::size_t>(row)]));
}

bool OracleAgent::unknown_cells(int table, int row) const {
  const auto it = relevant_.find(table);
  if (it == relevant_.end()) return false;
  const auto& columns = seen_.world().tables[static_cast<std::size_t>(table)].columns;
  return std::any_of(it->second.begin(), it->second.end(), [&](int column) { return columns[static_cast<std::size_t>(column)].cells[static_cast<std::size_t>(row)] == kUnknownCell; });
}

/// Reads the results that came since the last message: facts into the seen world, failures into the list of calls to repeat.
void OracleAgent::take_in(const std::vector<Message>& messages, std::string& thinking) {
  std::vector<std::string> learnt;
  for (; messages_read_ < messages.size(); ++messages_read_) {
    const Message& message = messages[messages_read_];
    if (message.role != Role::Tool) continue;
    const auto it = issued_.find(message.tool_call_id);
    if (it == issued_.end()) continue;
    const Json result = parse_json(message.content, "a tool result");
    const bool slipped = !(it->second.sent == it->second.meant);
    const bool refused = result.is_object() && result.contains("error");
    if (refused) {
      again_.push_back(it->second.meant);
      thinking += fmt::format("{} {} ", say({"That call failed:", "One call went wrong:", "I made a mistake:"}), result["error"].value("message", std::string()));
      if (slipped) thinking += fmt::format("I sent {} where I meant {}. ", it->second.sent.text(), it->second.meant.text());
    } else {
      // A slip may by chance be a good call; then it told something else than what was meant.
      if (slipped) again_.push_back(it->second.meant);
      seen_.record(it->second.sent, result);
      ++facts_;
      if (result.is_object()) {
        std::string about;
        for (const auto& argument : it->second.sent.arguments.items()) {
          if (argument.value().is_string()) about += (about.empty() ? "" : ", ") + argument.value().get<std::string>();
        }
        std::string facts;
        for (const auto& item : result.items()) facts += fmt::format("{}{} {}", facts.empty() ? "" : ", ", item.key(), item.value().is_string() ? item.value().get<std::string>() : dump_json(item.value()));
        learnt.push_back(fmt::format("{} has {}", about, facts));
      }
    }
    issued_.erase(it);
  }
  if (learnt.empty()) return;
  thinking += say({"Now I know: ", "Noted: ", "From the results: "});
  for (std::size_t i = 0; i < std::min<std::size_t>(learnt.size(), 8); ++i) thinking += (i == 0 ? "" : "; ") + learnt[i];
  thinking += learnt.size() > 8 ? fmt::format("; and {} more. ", learnt.size() - 8) : ". ";
}

/// Asks for all that the problem reads of such a row, and for `column` (the row of a name that the task states may lie anywhere).
void OracleAgent::add_tell(std::vector<PlannedCall>& calls, int table, int row, int column) const {
  const auto known = relevant_.find(table);
  std::vector<int> columns = known == relevant_.end() ? std::vector<int>{} : known->second;
  if (column >= 0 && std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
  const auto call = planner_.tell(table, key_text(table, row), columns);
  if (call && !seen_.called(*call)) add_unique(calls, *call);
}

/// Lists more of the world: what stands alone first, then what lies within rows that are known but not looked into yet.
std::vector<PlannedCall> OracleAgent::listing_calls(std::string& thinking) {
  std::vector<PlannedCall> calls;
  std::map<int, std::size_t> slots_of_table;
  for (const auto& slot : problem_.slots) {
    if (slot.domain == SlotDomain::Entity) ++slots_of_table[seen_.world().find_table(slot.entity)];
  }
  std::set<int> tables;
  for (const auto& [table, count] : slots_of_table) tables.insert(table);
  for (const int table : planner_.with_parents(tables)) slots_of_table.try_emplace(table, 1);
  std::map<std::pair<int, int>, std::vector<PlannedCall>> by_parent;  // (table, row) of the parent
  for (const auto& [table, count] : slots_of_table) {
    const Reveal* reveal = planner_.lister(table);
    if (reveal == nullptr) continue;
    if (reveal->given.empty()) {
      const PlannedCall call{.tool = reveal->tool};
      // A table whose rows the task names already need not be listed while those may be enough.
      if (!seen_.called(call) && seen_.world().tables[static_cast<std::size_t>(table)].rows < count) add_unique(calls, call);
      continue;
    }
    if (reveal->given.size() != 1) continue;
    const auto& [argument, column] = reveal->given[0];
    const int parent = seen_.world().find_table(seen_.world().tables[static_cast<std::size_t>(table)].columns[static_cast<std::size_t>(column)].references);
    if (parent < 0) continue;
    for (std::size_t row = 0; row < seen_.world().tables[static_cast<std::size_t>(parent)].rows; ++row) {
      PlannedCall call{.tool = reveal->tool};
      call.arguments[argument] = key_text(parent, static_cast<int>(row));
      if (!seen_.called(call)) by_parent[{parent, static_cast<int>(row)}].push_back(std::move(call));
    }
  }
  if (!calls.empty()) thinking += say({"First I need to know what there is. ", "Let me see the choices. ", "I start with an overview. "});
  // Known parents in order of appearance come first (the task names some), later ones in random order.
  std::vector<std::pair<int, int>> parents;
  for (const auto& [parent, list] : by_parent) parents.push_back(parent);
  if (parents.size() > 1) {
    std::vector<std::pair<int, int>> rest(parents.begin() + 1, parents.end());
    rng_.shuffle(rest);
    std::copy(rest.begin(), rest.end(), parents.begin() + 1);
  }
  const std::size_t wanted = calls.empty() ? static_cast<std::size_t>(rng_.range(1, 2)) : 1;
  for (std::size_t i = 0; i < std::min(wanted, parents.size()); ++i) {
    thinking += fmt::format("{} {}. ", say({"I look into", "Next,", "Let me list what there is in"}), key_text(parents[i].first, parents[i].second));
    for (auto& call : by_parent[parents[i]]) add_unique(calls, std::move(call));
  }
  if (calls.empty()) {
    // All parents are listed; a lister that seemed unnecessary may still bring new ones.
    for (const auto& [table, count] : slots_of_table) {
      const Reveal* reveal = planner_.lister(table);
      if (reveal == nullptr || !reveal->given.empty()) continue;
      const PlannedCall call{.tool = reveal->tool};
      if (!seen_.called(call)) add_unique(calls, call);
    }
  }
  return calls;
}

/// Everything that an optimum depends on: all rows, what the problem reads of them, and the relations between them.
std::vector<PlannedCall> OracleAgent::exhaustive_calls(std::string& thinking) {
  std::vector<PlannedCall> calls;
  std::set<int> tables;
  for (const auto& slot : problem_.slots) {
    if (slot.domain == SlotDomain::Entity) tables.insert(seen_.world().find_table(slot.entity));
  }
  tables = planner_.with_parents(tables);
  for (const int table : tables) {
    const Reveal* reveal = planner_.lister(table);
    if (reveal == nullptr) continue;
    if (reveal->given.empty()) {
      const PlannedCall call{.tool = reveal->tool};
      if (!seen_.called(call)) add_unique(calls, call);
    } else if (reveal->given.size() == 1) {
      const auto& [argument, column] = reveal->given[0];
      const int parent = seen_.world().find_table(seen_.world().tables[static_cast<std::size_t>(table)].columns[static_cast<std::size_t>(column)].references);
      for (std::size_t row = 0; parent >= 0 && row < seen_.world().tables[static_cast<std::size_t>(parent)].rows; ++row) {
        PlannedCall call{.tool = reveal->tool};
        call.arguments[argument] = key_text(parent, static_cast<int>(row));
        if (!seen_.called(call)) add_unique(calls, std::move(call));
      }
    }
  }
  if (calls.empty()) {
    for (const int table : tables) {
      for (std::size_t row = 0; row < seen_.world().tables[static_cast<std::size_t>(table)].rows; ++row) {
        if (unknown_cells(table, static_cast<int>(row))) add_tell(calls, table, static_cast<int>(row), -1);
      }
    }
    for (const auto& constraint : problem_.constraints) relation_calls(constraint, calls);
    relation_calls(problem_.objective, calls);
  }
  if (!calls.empty()) thinking += say({"To be sure of the best plan I have to see everything. ", "Only the best plan counts, so I compare all there is. "});
  return calls;
}

std::vector<PlannedCall> OracleAgent::fact_calls(const CompiledProblem& compiled, const std::vector<SlotValue>& candidate, std::string& thinking) {
  Evaluator evaluator(compiled);
  evaluator.assign_all(candidate);
  std::vector<PlannedCall> calls;
  std::vector<Fact> facts;
  for (const int root : compiled.roots()) {
    if (evaluator.truth(root) == Truth::Unknown) collect_facts(evaluator, root, facts);
  }
  std::sort(facts.begin(), facts.end());
  facts.erase(std::unique(facts.begin(), facts.end()), facts.end());
  const World& world = seen_.world();
  for (const Fact& fact : facts) {
    if (fact.row >= 0) {
      const WorldTable& table = world.tables[static_cast<std::size_t>(fact.table)];
      if (table.columns[static_cast<std::size_t>(fact.column)].cells[static_cast<std::size_t>(fact.row)] != kUnknownCell) continue;
      add_tell(calls, fact.table, fact.row, fact.column);
      // Look at its neighbours in the same go: comparing needs more than one.
      int extra = 0;
      for (std::size_t row = 0; row < table.rows && extra < style_.siblings; ++row) {
        const bool together = std::any_of(table.columns.begin(), table.columns.end(), [&](const WorldColumn& column) {
          return column.type == ColumnType::Reference && column.cells[row] != kUnknownCell && column.cells[row] == column.cells[static_cast<std::size_t>(fact.row)];
        });
        if (!together || static_cast<int>(row) == fact.row || !unknown_cells(fact.table, static_cast<int>(row))) continue;
        const std::size_t before = calls.size();
        add_tell(calls, fact.table, static_cast<int>(row), -1);
        extra += calls.size() > before ? 1 : 0;
      }
      continue;
    }
    const LookupIndex& index = compiled.indexes()[static_cast<std::size_t>(fact.index)];
    std::vector<Json> cells;
    for (std::size_t i = 0; i < index.columns.size(); ++i) {
      const WorldColumn& column = world.tables[static_cast<std::size_t>(index.table)].columns[static_cast<std::size_t>(index.columns[i])];
      cells.push_back(is_symbolic(column.type) ? Json(compiled.symbol_text(fact.cells[i])) : cell_argument(world, column, fact.cells[i]));
    }
    const auto call = planner_.look_up(index.table, index.columns, cells);
    if (call && !seen_.called(*call)) add_unique(calls, *call);
  }
  if (!calls.empty()) thinking += say({"I check the details that matter. ", "Now the facts that the requirements depend on. ", "Let me look at the candidates more closely. "});
  return calls;
}

std::string OracleAgent::conclude(const CompiledProblem& compiled, const std::vector<SlotValue>& values, std::optional<Cell> optimum, std::string& thinking) {
  thinking += review_plan(problem_, planner_.spec(), seen_.world(), seen_, answer_to_text(compiled, values), optimum, rng_);
  return answer_to_text(compiled, values);
}

std::vector<PlannedCall> OracleAgent::next_calls(std::string& thinking, std::string& answer, const CancelFlag& cancel) {
  if (!again_.empty()) {
    thinking += say({"I repeat it correctly. ", "Once more, this time right. "});
    return std::exchange(again_, {});
  }
  const bool optimal = problem_.sense != ObjectiveSense::None;
  if (optimal) {
    auto calls = exhaustive_calls(thinking);
    if (!calls.empty()) return calls;
  }
  const CompiledProblem compiled(problem_, seen_.world(), &seen_);
  SearchOptions options;
  options.max_nodes = kMaxSearchNodes;
  options.cancel = &cancel;
  if (optimal) {
    if (solved_at_ != facts_) {
      const SolveResult best = solve(compiled, {.atom_positions = {}, .cancel = &cancel});
      optimum_ = best.optimum;
      limited_ = !best.complete;
      solved_at_ = facts_;
    }
    if (!optimum_) return {};
    options.optimum = optimum_;
  }
  options.preference = [&](int slot, SlotValue value) {
    const int table = compiled.slots()[static_cast<std::size_t>(slot)].table;
    return table >= 0 && unknown_cells(table, value) ? 1 : 0;
  };
  const SearchResult found = find_answer(compiled, rng_, options);
  limited_ = !found.answer && !found.complete;
  if (!found.answer) {
    if (!first_) thinking += say({"Nothing I have seen so far fits. ", "No combination of these works yet. ", "That is not enough yet. "});
    return listing_calls(thinking);
  }
  auto calls = fact_calls(compiled, *found.answer, thinking);
  if (!calls.empty()) return calls;
  Evaluator evaluator(compiled);
  evaluator.assign_all(*found.answer);
  const bool certain = std::all_of(compiled.roots().begin(), compiled.roots().end(), [&](int root) { return evaluator.truth(root) == Truth::True; });
  if (certain) answer = conclude(compiled, *found.answer, options.optimum, thinking);
  return {};
}

ChatReply OracleAgent::complete(const ChatRequest& request, const CancelFlag& cancel) {
  std::string thinking;
  if (first_) thinking = say({"I read the requirements carefully. ", "Let me plan this step by step. ", "The requirements are clear; I need the data. "});
  take_in(request.messages, thinking);
  std::string answer;
  if (!again_.empty() || waiting_.empty()) {
    std::vector<PlannedCall> planned = next_calls(thinking, answer, cancel);
    waiting_.insert(waiting_.begin(), planned.begin(), planned.end());
  }
  first_ = false;
  std::vector<PlannedCall> calls;
  for (const std::size_t most = style_.parallel ? kMaxBatch : 1; !waiting_.empty() && calls.size() < most; waiting_.pop_front()) calls.push_back(std::move(waiting_.front()));

  ChatReply reply;
  reply.message.role = Role::Assistant;
  const EnvSpec& spec = planner_.spec();
  if (!answer.empty()) {
    Json arguments = {{spec.submit_argument, answer}};
    reply.message.tool_calls.push_back({.id = fmt::format("call_{}", calls_made_++), .name = spec.submit_tool, .arguments = dump_json(arguments)});
  } else if (calls.empty()) {
    reply.message.content = limited_ ? kSearchLimitReply : kNoPlanReply;
  }
  for (auto& call : calls) {
    PlannedCall sent = call;
    if (slip_at_ >= 0 && calls_made_ >= slip_at_) {
      sent = misspelt(call, rng_);
      if (!(sent == call)) slip_at_ = -1;  // There may have been nothing in that call to get wrong; then the next one.
    }
    const std::string id = fmt::format("call_{}", calls_made_++);
    reply.message.tool_calls.push_back({.id = id, .name = spec.tools[static_cast<std::size_t>(sent.tool)].spec.name, .arguments = sent.text()});
    issued_[id] = {.meant = std::move(call), .sent = std::move(sent)};
  }
  while (!thinking.empty() && thinking.back() == ' ') thinking.pop_back();
  reply.message.reasoning = std::move(thinking);
  reply.finish = reply.message.tool_calls.empty() ? FinishReason::Stop : FinishReason::ToolCalls;
  return reply;
}

}  // namespace gauntlet

#include "synth/tutor.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "synth/oracle.h"
#include "synth/slips.h"

namespace gauntlet {
TutorStyle draw_tutor_style(Rng& rng) { return {.parallel = rng.chance(880'000), .slip_per_million = 80'000}; }

TutorAgent::TutorAgent(const Planner& planner, Problem problem, TutorPlan plan, TutorStyle style, Rng rng)
    : planner_(planner), problem_(std::move(problem)), plan_(std::move(plan)), style_(style), rng_(rng), seen_(planner), judge_(problem_, plan_, seen_.world()) {
  for (const auto& group : plan_.groups) {
    if (!group.fixed_place.empty()) seen_.learn_name(plan_.place_table, group.fixed_place);
  }
  if (style_.slip_per_million > 0 && rng_.chance(static_cast<std::uint32_t>(style_.slip_per_million))) slip_at_ = static_cast<int>(rng_.range(1, 20));
}

Json TutorAgent::describe() const { return {{"kind", "tutor"}, {"parallel", style_.parallel}}; }

/// Reads the results that came since the last message: facts into the seen world, failures into the list of calls to repeat.
void TutorAgent::take_in(const std::vector<Message>& messages, std::string& notes) {
  for (; messages_read_ < messages.size(); ++messages_read_) {
    const Message& message = messages[messages_read_];
    const auto it = message.role == Role::Tool ? issued_.find(message.tool_call_id) : issued_.end();
    if (it == issued_.end()) continue;
    const auto& [meant, sent] = it->second;
    const Json result = parse_json(message.content, "a tool result");
    if (result.is_object() && result.contains("error")) {
      again_.push_back(meant);
      add_line(notes, fmt::format("That call failed: {} I meant {}.", result["error"].value("message", std::string()), meant.text()));
    } else {
      if (!(meant == sent)) again_.push_back(meant);  // a misspelling that names something else
      seen_.record(sent, result);
    }
    issued_.erase(it);
  }
}

bool TutorAgent::is_fixed(const std::string& place) const {
  return std::any_of(plan_.groups.begin(), plan_.groups.end(), [&](const auto& group) { return group.fixed_place == place; });
}

/// Unsettled groups that this place may serve. A place that the task sets for a group serves that group alone.
std::vector<int> TutorAgent::groups_here() const {
  std::vector<int> groups;
  for (std::size_t i = 0; i < plan_.groups.size(); ++i) {
    const std::string& fixed = plan_.groups[i].fixed_place;
    const bool here = fixed.empty() ? !is_fixed(place_) : fixed == place_;
    if (here && !settled_.contains(static_cast<int>(i))) groups.push_back(static_cast<int>(i));
  }
  return groups;
}

std::vector<int> TutorAgent::all_tables() const {
  std::vector<int> tables;
  for (const auto& member : plan_.groups.front().members) {
    if (std::find(tables.begin(), tables.end(), member.table) == tables.end()) tables.push_back(member.table);
  }
  return tables;
}

/// Tables of which the rules of these groups read something.
std::vector<int> TutorAgent::asked_tables(const std::vector<int>& groups) const {
  std::vector<int> tables;
  for (const int table : all_tables()) {
    const bool asked = std::any_of(groups.begin(), groups.end(), [&](int number) {
      const TutorGroup& group = plan_.groups[static_cast<std::size_t>(number)];
      for (std::size_t i = 0; i < group.members.size(); ++i) {
        if (group.members[i].table != table) continue;
        if (group.guard_member == static_cast<int>(i)) return true;
        const auto reads = [&](const TutorRule& rule) { return group.members[i].partner >= 0 ? rule.asks_of_pair() : !rule.single[i].empty(); };
        if (reads(group.rule) || std::any_of(group.branches.begin(), group.branches.end(), [&](const auto& branch) { return reads(branch.rule); })) return true;
      }
      return false;
    });
    if (asked) tables.push_back(table);
  }
  return tables;
}

/// A member on whose own conditions every one of these groups may fail, so that the others need not be looked at; -1 if there is none.
int TutorAgent::narrowing_member(const std::vector<int>& groups) const {
  for (std::size_t i = 0; i < plan_.groups.front().members.size(); ++i) {
    const bool all = std::all_of(groups.begin(), groups.end(), [&](int number) {
      const TutorGroup& group = plan_.groups[static_cast<std::size_t>(number)];
      return group.branches.empty() && !group.rule.single[i].empty();
    });
    if (all) return static_cast<int>(i);
  }
  return -1;
}

/// All groups have the same members.
const TutorMember& TutorAgent::member_of(int table) const {
  const auto& members = plan_.groups.front().members;
  return *std::find_if(members.begin(), members.end(), [&](const auto& candidate) { return candidate.table == table; });
}

std::vector<PlannedCall> TutorAgent::listings(const std::vector<int>& tables) const {
  std::vector<PlannedCall> calls;
  for (const int table : tables) {
    const auto call = planner_.list(table, {{member_of(table).within_column, Json(place_)}});
    if (call && !seen_.called(*call)) calls.push_back(*call);
  }
  return calls;
}

/// Names and all numbers of every row at this place.
std::vector<PlannedCall> TutorAgent::details(const std::vector<int>& tables) const {
  std::vector<PlannedCall> calls;
  for (const int table : tables) {
    const TutorMember& member = member_of(table);
    const WorldTable& data = seen_.world().tables[static_cast<std::size_t>(table)];
    std::vector<int> columns{data.key_column};
    for (std::size_t i = 0; i < data.columns.size(); ++i) {
      if (data.columns[i].type == ColumnType::Integer || data.columns[i].type == ColumnType::Number) columns.push_back(static_cast<int>(i));
    }
    for (const int row : judge_.rows_at(member, place_)) {
      auto call = planner_.tell(table, judge_.key(member, row), columns);
      if (!call) call = planner_.tell(table, judge_.key(member, row), {columns.begin() + 1, columns.end()});
      if (call && !seen_.called(*call)) calls.push_back(*call);
    }
  }
  return calls;
}

std::vector<PlannedCall> TutorAgent::go_to(const std::string& place) {
  place_ = place;
  visited_.insert(place);
  narrowed_.clear();
  narrow_member_ = is_fixed(place) ? -1 : narrowing_member(groups_here());
  stage_ = narrow_member_ >= 0 ? Stage::Narrow : Stage::Listed;
  return listings(narrow_member_ >= 0 ? std::vector<int>{plan_.groups.front().members[static_cast<std::size_t>(narrow_member_)].table} : all_tables());
}

std::vector<PlannedCall> TutorAgent::plan_calls(std::string& notes, std::string& answer) {
  if (stage_ == Stage::Begin) {
    for (const auto& group : plan_.groups) {
      add_line(notes, fmt::format("{}: {}; {}", group.name, group.fixed_place.empty() ? "any city" : group.fixed_place, judge_.digest(group)));
    }
    const auto fixed = std::find_if(plan_.groups.begin(), plan_.groups.end(), [](const auto& group) { return !group.fixed_place.empty(); });
    add_line(notes, fmt::format("{} first", fixed->fixed_place));
    auto calls = go_to(fixed->fixed_place);
    if (plan_.groups.size() > 1) {
      if (const auto cities = planner_.list(plan_.place_table, {})) calls.insert(calls.begin(), *cities);
    }
    return calls;
  }
  if (stage_ == Stage::Narrow) {
    const TutorMember& member = plan_.groups.front().members[static_cast<std::size_t>(narrow_member_)];
    auto calls = details({member.table});
    if (!calls.empty()) return calls;
    for (const int number : groups_here()) {
      const TutorGroup& group = plan_.groups[static_cast<std::size_t>(number)];
      add_line(notes, fmt::format("{}, {}", place_, group.name));
      const int row = judge_.choose_single(group, static_cast<std::size_t>(narrow_member_), group.rule.single[static_cast<std::size_t>(narrow_member_)], place_, notes);
      if (row >= 0) narrowed_[number] = row;
    }
    if (narrowed_.empty()) return leave(notes, answer);
    stage_ = Stage::Listed;
    add_line(notes, fmt::format("{} may do", place_));
    return listings(all_tables());
  }
  if (stage_ == Stage::Listed) {
    std::vector<int> groups;
    for (const int number : groups_here()) {
      if (narrow_member_ < 0 || narrowed_.contains(number)) groups.push_back(number);
    }
    stage_ = Stage::Known;
    auto calls = details(asked_tables(groups));
    if (!calls.empty()) return calls;
  }
  return judge_here(notes, answer);
}

std::vector<PlannedCall> TutorAgent::judge_here(std::string& notes, std::string& answer) {
  Fit fit{.place = place_, .rows = {}};
  for (const int number : groups_here()) {
    if (narrow_member_ >= 0 && !narrowed_.contains(number)) continue;
    const TutorGroup& group = plan_.groups[static_cast<std::size_t>(number)];
    const auto verdict = judge_.judge(group, place_, narrow_member_, narrow_member_ >= 0 ? narrowed_.at(number) : -1, notes);
    if (!verdict.fits) continue;
    fit.rows[number] = verdict.rows;
    fits_.push_back(fit);
    std::vector<int> of_group;
    if (complete_assignment(of_group)) return leave(notes, answer);
    fits_.pop_back();
  }
  if (fit.rows.size() == 1) settled_.insert(fit.rows.begin()->first);
  if (!fit.rows.empty()) fits_.push_back(std::move(fit));
  return leave(notes, answer);
}

/// A fit for each group, no place twice.
bool TutorAgent::complete_assignment(std::vector<int>& of_group) const {
  of_group.assign(plan_.groups.size(), -1);
  const std::function<bool(std::size_t)> assign = [&](std::size_t group) {
    if (group == plan_.groups.size()) return true;
    for (std::size_t i = 0; i < fits_.size(); ++i) {
      if (!fits_[i].rows.contains(static_cast<int>(group)) || std::find(of_group.begin(), of_group.end(), static_cast<int>(i)) != of_group.end()) continue;
      of_group[group] = static_cast<int>(i);
      if (assign(group + 1)) return true;
      of_group[group] = -1;
    }
    return false;
  };
  return assign(0);
}

std::vector<PlannedCall> TutorAgent::leave(std::string& notes, std::string& answer) {
  std::vector<int> of_group;
  if (complete_assignment(of_group)) {
    add_line(notes, "all planned");
    for (std::size_t i = 0; i < plan_.groups.size(); ++i) add_line(notes, fmt::format("{}={}", plan_.groups[i].name, fits_[static_cast<std::size_t>(of_group[i])].place));
    answer = write_answer(of_group);
    return {};
  }
  const WorldTable& places = seen_.world().tables[static_cast<std::size_t>(plan_.place_table)];
  // In the order of the listing; a place that the task names was known before it and is the first row.
  for (std::size_t row = 0; row < places.rows; ++row) {
    const std::string& place = seen_.world().symbols.text(static_cast<std::int32_t>(places.columns[static_cast<std::size_t>(places.key_column)].cells[row]));
    if (visited_.contains(place)) continue;
    add_line(notes, fmt::format("{} next", place));
    return go_to(place);
  }
  return {};
}

std::string TutorAgent::write_answer(const std::vector<int>& of_group) const {
  Json answer;
  for (std::size_t i = 0; i < problem_.slots.size(); ++i) {
    const SlotSpec& slot = problem_.slots[i];
    for (std::size_t g = 0; g < plan_.groups.size(); ++g) {
      const TutorGroup& group = plan_.groups[g];
      const Fit& fit = fits_[static_cast<std::size_t>(of_group[g])];
      if (group.date_slot == static_cast<int>(i)) answer[Json::json_pointer(slot.path)] = group.date;
      if (group.place_slot == static_cast<int>(i)) answer[Json::json_pointer(slot.path)] = fit.place;
      for (std::size_t m = 0; m < group.members.size(); ++m) {
        if (group.members[m].slot == static_cast<int>(i)) answer[Json::json_pointer(slot.path)] = judge_.key(group.members[m], fit.rows.at(static_cast<int>(g))[m]);
      }
    }
  }
  return dump_json(answer);
}

ChatReply TutorAgent::complete(const ChatRequest& request, const CancelFlag&) {
  std::string notes, answer;
  take_in(request.messages, notes);
  if (!again_.empty()) {
    waiting_.insert(waiting_.begin(), again_.begin(), again_.end());
    again_.clear();
  }
  // A step may need no call (nothing is asked of what was listed); then the next one follows at once.
  while (waiting_.empty() && answer.empty()) {
    const Stage before = stage_;
    const std::string where = place_;
    for (auto& call : plan_calls(notes, answer)) waiting_.push_back(std::move(call));
    if (waiting_.empty() && answer.empty() && before == stage_ && where == place_) break;
  }
  ChatReply reply;
  reply.message.role = Role::Assistant;
  reply.message.reasoning = std::move(notes);
  const EnvSpec& spec = planner_.spec();
  if (!answer.empty()) {
    reply.message.tool_calls.push_back({.id = fmt::format("call_{}", calls_made_++), .name = spec.submit_tool, .arguments = dump_json(Json{{spec.submit_argument, answer}})});
  } else if (waiting_.empty()) {
    reply.message.content = kNoPlanReply;
  }
  for (std::size_t sent_now = 0; answer.empty() && !waiting_.empty() && (style_.parallel || sent_now == 0); ++sent_now) {
    PlannedCall call = std::move(waiting_.front());
    waiting_.pop_front();
    PlannedCall sent = call;
    if (slip_at_ >= 0 && calls_made_ >= slip_at_) {
      sent = misspelt(call, rng_);
      if (!(sent == call)) slip_at_ = -1;
    }
    const std::string id = fmt::format("call_{}", calls_made_++);
    reply.message.tool_calls.push_back({.id = id, .name = spec.tools[static_cast<std::size_t>(sent.tool)].spec.name, .arguments = sent.text()});
    issued_[id] = {std::move(call), std::move(sent)};
  }
  reply.finish = reply.message.tool_calls.empty() ? FinishReason::Stop : FinishReason::ToolCalls;
  return reply;
}

std::unique_ptr<ChatModel> make_expert(Expert expert, const Planner& planner, const Problem& problem, Rng rng) {
  auto plan = expert == Expert::Tutor ? tutor_plan(problem, planner.spec()) : std::nullopt;
  if (plan) {
    const TutorStyle style = draw_tutor_style(rng);
    return std::make_unique<TutorAgent>(planner, problem, std::move(*plan), style, rng);
  }
  const OracleStyle style = draw_style(rng);
  return std::make_unique<OracleAgent>(planner, problem, style, rng);
}

}  // namespace gauntlet

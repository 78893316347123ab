#include "synth/probes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "core/error.h"
#include "synth/propagation.h"
#include "verifiers/mutants.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

constexpr int kOtherMutants = 64;                 ///< rejected mutants of the oracle's answer that the reference judge sees beside the near misses
constexpr int kOtherMutantsOfAlternatives = 16;   ///< the same of every other answer

/// Arguments that the world can answer: cells of one random row for what the reveal is given by.
std::optional<Json> good_arguments(const Reveal& reveal, const ToolDefinition& tool, const World& world, Rng& rng) {
  const WorldTable& table = world.tables[static_cast<std::size_t>(reveal.table)];
  Json arguments = Json::object();
  if (table.rows == 0 && !reveal.given.empty()) return std::nullopt;
  const std::size_t row = table.rows == 0 ? 0 : rng.below(table.rows);
  for (const auto& [argument, column] : reveal.given) {
    const WorldColumn& data = table.columns[static_cast<std::size_t>(column)];
    arguments[argument] = cell_to_json(world, data, data.cells[row]);
  }
  if (!reveal.keywords.empty()) arguments[reveal.keywords] = Json::array({tool.result_columns[rng.below(tool.result_columns.size())]});
  return arguments;
}

double round_to(double value, double digits) { return std::round(value * digits) / digits; }

std::size_t count_leaves(const Node& node) {
  const bool inner = node.kind == NodeKind::AllOf || node.kind == NodeKind::AnyOf || node.kind == NodeKind::AtLeast || node.kind == NodeKind::IfThenElse || node.kind == NodeKind::Not;
  if (!inner) return 1;
  std::size_t leaves = 0;
  for (const auto& child : node.children) leaves += count_leaves(child);
  return leaves;
}

}  // namespace

ToolFuzz fuzz_tools(const std::shared_ptr<EnvRuntime>& runtime, const std::shared_ptr<const World>& world, const Planner& planner, Rng rng) {
  ToolFuzz report;
  const EnvSpec& spec = planner.spec();
  Session untouched(runtime, world);
  for (std::size_t i = 0; i < spec.tools.size(); ++i) {
    const ToolDefinition& tool = spec.tools[i];
    if (tool.effect == ToolEffect::Submit) continue;
    std::vector<std::string> tries = {"", "{", "[]", "null", R"({"no_such_argument":1})", "{\"a\":\"\xff\"}"};
    Json wrong = Json::object();
    for (const auto& parameter : tool.parameters) wrong[parameter.name] = Json::array({1, nullptr});
    if (!wrong.empty()) tries.push_back(dump_json(wrong));
    for (const auto& parameter : tool.parameters) wrong[parameter.name] = "Nowhere at all";
    if (!wrong.empty()) tries.push_back(dump_json(wrong));
    const Reveal* reveal = planner.of_tool(static_cast<int>(i));
    bool must_work = false;
    if (reveal != nullptr) {
      const auto arguments = good_arguments(*reveal, tool, *world, rng);
      if (arguments) tries.push_back(dump_json(*arguments));
      must_work = arguments.has_value();
    }
    bool worked = false;
    for (const auto& arguments : tries) {
      try {
        // What a write did must not spoil later tries; reads leave nothing behind.
        std::optional<Session> own;
        if (tool.effect == ToolEffect::Write) own.emplace(untouched.fork());
        const ToolOutcome outcome = (own ? *own : untouched).call(tool.spec.name, arguments);
        ++report.calls;
        report.errors += outcome.is_error ? 1 : 0;
        if (&arguments == &tries.back()) worked = !outcome.is_error;
        if (!Json::accept(outcome.content)) report.problem = fmt::format("{} gave no JSON for {}", tool.spec.name, arguments);
      } catch (const Error& error) {
        report.problem = fmt::format("{} failed for {}: {}", tool.spec.name, arguments, error.what());
      }
    }
    if (must_work && !worked) report.problem = fmt::format("{} could not be called with {}", tool.spec.name, tries.back());
  }
  return report;
}

int random_passes(Verifier& verifier, const CompiledProblem& problem, const CompiledProblem& frame, int tries, Rng rng) {
  Evaluator evaluator(frame);
  Propagator propagator(evaluator);
  std::vector<int> constraints = frame.atoms();
  propagator.propagate(constraints, nullptr);
  const auto& slots = problem.problem().slots;
  struct Place {
    int target = -1;                     ///< slot that this one lies within, -1 if free
    const std::vector<Cell>* cells = nullptr;
    std::unordered_map<Cell, std::vector<SlotValue>> inside;
  };
  std::vector<Place> places(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].within.empty()) continue;
    const auto& [column, target] = slots[i].within.front();
    const WorldTable& table = problem.world().tables[static_cast<std::size_t>(problem.slots()[i].table)];
    places[i].target = problem.problem().find_slot(target);
    places[i].cells = &table.columns[static_cast<std::size_t>(table.find_column(column))].cells;
    const Domain& domain = evaluator.domain(static_cast<int>(i));
    for (std::int32_t k = 0; k < domain.count; ++k) places[i].inside[(*places[i].cells)[static_cast<std::size_t>(domain.data[k])]].push_back(domain.data[k]);
  }
  std::vector<SlotValue> values(slots.size());
  int passes = 0;
  for (int attempt = 0; attempt < tries; ++attempt) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const Domain& domain = evaluator.domain(static_cast<int>(i));
      values[i] = domain.data[rng.below(static_cast<std::uint64_t>(domain.count))];
      if (places[i].target < 0) continue;
      const auto it = places[i].inside.find(problem.slot_cell(places[i].target, values[static_cast<std::size_t>(places[i].target)]));
      if (it != places[i].inside.end()) values[i] = rng.pick(it->second);
    }
    passes += verifier.passes_values(values) ? 1 : 0;
  }
  return passes;
}

namespace {

using Change = std::pair<std::size_t, SlotValue>;

/// The changes to put to the reference judge: all that break no constraint, the near misses, and some of the others at random.
std::vector<Change> changes_to_judge(const CompiledProblem& problem, const std::vector<SlotValue>& answer, const KillMatrix& matrix, int others, Rng& rng) {
  std::vector<Change> changes = matrix.survivors;
  for (const auto& near : matrix.samples) {
    const auto slot = static_cast<std::size_t>(std::mismatch(near.begin(), near.end(), answer.begin()).first - near.begin());
    changes.emplace_back(slot, near[slot]);
  }
  for (int i = 0; i < others; ++i) {
    const std::size_t slot = rng.below(answer.size());
    const auto value = static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(problem.slots()[slot].size)));
    if (value != answer[slot]) changes.emplace_back(slot, value);
  }
  std::sort(changes.begin(), changes.end());
  changes.erase(std::unique(changes.begin(), changes.end()), changes.end());
  return changes;
}

}  // namespace

MutantReport measure_verifier(Verifier& verifier, const CompiledProblem& problem, const std::vector<std::vector<SlotValue>>& answers, std::optional<Cell> optimum, Rng rng) {
  MutantReport report;
  const auto judge = [&](const std::string& text, bool correct) {
    const bool passed = verifier.passes(text);
    (correct ? report.equivalents : report.tried) += 1;
    (correct ? report.accepted : report.rejected) += passed == correct ? 1 : 0;
    if (passed != correct && report.problem.empty()) report.problem = fmt::format("{} was {}", text, passed ? "accepted" : "rejected");
  };
  const bool minimise = problem.problem().sense != ObjectiveSense::Maximise;
  for (const auto& answer : answers) {
    const bool first = &answer == &answers.front();
    const Json own = answer_to_json(problem, answer);
    const KillMatrix matrix = sweep_mutants(problem, answer);
    ReferenceMutants reference(problem.problem(), problem.world(), own);
    std::size_t passing = 0;
    if (!reference_holds(problem.problem(), problem.world(), own)) {
      ++report.disagreements;
      if (report.problem.empty()) report.problem = fmt::format("{} is wrong by the reference judge", dump_json(own));
    }
    for (const auto& [slot, value] : changes_to_judge(problem, answer, matrix, first ? kOtherMutants : kOtherMutantsOfAlternatives, rng)) {
      std::vector<SlotValue> mutant = answer;
      mutant[slot] = value;
      const auto verdict = reference.judge(slot, problem.value_to_json(static_cast<int>(slot), value));
      const bool better = optimum && verdict.objective && (minimise ? *verdict.objective < *optimum : *verdict.objective > *optimum);
      const bool correct = verdict.holds && (problem.objective() < 0 || verdict.objective == optimum);
      const bool passed = verifier.passes_values(mutant);
      ++report.judged;
      passing += passed ? 1 : 0;
      report.harmless += passed && correct ? 1 : 0;
      if (!correct) {
        ++report.tried;
        report.rejected += passed ? 0 : 1;
      }
      if (passed == correct && !better) continue;
      ++report.disagreements;
      if (report.problem.empty()) report.problem = fmt::format("{} {}", answer_to_text(problem, mutant), better ? "is better than the optimum" : passed ? "was accepted" : "was rejected");
    }
    report.mutants += matrix.mutants;
    report.mutants_rejected += matrix.mutants - passing;
    for (const auto& text : equivalent_texts(problem, answer)) judge(text, true);
    if (!first) continue;
    for (const auto& text : broken_texts(problem, answer)) judge(text, false);
    report.kill_matrix = Json::array();
    for (std::size_t r = 0; r < matrix.kills.size(); ++r) report.kill_matrix.push_back(Json::array({matrix.kills[r], matrix.sole_kills[r]}));
  }
  return report;
}

Json difficulty_vector(const Candidate& candidate, const CompiledProblem& problem, const DifficultyFacts& facts) {
  std::size_t leaves = 0;
  for (std::size_t i = candidate.base_constraints; i < candidate.problem.constraints.size(); ++i) leaves += count_leaves(candidate.problem.constraints[i]);
  std::set<std::pair<std::size_t, std::size_t>> coupled;
  std::set<int> tables;
  int hops = 0;
  for (const int atom : problem.atoms()) {
    const std::vector<int> touched = slots_of(problem.node(atom).slots);
    for (const int a : touched) {
      for (const int b : touched) {
        if (a < b) coupled.insert({static_cast<std::size_t>(a), static_cast<std::size_t>(b)});
      }
    }
  }
  std::set<std::pair<int, std::string>> used;
  std::size_t rows = 0;
  for (const auto& slot : candidate.problem.slots) {
    int depth = 1;
    for (const SlotSpec* at = &slot; !at->within.empty(); ++depth) at = &candidate.problem.slots[static_cast<std::size_t>(candidate.problem.find_slot(at->within.front().second))];
    hops = std::max(hops, depth + 1);
    const int table = candidate.world->find_table(slot.entity);
    if (table >= 0 && tables.insert(table).second) rows += candidate.world->tables[static_cast<std::size_t>(table)].rows;
    if (table >= 0) used.insert({table, slot.id});
  }
  const double distractors = rows == 0 ? 0.0 : 1.0 - static_cast<double>(used.size()) / static_cast<double>(rows);
  return {{"log10_density", round_to(facts.log10_density, 1e4)},
          {"active_constraints", leaves},
          {"coupling", round_to(static_cast<double>(coupled.size()) / static_cast<double>(candidate.problem.slots.size()), 1e3)},
          {"minimal_tool_calls", facts.minimal_tool_calls},
          {"hops", hops},
          {"distractor_share", round_to(std::max(0.0, distractors), 1e3)},
          {"answer_size", candidate.problem.slots.size()},
          {"evidence_tokens", facts.evidence_bytes / 4}};
}

}  // namespace gauntlet

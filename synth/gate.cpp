#include "synth/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "agent/rollout.h"
#include "core/error.h"
#include "core/sha256.h"
#include "synth/agents.h"
#include "synth/neighbours.h"
#include "synth/oracle.h"
#include "synth/probes.h"
#include "synth/solver.h"
#include "verifiers/mutants.h"

namespace gauntlet {
namespace {

constexpr int kAlternativeAnswers = 4;
constexpr double kIdleShare = 0.9;  ///< clauses on a group that leave more than this of it need no information
constexpr std::int64_t kNoWallLimit = 10LL * 365 * 24 * 3600 * 1000;  ///< ten years: far, and still representable in nanoseconds
constexpr std::string_view kVerifierVersion = "gauntlet-verifier/1";

/// Everything that the stages share about one candidate.
struct Workbench {
  const Candidate& candidate;
  CompiledProblem problem;
  std::optional<Cell> optimum;
  Rng rng;
  const CancelFlag& cancel;
  Json certificate = Json::object();

  Workbench(const Candidate& given, std::uint64_t seed, const CancelFlag& stop) : candidate(given), problem(given.problem, *given.world), rng(seed), cancel(stop) {}
};

Gate::Outcome drop(std::string reason, std::string detail) { return {.task = std::nullopt, .world = nullptr, .dropped = std::move(reason), .detail = std::move(detail)}; }

/// For each group of slots that has clauses of its own, the share of what the frame allows there that those clauses leave. Rules that reach
/// beyond the group are left aside on both sides, so that each count is a small one. Nothing if a count was cut off.
std::optional<Json> group_shares(const Workbench& bench, std::size_t frame_atoms, std::int64_t max_nodes) {
  const Candidate& candidate = bench.candidate;
  const CompiledProblem& problem = bench.problem;
  std::map<std::string, SlotMask> groups;
  for (std::size_t i = 0; i < candidate.problem.slots.size(); ++i) groups[candidate.problem.slots[i].group].set(i);
  double log10_all = 0.0;
  for (const auto& slot : problem.slots()) log10_all += std::log10(std::max(1, static_cast<int>(slot.size)));
  Json shares = Json::object();
  for (const auto& [group, slots] : groups) {
    std::vector<int> frame, all;
    for (std::size_t i = 0; i < problem.atoms().size(); ++i) {
      if ((problem.node(problem.atoms()[i]).slots & ~slots).any()) continue;
      all.push_back(static_cast<int>(i));
      if (i < frame_atoms) frame.push_back(static_cast<int>(i));
    }
    if (group.empty() || all.size() == frame.size()) continue;
    const auto count = [&](const std::vector<int>& atoms) { return solve(problem, {.max_nodes = max_nodes, .atom_positions = atoms, .ignore_objective = true, .cancel = &bench.cancel}); };
    const SolveResult left = count(all);
    const SolveResult allowed = frame.empty() ? SolveResult{.log10_count = log10_all} : count(frame);
    if (!left.complete || !allowed.complete) return std::nullopt;
    shares[group] = left.count == 0 ? 0.0 : std::round(std::pow(10.0, left.log10_count - allowed.log10_count) * 1e4) / 1e4;
  }
  return shares;
}

/// One answer for each branch of each conditional, where there is one: the branches ask for different evidence.
void add_branch_answers(const Workbench& bench, std::vector<std::vector<SlotValue>>& answers) {
  const Problem& source = bench.candidate.problem;
  for (const auto& root : source.constraints) {
    for (const Node* link = &root; link != nullptr && link->kind == NodeKind::IfThenElse; link = link->children.size() > 2 ? &link->children[2] : nullptr) {
      Problem branch = source;
      branch.constraints.push_back(link->children[0]);
      const CompiledProblem compiled(std::move(branch), *bench.candidate.world);
      Rng rng = bench.rng.split("branch");
      const SearchResult found = find_answer(compiled, rng, {.max_nodes = 20'000, .optimum = bench.optimum, .atom_positions = {}, .preference = {}, .cancel = &bench.cancel});
      if (found.answer && std::find(answers.begin(), answers.end(), *found.answer) == answers.end()) answers.push_back(*found.answer);
    }
  }
}

Json optimum_json(std::optional<Cell> optimum) {
  if (!optimum) return nullptr;
  if (*optimum % kCellScale == 0) return *optimum / kCellScale;
  return static_cast<double>(*optimum) / static_cast<double>(kCellScale);
}

/// Runs one of the built-in agents on a fresh session, judged by `verifier`.
Episode attempt(const std::string& agent, const Workbench& bench, const Planner& planner, const std::shared_ptr<EnvRuntime>& runtime,
                const std::shared_ptr<const std::vector<ToolSpec>>& tools, Verifier& verifier) {
  const auto model = make_agent(agent, planner, bench.candidate.problem, bench.rng.split(agent).next());
  EpisodeSetup setup{.session = Session(runtime, bench.candidate.world), .user_prompt = bench.candidate.prompt, .tools = tools};
  setup.limits = gate_limits();
  setup.judge = [&](const std::optional<std::string>& answer) { return verifier.verify(answer); };
  return run_episode(*model, std::move(setup), bench.cancel);
}

}  // namespace

Gate::Gate(std::shared_ptr<const EnvSpec> spec, GateOptions options)
    : spec_(std::move(spec)), runtime_(std::make_shared<EnvRuntime>(spec_)), tools_(std::make_shared<const std::vector<ToolSpec>>(spec_->tool_specs())), planner_(*spec_), options_(options) {}

std::optional<Cell> certified_optimum(const Json& certificate) {
  const auto it = certificate.find("optimum_thousandths");
  if (it == certificate.end() || !it->is_number_integer()) return std::nullopt;
  return it->get<Cell>();
}

std::string verifier_hash(const Json& problem, std::optional<Cell> optimum) {
  return sha256_hex(fmt::format("{}\n{}\n{}", kVerifierVersion, canonical_json(problem), optimum ? std::to_string(*optimum) : "-"));
}

EpisodeLimits gate_limits() {
  EpisodeLimits limits;
  limits.max_wall_ms = kNoWallLimit;
  limits.max_steps = 2000;
  limits.max_tool_calls = 5000;
  return limits;
}

Gate::Outcome Gate::certify(const Candidate& candidate) {
  const CancelFlag never{false};
  return certify(candidate, never);
}

Gate::Outcome Gate::certify(const Candidate& candidate, const CancelFlag& cancel) {
  Outcome outcome = run_stages(candidate, cancel);
  // A search that was cut short looks like one at its limit, so what a cancelled stage found means nothing.
  if (cancel.load()) return drop("cancelled", "");
  if (outcome.task) outcome.world = candidate.world;
  return outcome;
}

Gate::Outcome Gate::run_stages(const Candidate& candidate, const CancelFlag& cancel) {
  const std::string hash = content_hash(*spec_, candidate);
  Workbench bench(candidate, hash_text(hash), cancel);
  Json& certificate = bench.certificate;

  // Counting is the cheapest filter, so it comes before anything that runs tools; and of the counts those of the parts come first.
  Problem frame_problem = candidate.problem;
  frame_problem.constraints.resize(candidate.base_constraints);
  frame_problem.sense = ObjectiveSense::None;
  const CompiledProblem frame(frame_problem, *candidate.world);
  const SolveResult all = solve(frame, {.max_nodes = options_.solver_nodes, .atom_positions = {}, .ignore_objective = true, .cancel = &cancel});
  if (!all.complete) return drop("solver_limit", fmt::format("the frame is undecided after {} nodes", all.nodes));
  if (all.count == 0) return drop("unsolvable", "the solver proved that the frame allows no answer");
  const auto shares = group_shares(bench, frame.atoms().size(), options_.solver_nodes);
  if (!shares) return drop("solver_limit", "the clauses on one group of slots are undecided");
  for (const auto& share : shares->items()) {
    if (share.value().get<double>() > kIdleShare) return drop("idle_clauses", fmt::format("the clauses on {} leave {} of it", share.key(), dump_json(share.value())));
  }

  const SolveResult solved = solve(bench.problem, {.max_nodes = options_.solver_nodes, .atom_positions = {}, .ignore_objective = false, .cancel = &cancel});
  if (solved.complete && solved.count == 0) return drop("unsolvable", "the solver proved that no answer exists");
  if (!solved.complete && (solved.count == 0 || bench.problem.objective() >= 0)) return drop("solver_limit", fmt::format("undecided after {} nodes", solved.nodes));
  DifficultyFacts facts;
  facts.log10_density = solved.log10_count - all.log10_count;
  const auto in_range = [&](const std::string& name, double value) {
    return std::all_of(candidate.accept.begin(), candidate.accept.end(), [&](const auto& range) { return range.name != name || (value >= range.low && value <= range.high); });
  };
  if (!in_range("log10_density", facts.log10_density)) return drop("difficulty", fmt::format("log10_density {:.2f}", facts.log10_density));
  bench.optimum = solved.optimum;

  std::vector<std::vector<SlotValue>> answers;
  const std::set<std::string> told = told_names(candidate.problem, *candidate.world);
  for (int i = 0; i < kAlternativeAnswers; ++i) {
    Rng rng = bench.rng.split("answer").split(static_cast<std::uint64_t>(i));
    const SearchResult found = find_answer(bench.problem, rng, {.max_nodes = 400'000, .optimum = bench.optimum, .atom_positions = {}, .preference = {}, .cancel = &cancel});
    if (!found.answer) return drop("solver_limit", "counted answers, but none was found within the search limit");
    if (std::find(answers.begin(), answers.end(), *found.answer) == answers.end()) answers.push_back(*found.answer);
  }
  add_branch_answers(bench, answers);
  if (cancel.load()) return {};
  std::optional<int> calls;
  for (const auto& answer : answers) {
    const auto needed = planner_.count_calls(bench.problem, answer, told);
    if (needed && (!calls || *needed < *calls)) calls = needed;
  }
  if (!calls) return drop("not_observable", "the verdict rests on facts that no tool shows");
  facts.minimal_tool_calls = *calls;
  if (!in_range("minimal_tool_calls", *calls)) return drop("difficulty", fmt::format("minimal_tool_calls {}", *calls));

  Verifier verifier(bench.problem, *spec_, bench.optimum);
  const int passes = random_passes(verifier, bench.problem, frame, options_.random_tries, bench.rng.split("random"));
  const bool easy_level = candidate.level <= 1;  // 0: named tasks and vectors, whose ranges are the asker's
  if (passes * 100 >= options_.random_tries * (easy_level ? 60 : 1)) return drop("random_passes", fmt::format("{} of {} random answers pass", passes, options_.random_tries));

  const ToolFuzz fuzz = fuzz_tools(runtime_, candidate.world, planner_, bench.rng.split("fuzz"));
  if (!fuzz.problem.empty()) return drop("tool_fault", fuzz.problem);

  const Episode oracle = attempt("oracle", bench, planner_, runtime_, tools_, verifier);
  if (!oracle.messages.empty() && oracle.messages.back().content == kSearchLimitReply) return drop("oracle_search_limit", fmt::format("after {} calls", oracle.tool_calls));
  if (!oracle.score.scored || oracle.score.value != 1.0) {
    return drop("oracle_failed", fmt::format("{}: {}{}", stop_reason_name(oracle.stop), oracle.score.summary, oracle.score.unscored_reason));
  }
  if (cancel.load()) return {};
  for (const auto& message : oracle.messages) {
    if (message.role == Role::Tool) facts.evidence_bytes += message.content.size();
  }
  Json adversaries = Json::object();
  for (const std::string agent : {"noop", "constant", "echo", "random", "greedy"}) {
    const Episode episode = attempt(agent, bench, planner_, runtime_, tools_, verifier);
    if (!episode.score.scored) return drop("adversary_fault", fmt::format("{}: {}", agent, episode.score.unscored_reason));
    if (episode.score.value != 0.0) return drop("adversary_" + agent, fmt::format("the {} agent passes", agent));
    adversaries[agent] = 0;
  }

  // Whoever knows only the prompt has to name at least one row that the prompt does not.
  std::size_t untold = 0;
  for (std::size_t i = 0; i < bench.problem.slots().size(); ++i) {
    if (bench.problem.slots()[i].table >= 0 && !told.contains(bench.problem.symbol_text(bench.problem.slot_cell(static_cast<int>(i), answers.front()[i])))) ++untold;
  }
  if (untold == 0) return drop("solvable_without_tools", "the prompt names every row of an answer");

  // The oracle's own answer leads: it is the one that the tools were shown to lead to.
  std::vector<SlotValue> own;
  AnswerReader(bench.problem).read(*oracle.answer, own, nullptr);
  std::erase(answers, own);
  answers.insert(answers.begin(), own);
  const MutantReport mutants = measure_verifier(verifier, bench.problem, answers, bench.optimum, bench.rng.split("mutants"));
  if (mutants.disagreements > 0) return drop("verifier_disagrees", mutants.problem);
  if (mutants.rejected != mutants.tried) return drop("mutant_accepted", mutants.problem);
  if (mutants.accepted != mutants.equivalents) return drop("equivalent_rejected", mutants.problem);

  // The same key in a fresh build, and the problem by way of its text: same bytes, same verdicts, in the opposite order.
  const std::string fingerprint = sha256_hex(world_fingerprint(*candidate.world));
  const auto rebuilt = build_world(*spec_, world_key_from_json(parse_json(dump_json(to_json(candidate.key)), "world key"), ""));
  const CompiledProblem again(parse_problem(parse_json(dump_json(candidate.problem_json), "problem"), ""), *rebuilt);
  Verifier second(again, *spec_, bench.optimum);
  const std::string broken = broken_texts(bench.problem, own).back();
  const bool same = !second.passes(broken) && second.passes(*oracle.answer) && sha256_hex(world_fingerprint(*rebuilt)) == fingerprint;
  if (!same) return drop("not_reproducible", "a fresh build of the same world or problem differs");

  certificate = {{"version", 2},
                 {"oracle_answer", Json::parse(*oracle.answer)},
                 {"oracle", {{"seed", fmt::format("{:016x}", bench.rng.split("oracle").next())}, {"steps", oracle.steps}, {"tool_calls", oracle.tool_calls}, {"trace_sha256", ""}}},
                 {"solution_count", solved.count},
                 {"solution_count_exact", solved.exact},
                 {"log10_density_is_bound", !solved.complete},  // then there may be more answers, and the density is the least there is
                 {"log10_solution_count", std::round(solved.log10_count * 1e4) / 1e4},
                 {"optimum", optimum_json(bench.optimum)},
                 {"optimum_thousandths", bench.optimum ? Json(*bench.optimum) : Json(nullptr)},
                 {"minimal_tool_calls", *calls},
                 {"group_shares", *shares},
                 {"solver_nodes", options_.solver_nodes},
                 {"random_tries", options_.random_tries},
                 {"random_passes", passes},
                 {"random_pass_rate", static_cast<double>(passes) / options_.random_tries},
                 {"adversaries", adversaries},
                 {"rows_not_in_prompt", untold},
                 {"mutants", {{"tried", mutants.mutants}, {"rejected", mutants.mutants_rejected}, {"harmless", mutants.harmless}, {"judged_by_reference", mutants.judged}, {"disagreements", mutants.disagreements}}},
                 {"true_negatives", {{"tried", mutants.tried}, {"rejected", mutants.rejected}}},
                 {"true_negative_rate", static_cast<double>(mutants.rejected) / static_cast<double>(mutants.tried)},
                 {"true_positives", {{"tried", mutants.equivalents}, {"accepted", mutants.accepted}}},
                 {"true_positive_rate", static_cast<double>(mutants.accepted) / static_cast<double>(mutants.equivalents)},
                 {"alternative_answers", answers.size() - 1},
                 {"kill_matrix", mutants.kill_matrix},
                 {"tool_fuzz", {{"calls", fuzz.calls}, {"refusals", fuzz.errors}}},
                 {"world_sha256", fingerprint},
                 {"env_sha256", spec_->sha256},
                 {"signature_sha256", solution_signature(candidate.problem_json, Json::parse(*oracle.answer))},
                 {"verifier_sha256", verifier_hash(candidate.problem_json, bench.optimum)}};
  std::string trace;
  for (const auto& message : oracle.messages) trace += dump_json(to_json(message)) + "\n";
  certificate["oracle"]["trace_sha256"] = sha256_hex(trace);

  Task task;
  task.task_id = task_id_of(*spec_, hash);
  task.environment = spec_->name;
  task.env_sha256 = spec_->sha256;
  task.named = candidate.named;
  task.world = candidate.key;
  task.level = candidate.level;
  task.prompt = candidate.prompt;
  task.problem = candidate.problem_json;
  const Json vector = difficulty_vector(candidate, bench.problem, facts);
  for (const auto& item : vector.items()) {
    if (!in_range(item.key(), item.value().get<double>())) return drop("difficulty", fmt::format("{} {}", item.key(), dump_json(item.value())));
  }
  task.difficulty = {{"level", candidate.level}, {"vector", vector}, {"frame_constraints", candidate.base_constraints}};
  task.certificate = certificate;
  return {.task = std::move(task), .dropped = "", .detail = ""};
}

Gate::Outcome Gate::recertify(const Task& task) {
  const CancelFlag never{false};
  return recertify(task, never);
}

Gate::Outcome Gate::recertify(const Task& task, const CancelFlag& cancel) {
  Candidate candidate;
  candidate.key = task.world;
  candidate.world = build_world(*spec_, task.world);
  candidate.problem_json = task.problem;
  candidate.problem = parse_problem(task.problem, "");
  candidate.base_constraints = static_cast<std::size_t>(get_integer(task.difficulty, "frame_constraints", "/difficulty"));
  candidate.prompt = task.prompt;
  candidate.level = task.level;
  candidate.named = task.named;
  options_.random_tries = static_cast<int>(get_integer(task.certificate, "random_tries", "/certificate"));
  options_.solver_nodes = get_integer(task.certificate, "solver_nodes", "/certificate");
  return certify(candidate, cancel);
}

}  // namespace gauntlet

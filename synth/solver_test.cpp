#include "synth/solver.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "synth/additive.h"
#include "synth/propagation.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

/// Every assignment judged by the plain reference judge.
struct BruteForce {
  std::vector<Json> correct;                   ///< answers that satisfy every constraint
  std::vector<std::optional<Cell>> objective;  ///< [correct]
  std::optional<Cell> optimum;
  std::uint64_t optimal = 0;
};

std::size_t product_size(const std::vector<std::vector<Json>>& choices) {
  std::size_t size = 1;
  for (const auto& list : choices) size *= list.size();
  return size;
}

template <class Visit>
void for_each_answer(const Problem& problem, const std::vector<std::vector<Json>>& choices, Visit&& visit) {
  std::vector<std::size_t> at(choices.size(), 0);
  std::vector<Json> values;
  for (const auto& list : choices) {
    if (list.empty()) return;
    values.push_back(list.front());
  }
  while (true) {
    visit(answer_with(problem, values));
    std::size_t i = 0;
    while (i < at.size() && ++at[i] == choices[i].size()) {
      at[i] = 0;
      values[i] = choices[i].front();
      ++i;
    }
    if (i == at.size()) return;
    values[i] = choices[i][at[i]];
  }
}

BruteForce brute_force(const Problem& problem, const World& world) {
  BruteForce result;
  for_each_answer(problem, slot_choices(problem, world), [&](const Json& answer) {
    if (!reference_holds(problem, world, answer)) return;
    result.correct.push_back(answer);
    if (problem.sense == ObjectiveSense::None) return;
    const auto reached = reference_objective(problem, world, answer);
    result.objective.push_back(reached);
    if (!reached) return;
    const bool better = !result.optimum ||
                        (problem.sense == ObjectiveSense::Minimise ? *reached < *result.optimum : *reached > *result.optimum);
    if (better) result.optimum = reached;
  });
  for (const auto& reached : result.objective) result.optimal += reached && reached == result.optimum ? 1 : 0;
  return result;
}

/// An atom as a node of its own: all-different is taken apart into pairs.
Node atom_node(const CompiledProblem& compiled, int atom) {
  const CompiledNode& node = compiled.node(atom);
  Node out = *node.source;
  if (node.kind != NodeKind::AllDifferent) return out;
  out.children.clear();
  for (const int child : node.children) out.children.push_back(*compiled.node(child).source);
  return out;
}

/// What all solving calls must say about one problem; text names the first that does not.
std::string disagreement(const Problem& problem, const World& world, Rng& rng) {
  const BruteForce truth = brute_force(problem, world);
  const CompiledProblem compiled(problem, world);
  const bool has_objective = problem.sense != ObjectiveSense::None;
  const std::uint64_t wanted = has_objective ? truth.optimal : truth.correct.size();

  const SolveResult solved = solve(compiled);
  if (!solved.complete || !solved.exact) return "solve did not exhaust a small problem";
  if (solved.count != wanted) return fmt::format("solve counts {}, brute force {}", solved.count, wanted);
  if (solved.optimum != truth.optimum) return "the optimum differs";
  const double log10_wanted = wanted == 0 ? -1.0 : std::log10(static_cast<double>(wanted));
  if (std::abs(solved.log10_count - log10_wanted) > 1e-9)
    return fmt::format("log10_count is {} for {}", solved.log10_count, wanted);

  const SolveResult feasible = solve(compiled, {.max_nodes = 1'000'000, .atom_positions = {}, .ignore_objective = true});
  if (feasible.count != truth.correct.size() || !feasible.exact || feasible.optimum) return "ignoring the objective miscounts";

  const std::int64_t limit = rng.range(1, 12);
  const SolveResult cut = solve(compiled, {.max_nodes = limit, .atom_positions = {}, .ignore_objective = true});
  if (cut.count > truth.correct.size())
    return fmt::format("limit {}: the lower bound {} is above {}", limit, cut.count, truth.correct.size());
  if (cut.complete && cut.count != truth.correct.size()) return "called complete with a wrong count";
  if (cut.exact && !cut.complete) return "called exact without being complete";
  const SolveResult best_cut = solve(compiled, {.max_nodes = limit, .atom_positions = {}, .ignore_objective = false});
  if (best_cut.optimum && (!best_cut.complete || best_cut.optimum != truth.optimum)) return "an optimum without exhaustion";

  // A random subset of the atoms, judged one by one.
  std::vector<int> chosen;
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < compiled.atoms().size(); ++i) {
    if (!rng.chance(500'000)) continue;
    chosen.push_back(static_cast<int>(i));
    nodes.push_back(atom_node(compiled, compiled.atoms()[i]));
  }
  if (!chosen.empty()) {
    std::uint64_t holding = 0;
    for_each_answer(problem, slot_choices(problem, world), [&](const Json& answer) {
      holding += std::all_of(nodes.begin(), nodes.end(),
                             [&](const Node& node) { return reference_predicate(problem, world, answer, node); })
                     ? 1
                     : 0;
    });
    const SolveResult part = solve(compiled, {.max_nodes = 1'000'000, .atom_positions = chosen, .ignore_objective = true});
    if (part.count != holding)
      return fmt::format("{} atoms: solve counts {}, brute force {}", chosen.size(), part.count, holding);
    const SearchResult some =
        find_answer(compiled, rng, {.max_nodes = 100'000, .optimum = {}, .atom_positions = chosen, .preference = {}});
    if (some.answer.has_value() != (holding > 0) || !some.complete) return "find_answer on a subset of the atoms is wrong";
  }

  const SearchResult any = find_answer(compiled, rng);
  if (any.answer.has_value() != !truth.correct.empty() || !any.complete)
    return "find_answer finds one where there is none, or none where there is one";
  if (any.answer && !reference_holds(problem, world, Json::parse(answer_to_text(compiled, *any.answer))))
    return "find_answer gives a wrong answer";
  if (truth.optimum) {
    const SearchResult best =
        find_answer(compiled, rng, {.max_nodes = 100'000, .optimum = truth.optimum, .atom_positions = {}, .preference = {}});
    if (!best.answer) return "find_answer misses the optimum";
    const Json answer = Json::parse(answer_to_text(compiled, *best.answer));
    if (!reference_holds(problem, world, answer) || reference_objective(problem, world, answer) != truth.optimum)
      return "find_answer gives no optimal answer";
  }
  return "";
}

void check_random_problems(int wanted, std::size_t largest, Rng rng) {
  int without_answer = 0;
  int with_objective = 0;
  int many_answers = 0;
  for (int tried = 0; tried < wanted;) {
    const RandomProblem drawn = random_problem(rng);
    if (product_size(slot_choices(drawn.problem, *drawn.world)) > largest) continue;
    ++tried;
    const std::string problem = disagreement(drawn.problem, *drawn.world, rng);
    if (!problem.empty()) FAIL(problem << ": " << dump_json(to_json(drawn.problem)));
    const auto count = solve(CompiledProblem(drawn.problem, *drawn.world)).count;
    without_answer += count == 0 ? 1 : 0;
    many_answers += count > 1 ? 1 : 0;
    with_objective += drawn.problem.sense != ObjectiveSense::None ? 1 : 0;
  }
  // The sample is no sample if it has only one kind.
  CHECK(without_answer > wanted / 20);
  CHECK(many_answers > wanted / 4);
  CHECK(with_objective > wanted / 10);
}

Node slot_node(const std::string& id) {
  Node node{.kind = NodeKind::SlotValue};
  node.slot = id;
  return node;
}

Node number_node(std::int64_t number) {
  Node node{.kind = NodeKind::Const};
  node.constant.number = number * kCellScale;
  return node;
}

Node compare_node(CompareOp op, Node a, Node b) {
  Node node{.kind = NodeKind::Compare, .op = op};
  node.children = {std::move(a), std::move(b)};
  return node;
}

/// Integer slots in loosely joined pairs, under sums, counts and at-least-n over all of them: the shape that histograms carry.
Problem additive_problem(Rng& rng) {
  Problem problem;
  const auto slots = rng.range(4, 6);
  std::vector<Node> all;
  for (std::int64_t i = 0; i < slots; ++i) {
    SlotSpec slot;
    slot.id = fmt::format("n{}", i);
    slot.path = "/" + slot.id;
    slot.domain = SlotDomain::Integers;
    slot.from = rng.range(-2, 1);
    slot.to = slot.from + rng.range(1, 3);
    problem.slots.push_back(slot);
    all.push_back(slot_node(slot.id));
  }
  const auto random_op = [&] { return static_cast<CompareOp>(rng.below(6)); };
  for (std::int64_t i = 0; i + 1 < slots; i += 2) {
    if (rng.chance(600'000))
      problem.constraints.push_back(
          compare_node(random_op(), all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i + 1)]));
  }
  const auto wide = rng.range(1, 3);
  for (std::int64_t w = 0; w < wide; ++w) {
    std::vector<Node> holds;
    for (const auto& slot : all) holds.push_back(compare_node(random_op(), slot, number_node(rng.range(-1, 2))));
    const auto kind = rng.below(3);
    if (kind == 0) {
      Node sum{.kind = NodeKind::Sum};
      sum.children = all;
      Node other = number_node(rng.range(-3, 6));
      if (rng.chance(300'000)) {
        Node difference{.kind = NodeKind::Difference};
        difference.children = {all.front(), number_node(rng.range(0, 3))};
        other = difference;
      }
      problem.constraints.push_back(compare_node(random_op(), sum, other));
    } else if (kind == 1) {
      Node count{.kind = NodeKind::Count};
      count.children = holds;
      problem.constraints.push_back(compare_node(random_op(), count, number_node(rng.range(0, slots))));
    } else {
      Node least{.kind = NodeKind::AtLeast};
      least.at_least = static_cast<int>(rng.range(1, slots));
      least.children = holds;
      problem.constraints.push_back(least);
    }
  }
  if (rng.chance(400'000)) {
    problem.sense = rng.chance(500'000) ? ObjectiveSense::Minimise : ObjectiveSense::Maximise;
    problem.objective = Node{.kind = NodeKind::Sum};
    problem.objective.children = all;
    if (rng.chance(500'000)) {
      Node difference{.kind = NodeKind::Difference};
      difference.children = {problem.objective, all.back()};
      problem.objective = difference;
    }
  }
  return problem;
}

Problem integers(int slots, std::int64_t to) {
  Problem problem;
  for (int i = 0; i < slots; ++i) {
    SlotSpec slot;
    slot.id = fmt::format("n{}", i);
    slot.path = "/" + slot.id;
    slot.domain = SlotDomain::Integers;
    slot.to = to;
    problem.slots.push_back(slot);
  }
  return problem;
}

}  // namespace

TEST_CASE("solving agrees with brute force on ten thousand random trees") { check_random_problems(10'000, 200, Rng(20251001)); }

TEST_CASE("solving agrees with brute force on larger random trees") { check_random_problems(300, 3000, Rng(7)); }

TEST_CASE("sums, counts and at-least-n over all slots are counted exactly by histograms") {
  Rng rng(99);
  const World world;
  for (int i = 0; i < 600; ++i) {
    const Problem problem = additive_problem(rng);
    const std::string wrong = disagreement(problem, world, rng);
    if (!wrong.empty()) FAIL(wrong << ": " << dump_json(to_json(problem)));
  }
}

TEST_CASE("a sum that joins sixty slots is counted without enumerating them") {
  Problem problem = integers(60, 1);
  Node sum{.kind = NodeKind::Sum};
  for (const auto& slot : problem.slots) sum.children.push_back(slot_node(slot.id));
  problem.constraints.push_back(compare_node(CompareOp::Equal, sum, number_node(2)));
  const World world;
  const SolveResult solved = solve(CompiledProblem(problem, world));
  CHECK(solved.exact);
  CHECK(solved.count == 60 * 59 / 2);
  CHECK(solved.nodes < 20'000);
}

TEST_CASE("a count beyond the cap is a lower bound and says so; its logarithm goes on") {
  const World world;
  const SolveResult below = solve(CompiledProblem(integers(17, 9), world));
  CHECK(below.exact);
  CHECK(below.count == 100'000'000'000'000'000ULL);
  const SolveResult beyond = solve(CompiledProblem(integers(30, 9), world));
  CHECK_FALSE(beyond.exact);
  CHECK(beyond.complete);
  CHECK(beyond.count == kCountCap);
  CHECK(beyond.log10_count == doctest::Approx(30.0));
}

TEST_CASE("a pigeonhole problem without answers is proved to have none, and a limit is told from a proof") {
  Problem problem = integers(6, 4);
  Node different{.kind = NodeKind::AllDifferent};
  for (const auto& slot : problem.slots) different.children.push_back(slot_node(slot.id));
  problem.constraints.push_back(different);
  const World world;
  const CompiledProblem compiled(problem, world);
  const SolveResult proof = solve(compiled);
  CHECK(proof.complete);
  CHECK(proof.count == 0);
  Rng rng(1);
  CHECK(find_answer(compiled, rng).complete);
  const SearchResult limited =
      find_answer(compiled, rng, {.max_nodes = 3, .optimum = {}, .atom_positions = {}, .preference = {}});
  CHECK_FALSE(limited.answer.has_value());
  CHECK_FALSE(limited.complete);
  CHECK_FALSE(solve(compiled, {.max_nodes = 3, .atom_positions = {}, .ignore_objective = false}).complete);
}

TEST_CASE("a slot without any value leaves no answer") {
  Problem problem = integers(2, 3);
  problem.slots[1].to = -1;
  const World world;
  const CompiledProblem compiled(problem, world);
  CHECK(solve(compiled).count == 0);
  CHECK(solve(compiled).complete);
  Rng rng(1);
  CHECK_FALSE(find_answer(compiled, rng).answer.has_value());
}

TEST_CASE("the order of preference decides which answer is found, and without one all are found in time") {
  const Problem problem = integers(2, 3);
  const World world;
  const CompiledProblem compiled(problem, world);
  Rng rng(5);
  std::set<std::vector<SlotValue>> found;
  for (int i = 0; i < 400; ++i) found.insert(*find_answer(compiled, rng).answer);
  CHECK(found.size() == 16);
  SearchOptions options;
  options.preference = [](int slot, SlotValue value) { return slot == 0 ? value : -value; };
  for (int i = 0; i < 20; ++i) CHECK(*find_answer(compiled, rng, options).answer == std::vector<SlotValue>{0, 3});
}

TEST_CASE("additive constraints are taken apart into signed terms") {
  const Problem source = integers(3, 3);
  Problem problem = source;
  Node sum{.kind = NodeKind::Sum};
  sum.children = {slot_node("n0"), slot_node("n1")};
  Node difference{.kind = NodeKind::Difference};
  difference.children = {sum, slot_node("n2")};
  problem.constraints.push_back(compare_node(CompareOp::Less, difference, number_node(2)));
  Node least{.kind = NodeKind::AtLeast};
  least.at_least = 2;
  for (const auto& slot : source.slots)
    least.children.push_back(compare_node(CompareOp::Equal, slot_node(slot.id), number_node(1)));
  problem.constraints.push_back(least);
  const World world;
  const CompiledProblem compiled(problem, world);
  const AdditiveConstraint compare = split_additive(compiled, compiled.roots()[0]);
  REQUIRE(compare.terms.size() == 4);
  CHECK(compare.op == CompareOp::Less);
  CHECK(compare.terms[0].sign == 1);
  CHECK(compare.terms[2].sign == -1);  // n2
  CHECK(compare.terms[3].sign == -1);  // the constant, moved over
  const AdditiveConstraint counted = split_additive(compiled, compiled.roots()[1]);
  CHECK(counted.op == CompareOp::GreaterEqual);
  CHECK(counted.bound == 2 * kCellScale);
  REQUIRE(counted.terms.size() == 3);
  CHECK(counted.terms[0].indicator);
  CHECK(split_additive(compiled, compiled.node(compiled.roots()[1]).children[0]).terms.size() == 2);
}

TEST_CASE("components are the groups that constraints join, and unmentioned slots stand alone") {
  const Problem problem = integers(5, 1);
  SlotMask open;
  for (std::size_t i = 0; i < 5; ++i) open.set(i);
  const auto mask = [](std::initializer_list<std::size_t> slots) {
    SlotMask out;
    for (const auto slot : slots) out.set(slot);
    return out;
  };
  auto groups = components(open, {mask({0, 1}), mask({2, 3}), mask({1, 2})});
  REQUIRE(groups.size() == 2);
  CHECK(groups[0] == mask({0, 1, 2, 3}));
  CHECK(groups[1] == mask({4}));
  // A decided slot joins nothing.
  groups = components(mask({0, 2, 3}), {mask({0, 1}), mask({1, 2})});
  CHECK(groups.size() == 3);
}

TEST_CASE("propagation narrows to a fixed point and tells a contradiction") {
  Problem problem = integers(3, 5);
  problem.constraints.push_back(compare_node(CompareOp::Equal, slot_node("n0"), number_node(4)));
  problem.constraints.push_back(compare_node(CompareOp::Greater, slot_node("n1"), slot_node("n0")));
  problem.constraints.push_back(compare_node(CompareOp::NotEqual, slot_node("n2"), slot_node("n1")));
  const World world;
  const CompiledProblem compiled(problem, world);
  Evaluator evaluator(compiled);
  Propagator propagator(evaluator);
  std::vector<int> constraints = compiled.atoms();
  REQUIRE(propagator.propagate(constraints, nullptr));
  CHECK(constraints.empty());
  CHECK(evaluator.domain(0).count == 1);
  CHECK(evaluator.domain(1).count == 1);
  CHECK(evaluator.domain(1).data[0] == 5);
  CHECK(evaluator.domain(2).count == 5);

  problem.constraints.push_back(compare_node(CompareOp::Less, slot_node("n1"), number_node(5)));
  const CompiledProblem contradictory(problem, world);
  Evaluator other(contradictory);
  std::vector<int> all = contradictory.atoms();
  CHECK_FALSE(Propagator(other).propagate(all, nullptr));
}

}  // namespace gauntlet

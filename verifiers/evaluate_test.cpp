#include <doctest/doctest.h>

#include <algorithm>

#include "verifiers/compiled.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

std::vector<SlotValue> random_values(const CompiledProblem& compiled, Rng& rng) {
  std::vector<SlotValue> values;
  for (const auto& slot : compiled.slots()) values.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
  return values;
}

Json answer_of(const CompiledProblem& compiled, const std::vector<SlotValue>& values) {
  return parse_json(answer_to_text(compiled, values), "answer");
}

/// Node and its descendants with the number of each in the compiled problem.
void pair_nodes(const CompiledProblem& compiled, int index, std::vector<std::pair<int, const Node*>>& out) {
  const CompiledNode& node = compiled.node(index);
  out.emplace_back(index, node.source);
  for (const int child : node.children) pair_nodes(compiled, child, out);
}

std::vector<std::pair<int, const Node*>> all_nodes(const CompiledProblem& compiled) {
  std::vector<std::pair<int, const Node*>> out;
  for (const int root : compiled.roots()) pair_nodes(compiled, root, out);
  if (compiled.objective() >= 0) pair_nodes(compiled, compiled.objective(), out);
  return out;
}

/// The full world with some cells hidden. A look-up is settled where the hiding cannot have changed its rows.
class Hidden : public Completeness {
 public:
  Hidden(const World& full, std::uint32_t per_million, Rng& rng) : full_(full), seen_(full) {
    for (auto& table : seen_.tables) {
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        if (static_cast<int>(c) == table.key_column) continue;
        for (Cell& cell : table.columns[c].cells) {
          if (rng.chance(per_million)) cell = kUnknownCell;
        }
      }
    }
  }

  const World& seen() const { return seen_; }

  bool rows_known(int table, std::span<const int> columns, std::span<const Cell> values) const override {
    const auto& full = full_.tables[static_cast<std::size_t>(table)];
    const auto& seen = seen_.tables[static_cast<std::size_t>(table)];
    for (std::size_t row = 0; row < full.rows; ++row) {
      bool matches = true;
      bool shown = true;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const auto column = static_cast<std::size_t>(columns[i]);
        matches = matches && full.columns[column].cells[row] == values[i];
        shown = shown && seen.columns[column].cells[row] == values[i];
      }
      if (matches && !shown) return false;
    }
    return true;
  }

 private:
  const World& full_;
  World seen_;
};

std::vector<std::vector<SlotValue>> random_domains(const CompiledProblem& compiled, Rng& rng) {
  std::vector<std::vector<SlotValue>> domains;
  for (const auto& slot : compiled.slots()) {
    auto& domain = domains.emplace_back();
    for (SlotValue value = 0; value < slot.size; ++value) {
      if (rng.chance(500'000)) domain.push_back(value);
    }
    if (domain.empty()) domain.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
  }
  return domains;
}

/// What was promised of the node holds for the values that it really has under one assignment.
void check_promise(const CompiledProblem& full, int index, const Node& node, const World& world, const Json& answer, const Evaluator& judged,
                   const Evaluator& exact) {
  if (is_predicate(node.kind)) {
    const Truth promised = judged.truth(index);
    if (promised == Truth::Unknown) return;
    CHECK((promised == Truth::True) == reference_predicate(full.problem(), world, answer, node));
    return;
  }
  const Range promised = judged.value(index);
  const Range real = exact.value(index);
  if (promised.defined == 2) CHECK(real.defined == 2);
  if (promised.defined == 0) CHECK(real.defined == 0);
  if (real.defined == 2) {
    CHECK(promised.low <= real.low);
    CHECK(real.low <= promised.high);
  }
}

}  // namespace

TEST_CASE("every node of a full assignment is what the reference says, and nothing is left unknown") {
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const auto nodes = all_nodes(compiled);
    Evaluator evaluator(compiled);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const auto values = random_values(compiled, rng);
      evaluator.assign_all(values);
      const Json answer = answer_of(compiled, values);
      INFO(seed);
      bool all = true;
      for (const int root : compiled.roots()) all = all && evaluator.truth(root) == Truth::True;
      CHECK(all == reference_holds(made.problem, *made.world, answer));
      bool atoms = true;
      for (const int atom : compiled.atoms()) atoms = atoms && evaluator.truth(atom) == Truth::True;
      CHECK(atoms == all);
      for (const auto& [index, node] : nodes) {
        if (is_predicate(node->kind)) {
          CHECK(evaluator.truth(index) == (reference_predicate(made.problem, *made.world, answer, *node) ? Truth::True : Truth::False));
          continue;
        }
        const Range range = evaluator.value(index);
        CHECK(range.defined != 1);
        const auto expected = reference_value(made.problem, *made.world, answer, *node);
        if (!expected) continue;  // undefined, or a text
        CHECK(range.fixed());
        CHECK(range.low == *expected);
      }
      if (compiled.objective() >= 0) {
        const Range reached = evaluator.value(compiled.objective());
        const auto expected = reference_objective(made.problem, *made.world, answer);
        CHECK(reached.fixed() == expected.has_value());
      }
    }
  }
}

TEST_CASE("what is said over candidates holds for every assignment from them") {
  std::size_t settled = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const auto nodes = all_nodes(compiled);
    const auto domains = random_domains(compiled, rng);
    Evaluator judged(compiled);
    for (std::size_t i = 0; i < domains.size(); ++i) judged.set_domain(static_cast<int>(i), domains[i]);
    for (const int root : compiled.roots()) settled += judged.truth(root) == Truth::Unknown ? 0 : 1;
    Evaluator exact(compiled);
    INFO(seed);
    for (int attempt = 0; attempt < 6; ++attempt) {
      std::vector<SlotValue> values;
      for (const auto& domain : domains) values.push_back(rng.pick(domain));
      exact.assign_all(values);
      const Json answer = answer_of(compiled, values);
      for (const auto& [index, node] : nodes) check_promise(compiled, index, *node, *made.world, answer, judged, exact);
    }
  }
  CHECK(settled > 3000);  // else the bounds say too little to be of use
}

TEST_CASE("what is said of a partly observed world holds in the whole one") {
  std::size_t settled = 0;
  std::size_t unknown = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const Hidden hidden(*made.world, seed % 3 == 0 ? 100'000 : 400'000, rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const CompiledProblem partial(made.problem, hidden.seen(), &hidden);
    const auto nodes = all_nodes(partial);
    const auto domains = random_domains(compiled, rng);
    Evaluator judged(partial);
    Evaluator exact(compiled);
    INFO(seed);
    for (int attempt = 0; attempt < 4; ++attempt) {
      std::vector<SlotValue> values;
      for (const auto& domain : domains) values.push_back(rng.pick(domain));
      exact.assign_all(values);
      if (attempt % 2 == 0) {
        judged.assign_all(values);
      } else {
        for (std::size_t i = 0; i < domains.size(); ++i) judged.set_domain(static_cast<int>(i), domains[i]);
      }
      const Json answer = answer_of(compiled, values);
      for (const auto& [index, node] : nodes) check_promise(partial, index, *node, *made.world, answer, judged, exact);
      for (const int root : partial.roots()) (judged.truth(root) == Truth::Unknown ? unknown : settled) += 1;
    }
  }
  CHECK(settled > 10'000);
  CHECK(unknown > 10'000);
}

TEST_CASE("a partly observed world in which nothing is hidden says what the whole one says") {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    // A cell without content looks like one not seen yet, so only full worlds settle everything.
    const bool full = std::none_of(made.world->tables.begin(), made.world->tables.end(), [](const WorldTable& table) {
      return std::any_of(table.columns.begin(), table.columns.end(), [](const WorldColumn& column) {
        return std::find(column.cells.begin(), column.cells.end(), kUnknownCell) != column.cells.end();
      });
    });
    if (!full) continue;
    const Hidden hidden(*made.world, 0, rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const CompiledProblem partial(made.problem, hidden.seen(), &hidden);
    Evaluator whole(compiled);
    Evaluator seen(partial);
    const auto values = random_values(compiled, rng);
    whole.assign_all(values);
    seen.assign_all(values);
    for (const int root : compiled.roots()) CHECK(seen.truth(root) == whole.truth(root));
  }
}

TEST_CASE("candidates taken back give the same verdicts as before") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    Evaluator evaluator(compiled);
    std::vector<Truth> before;
    for (const int root : compiled.roots()) before.push_back(evaluator.truth(root));
    const Domain kept = evaluator.domain(0);
    evaluator.assign(0, 0);
    CHECK(evaluator.assigned(0));
    for (const int root : compiled.roots()) evaluator.truth(root);
    evaluator.restore_domain(0, kept);
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(evaluator.truth(compiled.roots()[i]) == before[i]);
    evaluator.assign_all(random_values(compiled, rng));
    evaluator.reset();
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(evaluator.truth(compiled.roots()[i]) == before[i]);
  }
}

}  // namespace gauntlet

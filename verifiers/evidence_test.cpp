#include "verifiers/evidence.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "verifiers/random_problem.h"

namespace gauntlet {

namespace {

/// A world in which only given facts (and names) were observed.
class Observed : public Completeness {
 public:
  Observed(const CompiledProblem& compiled, const std::vector<Fact>& facts) : compiled_(compiled), facts_(facts), seen_(compiled.world()) {
    for (auto& table : seen_.tables) {
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        if (static_cast<int>(c) != table.key_column) std::fill(table.columns[c].cells.begin(), table.columns[c].cells.end(), kUnknownCell);
      }
    }
    for (const auto& fact : facts) {
      if (fact.row >= 0) {
        show(fact.table, fact.row, fact.column);
        continue;
      }
      const LookupIndex& index = compiled.indexes()[static_cast<std::size_t>(fact.index)];
      for (const auto row : compiled.lookup(fact.index, fact.cells)) {
        for (const int column : index.columns) show(fact.table, row, column);
        if (fact.column >= 0) show(fact.table, row, fact.column);
      }
    }
  }

  const World& world() const { return seen_; }

  bool rows_known(int table, std::span<const int> columns, std::span<const Cell> values) const override {
    return std::any_of(facts_.begin(), facts_.end(), [&](const Fact& fact) {
      if (fact.row >= 0 || fact.table != table) return false;
      const auto& known = compiled_.indexes()[static_cast<std::size_t>(fact.index)].columns;
      return std::equal(known.begin(), known.end(), columns.begin(), columns.end()) &&
             std::equal(fact.cells.begin(), fact.cells.end(), values.begin(), values.end());
    });
  }

 private:
  void show(int table, int row, int column) {
    const auto t = static_cast<std::size_t>(table);
    const auto c = static_cast<std::size_t>(column);
    const auto r = static_cast<std::size_t>(row);
    seen_.tables[t].columns[c].cells[r] = compiled_.world().tables[t].columns[c].cells[r];
  }

  const CompiledProblem& compiled_;
  const std::vector<Fact>& facts_;
  World seen_;
};

bool has_empty_cells(const World& world) {
  return std::any_of(world.tables.begin(), world.tables.end(), [](const WorldTable& table) {
    return std::any_of(table.columns.begin(), table.columns.end(), [](const WorldColumn& column) {
      return std::find(column.cells.begin(), column.cells.end(), kUnknownCell) != column.cells.end();
    });
  });
}

}  // namespace

TEST_CASE("who has seen the facts of an answer knows every constraint's truth and the objective") {
  std::size_t checked = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    if (has_empty_cells(*made.world)) continue;  // an empty cell looks like one that was not seen
    const CompiledProblem compiled(made.problem, *made.world);
    std::vector<SlotValue> values;
    for (const auto& slot : compiled.slots()) values.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
    Evaluator whole(compiled);
    whole.assign_all(values);
    const auto facts = facts_of_answer(whole);
    CHECK(std::is_sorted(facts.begin(), facts.end()));
    CHECK(std::adjacent_find(facts.begin(), facts.end()) == facts.end());
    const Observed observed(compiled, facts);
    const CompiledProblem partial(made.problem, observed.world(), &observed);
    Evaluator seen(partial);
    seen.assign_all(values);
    INFO(seed);
    for (const int root : compiled.roots()) CHECK(seen.truth(root) == whole.truth(root));
    if (compiled.objective() >= 0) {
      const Range a = seen.value(compiled.objective());
      const Range b = whole.value(compiled.objective());
      CHECK(a.defined == b.defined);
      if (b.fixed()) CHECK(a.low == b.low);
    }
    ++checked;
  }
  CHECK(checked > 2000);
}

TEST_CASE("of alternatives only the cheapest that hold are evidence, of a conditional the branch that applies") {
  Rng rng(2);
  const RandomProblem made = random_problem(rng);
  const auto facts = [&](const char* constraint) {
    Json document = parse_json(R"({"slots": [{"id": "v", "path": "/v", "noun": "venue", "entity": "venue"}, {"id": "n", "path": "/n", "noun": "n", "integers": {"from": 1, "to": 2}}]})", "problem");
    document["constraints"] = Json::array({parse_json(constraint, "constraint")});
    const CompiledProblem compiled(parse_problem(document, ""), *made.world);
    Evaluator evaluator(compiled);
    evaluator.assign_all(std::vector<SlotValue>{0, 0});
    std::vector<std::string> columns;
    for (const auto& fact : facts_of_answer(evaluator)) columns.push_back(made.world->tables[static_cast<std::size_t>(fact.table)].columns[static_cast<std::size_t>(fact.column)].name);
    return columns;
  };
  using Names = std::vector<std::string>;
  const std::string dear = R"({">=": [{"sum": [{"attr": "price", "of": "v"}, {"attr": "stars", "of": "v"}]}, {"const": -100}]})";
  const std::string cheap = R"({">=": [{"attr": "stars", "of": "v"}, {"const": -100}]})";
  const std::string wrong = R"({"<": [{"attr": "price", "of": "v"}, {"const": -100}]})";
  CHECK(facts((R"({"any": [)" + dear + "," + cheap + "," + wrong + "]}").c_str()) == Names{"stars"});
  CHECK(facts((R"({"at_least": 2, "of": [)" + wrong + "," + dear + "," + cheap + "]}").c_str()) == Names{"price", "stars"});
  CHECK(facts((R"({"any": [)" + wrong + "]}").c_str()) == Names{"price"});
  const std::string first = R"({"==": [{"slot": "n"}, {"const": 1}]})";
  const std::string second = R"({"==": [{"slot": "n"}, {"const": 2}]})";
  CHECK(facts((R"({"if": )" + first + R"(, "then": )" + cheap + R"(, "else": )" + wrong + "}").c_str()) == Names{"stars"});
  CHECK(facts((R"({"if": )" + second + R"(, "then": )" + cheap + R"(, "else": )" + wrong + "}").c_str()) == Names{"price"});
  CHECK(facts(first.c_str()).empty());
}

}  // namespace gauntlet

#include "synth/clique.h"

#include <doctest/doctest.h>

#include "envs/env_spec.h"
#include "synth/solver.h"

namespace gauntlet {
namespace {


struct Rooms {
  EnvSpec spec = load_builtin_domain("bookings");
  std::shared_ptr<const World> world = build_world(spec, {.seed = 1, .parameters = {{"rooms", 6}}, .edits = Json::array()});
  CompiledProblem problem;

  /// Three rooms; `pairs` must differ; with `cheap`, the first has a bound on its price.
  Rooms(const std::vector<std::pair<std::string, std::string>>& pairs, bool cheap) : problem(make(pairs, cheap), *world) {}

  static Problem make(const std::vector<std::pair<std::string, std::string>>& pairs, bool cheap) {
    Problem problem;
    for (const std::string id : {"a", "b", "c"}) {
      SlotSpec slot;
      slot.id = id;
      slot.path = "/" + id;
      slot.domain = SlotDomain::Entity;
      slot.entity = "room";
      problem.slots.push_back(slot);
    }
    const auto value = [](const std::string& slot) {
      Node node;
      node.kind = NodeKind::SlotValue;
      node.slot = slot;
      return node;
    };
    for (const auto& [left, right] : pairs) {
      Node differ;
      differ.kind = NodeKind::AllDifferent;
      differ.children = {value(left), value(right)};
      problem.constraints.push_back(differ);
    }
    if (cheap) {
      Node price;
      price.kind = NodeKind::Attribute;
      price.slot = "a";
      price.column = "price";
      Node bound;
      bound.kind = NodeKind::Const;
      bound.constant.type = ConstType::Number;
      bound.constant.number = 100 * kCellScale;
      Node compare;
      compare.kind = NodeKind::Compare;
      compare.op = CompareOp::GreaterEqual;
      compare.children = {price, bound};
      problem.constraints.push_back(compare);
    }
    return problem;
  }

  /// Every assignment, judged by evaluation alone.
  std::uint64_t count_by_force() const {
    Evaluator evaluator(problem);
    std::uint64_t count = 0;
    const std::int32_t size = problem.slots()[0].size;
    for (SlotValue a = 0; a < size; ++a) {
      for (SlotValue b = 0; b < size; ++b) {
        for (SlotValue c = 0; c < size; ++c) {
          const std::vector<SlotValue> values = {a, b, c};
          evaluator.assign_all(values);
          bool all = true;
          for (const int root : problem.roots()) all = all && evaluator.truth(root) == Truth::True;
          count += all ? 1 : 0;
        }
      }
    }
    return count;
  }

  std::optional<std::int32_t> clique() const {
    SlotMask group;
    group.set(0).set(1).set(2);
    return candidates_of_clique(Evaluator(problem), group, problem.atoms());
  }
};

}  // namespace

TEST_CASE("three slots that must all differ are counted without enumeration") {
  const Rooms rooms({{"a", "b"}, {"b", "c"}, {"a", "c"}}, false);
  CHECK(rooms.clique() == 6);
  const SolveResult result = solve(rooms.problem);
  CHECK(result.count == 120);
  CHECK(result.count == rooms.count_by_force());
  CHECK(result.exact);
  CHECK(result.nodes == 1);
}

TEST_CASE("slots that do not all have to differ are no clique, even with as many constraints") {
  const Rooms twice({{"a", "b"}, {"b", "a"}, {"a", "c"}}, false);
  CHECK(!twice.clique());
  CHECK(solve(twice.problem).count == twice.count_by_force());
  const Rooms chain({{"a", "b"}, {"b", "c"}}, false);
  CHECK(!chain.clique());
  CHECK(solve(chain.problem).count == chain.count_by_force());
}

TEST_CASE("slots with different candidates are counted right") {
  const Rooms rooms({{"a", "b"}, {"b", "c"}, {"a", "c"}}, true);
  CHECK(solve(rooms.problem).count == rooms.count_by_force());
}

}  // namespace gauntlet

#include "synth/propagation.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "envs/env_spec.h"
#include "synth/solver.h"

namespace gauntlet {
namespace {

struct Hotels {
  World world = *build_world(load_builtin_domain("trip_planning"), {.seed = 1, .parameters = {{"cities", 4}}, .edits = Json::array()});
  const WorldTable& hotels = world.tables[static_cast<std::size_t>(world.find_table("hotel"))];
  const WorldTable& cities = world.tables[static_cast<std::size_t>(world.find_table("city"))];

  std::size_t city_column() const { return static_cast<std::size_t>(hotels.find_column("city")); }
  Cell city(std::size_t row) const { return cities.columns[static_cast<std::size_t>(cities.key_column)].cells[row]; }

  /// A hotel in a city that is not the first.
  Problem elsewhere() const {
    const Json first = world.symbols.text(static_cast<std::int32_t>(city(0)));
    return parse_problem({{"slots",
                           {{{"id", "city"}, {"path", "/city"}, {"noun", "city"}, {"entity", "city"}},
                            {{"id", "hotel"}, {"path", "/hotel"}, {"noun", "hotel"}, {"entity", "hotel"}, {"within", {{"city", "city"}}}}}},
                          {"constraints", {{{"!=", Json::array({{{"slot", "city"}}, {{"const", first}}})}}}}},
                         "");
  }

  std::size_t in_first_city() const {
    const auto& cells = hotels.columns[city_column()].cells;
    return static_cast<std::size_t>(std::count(cells.begin(), cells.end(), city(0)));
  }
};

}  // namespace

TEST_CASE("rows that lie within none of the places left go while both are open, if that is asked for") {
  const Hotels made;
  const CompiledProblem compiled(made.elsewhere(), made.world);
  for (const bool within : {false, true}) {
    Evaluator evaluator(compiled);
    Propagator propagator(evaluator);
    propagator.narrow_within(within);
    std::vector<int> constraints = compiled.atoms();
    REQUIRE(propagator.propagate(constraints, nullptr));
    CHECK(static_cast<std::size_t>(evaluator.domain(0).count) == made.cities.rows - 1);
    CHECK(static_cast<std::size_t>(evaluator.domain(1).count) == made.hotels.rows - (within ? made.in_first_city() : 0));
    CHECK(constraints.size() == 1);  // Which of them lies where is still open.
  }
  CHECK(solve(compiled).count == made.hotels.rows - made.in_first_city());
}

TEST_CASE("a row of which it is not known where it lies may lie within any place") {
  Hotels made;
  auto& cells = made.world.tables[static_cast<std::size_t>(made.world.find_table("hotel"))].columns[made.city_column()].cells;
  const auto row = std::find(cells.begin(), cells.end(), made.city(0));
  *row = kUnknownCell;
  const CompiledProblem compiled(made.elsewhere(), made.world);
  Evaluator evaluator(compiled);
  Propagator propagator(evaluator);
  propagator.narrow_within(true);
  std::vector<int> constraints = compiled.atoms();
  REQUIRE(propagator.propagate(constraints, nullptr));
  const Domain& left = evaluator.domain(1);
  CHECK(std::find(left.data, left.data + left.count, static_cast<SlotValue>(row - cells.begin())) != left.data + left.count);
  CHECK(static_cast<std::size_t>(left.count) == cells.size() - made.in_first_city());
}

TEST_CASE("the storage of narrowed domains is given back in the order taken, whatever their sizes") {
  DomainArena arena;
  SlotValue* first = arena.take(3);
  first[2] = 7;
  const DomainArena::Mark mark = arena.mark();
  for (const std::size_t count : {100U, 100'000U, 5U, 200'000U}) {
    SlotValue* data = arena.take(count);
    data[0] = 1;
    data[count - 1] = 2;
  }
  arena.release(mark);
  SlotValue* again = arena.take(300'000);
  again[299'999] = 3;
  CHECK(first[2] == 7);
  arena.release(mark);
  CHECK(arena.take(1) == first + 3);
}

}  // namespace gauntlet

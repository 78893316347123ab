#include "synth/tutor.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <regex>
#include <set>
#include <sstream>

#include "synth/play_table.h"

namespace gauntlet {
namespace {

class Table : public PlayTable {
 public:
  using PlayTable::play;

  Play play(const Candidate& candidate, TutorStyle style, std::uint64_t seed) const {
    auto plan = tutor_plan(candidate.problem, spec());
    REQUIRE(plan);
    TutorAgent tutor(planner(), candidate.problem, std::move(*plan), style, Rng(seed));
    return play(candidate, tutor);
  }
};

bool mentions_other_group(const Problem& problem, const Node& node, const std::string& group) {
  if ((node.kind == NodeKind::Attribute || node.kind == NodeKind::SlotValue) && problem.slots[static_cast<std::size_t>(problem.find_slot(node.slot))].group != group) return true;
  return std::any_of(node.children.begin(), node.children.end(), [&](const Node& child) { return mentions_other_group(problem, child, group); });
}

/// The same question put to the solver: what remains of the problem when only this group and this place count.
bool solver_says_it_fits(const Candidate& candidate, const TutorGroup& group, const std::string& place) {
  Problem part;
  for (const auto& slot : candidate.problem.slots) {
    if (slot.group == group.name) part.slots.push_back(slot);
  }
  for (const auto& node : candidate.problem.constraints) {
    if (!mentions_other_group(candidate.problem, node, group.name)) part.constraints.push_back(node);
  }
  const SlotSpec& place_slot = candidate.problem.slots[static_cast<std::size_t>(group.place_slot)];
  part.constraints.push_back(parse_node(Json{{"==", {{{"slot", place_slot.id}}, {{"const", place}}}}}, ""));
  std::vector<Json> pair;
  for (const auto& member : group.members) {
    if (member.partner >= 0) pair.push_back({{"slot", candidate.problem.slots[static_cast<std::size_t>(member.slot)].id}});
  }
  part.constraints.push_back(parse_node(Json{{"all_different", pair}}, ""));
  return solve(CompiledProblem(part, *candidate.world)).count > 0;
}

}  // namespace

TEST_CASE("the tutor solves what it takes on, through tools, without a wrong call") {
  const Table table;
  for (int level = 1; level <= 3; ++level) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const Candidate candidate = table.draw(level, 1000 * seed);
      const Play play = table.play(candidate, TutorStyle{.parallel = true, .slip_per_million = 0}, seed);
      INFO("level ", level, ", seed ", seed, "\n", play.said);
      CHECK(play.episode.score.value == 1.0);
      CHECK(play.errors == 0);
    }
  }
}

TEST_CASE("every sum in the tutor's notes is right, and every verdict on it") {
  const Table table;
  const std::regex sum(R"((\d+)\+(\d+)=(\d+) (<=?)(\d+) (ok|no))");
  int seen = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Play play = table.play(table.draw(3, 1000 * seed), TutorStyle{}, seed);
    for (std::sregex_iterator it(play.said.begin(), play.said.end(), sum), end; it != end; ++it, ++seen) {
      const std::smatch& m = *it;
      const int total = std::stoi(m[3]), bound = std::stoi(m[5]);
      CHECK(std::stoi(m[1]) + std::stoi(m[2]) == total);
      CHECK((m[4] == "<" ? total < bound : total <= bound) == (m[6] == "ok"));
    }
  }
  CHECK(seen > 20);
}

TEST_CASE("a place fits a group exactly when the solver finds an answer there") {
  const Table table;
  int fitting = 0, judged = 0;
  for (int level = 2; level <= 3; ++level) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      const Candidate candidate = table.draw(level, 500 * seed + 7);
      const auto plan = tutor_plan(candidate.problem, table.spec());
      REQUIRE(plan);
      const World& world = *candidate.world;
      const TutorJudge judge(candidate.problem, *plan, world);
      const WorldTable& places = world.tables[static_cast<std::size_t>(plan->place_table)];
      for (const auto& group : plan->groups) {
        if (!group.fixed_place.empty()) continue;
        for (std::size_t row = 0; row < places.rows; ++row) {
          const std::string& place = world.symbols.text(static_cast<std::int32_t>(places.columns[static_cast<std::size_t>(places.key_column)].cells[row]));
          std::string notes;
          const TutorVerdict verdict = judge.judge(group, place, -1, -1, notes);
          INFO(notes);
          CHECK(verdict.fits == solver_says_it_fits(candidate, group, place));
          fitting += verdict.fits ? 1 : 0;
          ++judged;
        }
      }
    }
  }
  CHECK(fitting > 10);
  CHECK(judged - fitting > 50);
}

TEST_CASE("without parallel calls the tutor sends one call a message, and solves the same") {
  const Table table;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const Play play = table.play(table.draw(2, 100 * seed), TutorStyle{.parallel = false, .slip_per_million = 0}, seed);
    CHECK(play.widest == 1);
    CHECK(play.episode.score.value == 1.0);
  }
}

TEST_CASE("a misspelt call is noticed, repaired, and does no harm") {
  const Table table;
  int slips = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    for (const bool parallel : {true, false}) {
      const Play play = table.play(table.draw(2, 100 * seed), TutorStyle{.parallel = parallel, .slip_per_million = 1'000'000}, seed);
      CHECK(play.episode.score.value == 1.0);
      CHECK(play.errors <= 1);
      if (play.errors == 1) CHECK(play.said.find("That call failed: ") != std::string::npos);
      slips += play.errors;
    }
  }
  CHECK(slips > 40);
}

TEST_CASE("each name in the notes stood in the task or in a result before") {
  const Table table;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Candidate candidate = table.draw(3, 300 * seed);
    const Play play = table.play(candidate, TutorStyle{.parallel = true, .slip_per_million = 0}, seed);
    std::string shown;
    for (const auto& message : play.episode.messages) {
      std::istringstream lines(message.role == Role::Assistant ? message.reasoning : std::string());
      for (std::string line; std::getline(lines, line);) {
        const std::size_t at = line.find('=');
        if (at == std::string::npos || line.starts_with("day") || line.find('>') != std::string::npos || line.find('<') != std::string::npos) continue;
        const std::string name = line.substr(at + 1);
        INFO(line);
        CHECK(shown.find("\"" + name + "\"") != std::string::npos);
      }
      if (message.role != Role::Assistant) shown += message.content;
    }
  }
}

TEST_CASE("other shapes are declined, and then the oracle plays") {
  const Table table;
  for (const int level : {4, 5}) {
    const Candidate candidate = table.draw(level, 11);
    CHECK_FALSE(tutor_plan(candidate.problem, table.spec()));
    const auto agent = make_expert(Expert::Tutor, table.planner(), candidate.problem, Rng(3));
    CHECK(table.play(candidate, *agent).episode.score.value == 1.0);
  }
}

TEST_CASE("days that ask for different things are declined") {
  const Table table;
  Problem problem = table.draw(2, 5).problem;
  REQUIRE(tutor_plan(problem, table.spec()));
  const auto mentions = [](const Node& node, const auto& self) -> bool {
    return node.slot == "day2.afternoon_attraction" || std::any_of(node.children.begin(), node.children.end(), [&](const Node& child) { return self(child, self); });
  };
  std::erase_if(problem.slots, [](const SlotSpec& slot) { return slot.id == "day2.afternoon_attraction"; });
  std::erase_if(problem.constraints, [&](const Node& node) { return mentions(node, mentions); });
  CHECK_FALSE(tutor_plan(problem, table.spec()));
}

}  // namespace gauntlet

#include "synth/blueprint.h"

#include <doctest/doctest.h>

#include <cmath>

#include <algorithm>
#include <array>
#include <functional>

#include "core/error.h"
#include "synth/solver.h"
#include "verifiers/render.h"

namespace gauntlet {

namespace {

const EnvSpec& trip() {
  static const EnvSpec spec = load_builtin_domain("trip_planning");
  return spec;
}

Candidate draw(int level, std::uint64_t from = 0, const std::string& named = "") {
  for (std::uint64_t seed = from;; ++seed) {
    if (auto candidate = draw_candidate(trip(), {.level = level, .ranges = {}}, named, seed)) return std::move(*candidate);
  }
}

std::string draw_problem(const std::function<void(Json&)>& change, ErrorKind kind) {
  Json document = trip().source;
  change(document["tasks"]);
  const EnvSpec spec = parse_env_spec(document, "test");
  try {
    draw_candidate(spec, {.level = 3, .ranges = {}}, "", 1);
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "accepted";
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

Json json(const std::string& text) { return parse_json(text, "test"); }

std::string day(int number, const std::string& text) {
  std::string out = text;
  for (auto at = out.find('#'); at != std::string::npos; at = out.find('#')) out.replace(at, 1, std::to_string(number));
  return out;
}

/// Changes one thing somewhere in the tree; calls back with each tree so changed.
void vary(Json& tree, const std::function<void(const std::string&)>& changed) {
  if (tree.is_array()) {
    for (auto& item : tree) vary(item, changed);
    return;
  }
  if (!tree.is_object()) return;
  for (auto& item : tree.items()) {
    Json& value = item.value();
    const Json before = value;
    if (item.key() == "const" && value.is_number()) {
      value = value.is_number_integer() ? Json(value.get<std::int64_t>() + 1) : Json(value.get<double>() + 0.5);
      changed("const " + dump_json(before));
    } else if (item.key() == "const" && value.is_string()) {
      value = parse_date(value.get<std::string>()) ? "2031-01-01" : "Somewhere Else";
      changed("const " + dump_json(before));
    } else if (item.key() == "attr") {
      value = value == "price" ? "rating" : value == "rating" ? "price" : value == "high_c" ? "low_c" : value;
      if (value != before) changed("attr " + dump_json(before));
    } else if (item.key() == "of" && value.is_string()) {
      std::string slot = value.get<std::string>();
      slot[3] = slot[3] == '1' ? '2' : '1';
      value = slot;
      changed("of " + dump_json(before));
    } else if (item.key() == "at_least") {
      value = value.get<int>() + 1;
      changed("at_least");
    }
    value = before;
    vary(value, changed);
  }
}

}  // namespace

TEST_CASE("trip planning has levels 1 to 5 and the paper's task by name") {
  CHECK(task_levels(trip()) == std::vector<int>{1, 2, 3, 4, 5});
  CHECK(named_tasks(trip()) == std::vector<std::string>{"paper"});
  CHECK(task_levels(load_builtin_domain("bookings")).empty());
}

TEST_CASE("levels have the days that they promise, and each has an answer at the frame's start city and dates") {
  const std::vector<std::pair<std::size_t, std::size_t>> days = {{1, 1}, {2, 2}, {3, 3}, {3, 3}, {5, 7}};
  for (int level = 1; level <= 5; ++level) {
    for (std::uint64_t i = 0; i < 5; ++i) {
      const Candidate candidate = draw(level, 100 * i);
      const std::size_t length = candidate.problem.slots.size() / 6;
      CHECK(length >= days[static_cast<std::size_t>(level - 1)].first);
      CHECK(length <= days[static_cast<std::size_t>(level - 1)].second);
      CHECK(candidate.level == level);
      CHECK(candidate.base_constraints < candidate.problem.constraints.size());
      CHECK((candidate.problem.sense == ObjectiveSense::Minimise) == (level == 5));
      CHECK(parse_problem(candidate.problem_json, "") == candidate.problem);
      Rng rng(i);
      const CompiledProblem compiled(candidate.problem, *candidate.world);
      CHECK(find_answer(compiled, rng, {.max_nodes = 1'000'000, .optimum = {}, .atom_positions = {}, .preference = {}})
                .answer.has_value());
    }
  }
}

TEST_CASE("the same seed gives the same candidate, another seed another") {
  for (const int level : {1, 3, 5}) {
    const Candidate a = draw(level, 7);
    const Candidate b = draw(level, 7);
    const Candidate c = draw(level, 8000);
    CHECK(a.prompt == b.prompt);
    CHECK(a.problem_json == b.problem_json);
    CHECK(world_fingerprint(*a.world) == world_fingerprint(*b.world));
    CHECK(a.prompt != c.prompt);
  }
}

TEST_CASE("level 5 closes the easy branch: hotels that would take it get prices of the branch planned") {
  int closed = 0;
  for (std::uint64_t i = 0; i < 16; ++i) {
    const Candidate candidate = draw(5, 100 * i);
    for (const auto& edit : candidate.key.edits) {
      CHECK(edit["table"] == "hotel");
      CHECK(edit["column"] == "price");
    }
    closed += candidate.key.edits.empty() ? 0 : 1;
    CHECK(world_fingerprint(*build_world(trip(), candidate.key)) == world_fingerprint(*candidate.world));
  }
  CHECK(closed > 2);
}

TEST_CASE("each price bracket of level 3 is feasible in a good share of tasks, and none is always the easy way") {
  std::array<int, 3> feasible{};
  std::array<int, 3> easiest{};
  int tasks = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const auto candidate = draw_candidate(trip(), {.level = 3, .ranges = {}}, "", seed);
    if (!candidate) continue;
    ++tasks;
    const auto conditional = std::find_if(candidate->problem.constraints.begin(), candidate->problem.constraints.end(),
                                          [](const Node& node) { return node.kind == NodeKind::IfThenElse; });
    REQUIRE(conditional != candidate->problem.constraints.end());
    double most = -0.5;
    std::size_t best = 0;
    std::size_t branch = 0;
    for (const Node* link = &*conditional; link != nullptr;
         link = link->children.size() > 2 ? &link->children[2] : nullptr, ++branch) {
      Problem inside = candidate->problem;
      inside.constraints.push_back(link->children[0]);
      const SolveResult solved = solve(CompiledProblem(inside, *candidate->world));
      feasible[branch] += solved.count > 0 ? 1 : 0;
      if (solved.count > 0 && solved.log10_count > most) {
        most = solved.log10_count;
        best = branch;
      }
    }
    REQUIRE(branch == 3);
    ++easiest[best];
  }
  for (std::size_t branch = 0; branch < 3; ++branch) {
    CHECK(feasible[branch] * 100 >= tasks * 35);
    CHECK(easiest[branch] * 100 >= tasks * 15);
    CHECK(easiest[branch] * 100 <= tasks * 55);
  }
}

TEST_CASE("ranges asked for replace those of the level") {
  const auto candidate = draw_candidate(trip(), parse_difficulty("level=1,minimal_tool_calls=5..6,hops=1..9"), "", 1);
  REQUIRE(candidate.has_value());
  REQUIRE(candidate->accept.size() == 3);
  CHECK(candidate->accept[0].name == "log10_density");
  CHECK(candidate->accept[1].low == 5.0);
  CHECK(candidate->accept[1].high == 6.0);
  CHECK(candidate->accept[2].name == "hops");
}

TEST_CASE("the paper's task is one certain task, whatever the seed: every price bracket is there, and none is an easy way out") {
  const auto made = draw_candidate(trip(), {.level = 3, .ranges = {}}, "paper", 1);
  const auto again = draw_candidate(trip(), {.level = 3, .ranges = {}}, "paper", 99);
  REQUIRE(made.has_value());
  REQUIRE(again.has_value());
  CHECK(made->prompt == again->prompt);
  CHECK(to_json(made->key) == to_json(again->key));
  // Each bracket on its own, for the second day: it has hotels; the cheap ones lead nowhere, the others seldom.
  Problem frame = made->problem;
  frame.constraints.resize(made->base_constraints);
  const double all = solve(CompiledProblem(frame, *made->world), {.atom_positions = {}}).log10_count;
  double share = 0.0;
  for (const auto& [low, high] : std::vector<std::pair<int, int>>{{200, 500}, {500, 800}, {800, 100'000}}) {
    const auto at_least = json(R"({">=": [{"attr": "price", "of": "day2.hotel"}, {"const": )" + std::to_string(low) + "}]}");
    const auto below = json(R"({"<": [{"attr": "price", "of": "day2.hotel"}, {"const": )" + std::to_string(high) + "}]}");
    Json bracket = to_json(frame);
    bracket["constraints"].push_back(at_least);
    bracket["constraints"].push_back(below);
    CHECK(solve(CompiledProblem(parse_problem(bracket, ""), *made->world), {.atom_positions = {}}).count > 0);
    Json whole = made->problem_json;
    whole["constraints"].push_back(at_least);
    whole["constraints"].push_back(below);
    const SolveResult passing = solve(CompiledProblem(parse_problem(whole, ""), *made->world), {.atom_positions = {}});
    share += passing.count == 0 ? 0.0 : std::pow(10.0, passing.log10_count - all);
    if (low == 200) CHECK(passing.count == 0);  // what is cheap is there, and leads nowhere
    if (low > 200) CHECK(passing.count > 0);
  }
  CHECK(share < 0.02);
}

TEST_CASE("the paper's task is the paper's: three days from Hangzhou, four clauses, the conditional budget on day 2") {
  const Candidate paper = draw(3, 0, "paper");
  CHECK(paper.named == "paper");
  CHECK(paper.level == 0);
  std::vector<std::string> paths;
  for (const auto& slot : paper.problem.slots) paths.push_back(slot.path);
  std::vector<std::string> wanted;
  for (const std::string d : {"/0/", "/1/", "/2/"}) {
    for (const std::string key :
         {"time", "city", "hotel", "afternoon_restaurant", "afternoon_attraction", "evening_restaurant"})
      wanted.push_back(d + key);
  }
  CHECK(paths == wanted);
  for (const auto& slot : paper.problem.slots) {
    const bool venue = slot.entity == "hotel" || slot.entity == "restaurant" || slot.entity == "attraction";
    CHECK(slot.within.size() == (venue ? 1 : 0));  // R3
  }
  Json expected = Json::array();
  for (int d = 1; d <= 3; ++d)
    expected.push_back(json(day(d, R"({"==": [{"slot": "day#.time"}, {"const": "2025-10-0#", "type": "date"}]})")));  // R1
  expected.push_back(json(R"({"==": [{"slot": "day1.city"}, {"const": "Hangzhou"}]})"));                              // R0
  const auto different = [](const std::vector<std::string>& nouns) {                                                  // R2
    Json slots = Json::array();
    for (int d = 1; d <= 3; ++d) {
      for (const auto& noun : nouns) slots.push_back({{"slot", "day" + std::to_string(d) + "." + noun}});
    }
    return Json{{"all_different", slots}};
  };
  expected.push_back(different({"city"}));
  expected.push_back(different({"hotel"}));
  expected.push_back(different({"afternoon_restaurant", "evening_restaurant"}));
  expected.push_back(different({"afternoon_attraction"}));
  const std::string price = R"({"attr": "price", "of": "day2.hotel"})";
  const std::string lunch = R"({"attr": "rating", "of": "day2.afternoon_restaurant"})";
  const std::string dinner = R"({"attr": "rating", "of": "day2.evening_restaurant"})";
  const auto rated = [&](const std::string& meal, const std::string& least) {
    return R"({">=": [)" + meal + R"(, {"const": )" + least + "}]}";
  };
  const auto ticket = [](const std::string& below) {
    return R"({"<": [{"attr": "price", "of": "day2.afternoon_attraction"}, {"const": )" + below + "}]}";
  };
  const auto one_of = [&](const std::string& least) {
    return R"({"at_least": 1, "of": [)" + rated(lunch, least) + ", " + rated(dinner, least) + "]}";
  };
  const auto bracket = [&](const std::string& from, const std::string& to) {
    return R"({"all": [{">=": [)" + price + R"(, {"const": )" + from + R"(}]}, {"<": [)" + price + R"(, {"const": )" + to +
           "}]}]}";
  };
  const std::string low = R"({"if": )" + bracket("200", "500") + R"(, "then": )" + one_of("3.2") + "}";
  const std::string middle = R"({"if": )" + bracket("500", "800") + R"(, "then": {"all": [)" + one_of("4.0") + ", " +
                             ticket("180") + R"(]}, "else": )" + low + "}";
  const std::string meals =
      R"({"<": [{"sum": [{"attr": "price", "of": "day2.afternoon_restaurant"}, {"attr": "price", "of": "day2.evening_restaurant"}]}, {"const": 350}]})";
  const std::string high =
      R"({"all": [)" + meals + ", " + rated(lunch, "4.0") + ", " + rated(dinner, "4.0") + ", " + ticket("120") + "]}";
  expected.push_back(json(R"({"if": {">=": [)" + price + R"(, {"const": 800}]}, "then": )" + high + R"(, "else": )" + middle +
                          "}"));  // R4a to R4c
  Json constraints = Json::array();
  for (const auto& node : expected) constraints.push_back(to_json(parse_node(node, "")));
  CHECK(paper.problem_json["constraints"] == constraints);
  CHECK(paper.problem.sense == ObjectiveSense::None);
  for (const char* part : {"2025-10-01", "2025-10-03", "Hangzhou", "at least 500 and less than 800 CNY per night",
                           "at least 200 and less than 500 CNY per night", "less than 350 CNY"})
    CHECK(says(paper.prompt, part));
  // No hotel is cheaper than the lowest bracket.
  const WorldTable& hotels = paper.world->tables[static_cast<std::size_t>(paper.world->find_table("hotel"))];
  for (const Cell cell : hotels.columns[static_cast<std::size_t>(hotels.find_column("price"))].cells)
    CHECK(cell >= 200 * kCellScale);
}

TEST_CASE("the prompt says all that the tree checks: changing any number, name, column or slot changes the text") {
  for (int level = 1; level <= 5; ++level) {
    Candidate candidate = draw(level, 40);
    CHECK(candidate.prompt.find(render_requirements(candidate.problem, trip(), "en")) != std::string::npos);
    CHECK(candidate.prompt.find(render_answer_form(candidate.problem, trip(), "en")) != std::string::npos);
    const std::string text = render_requirements(candidate.problem, trip(), "en");
    Json problem = candidate.problem_json;
    int changes = 0;
    vary(problem["constraints"], [&](const std::string& what) {
      ++changes;
      std::string changed;
      try {
        changed = render_requirements(parse_problem(problem, ""), trip(), "en");
      } catch (const Error&) {
        return;  // no longer a problem (three of two alternatives)
      }
      CHECK_MESSAGE(changed != text, "level " << level << ": " << what);
    });
    CHECK(changes > 3);
  }
}

TEST_CASE("an unknown level or name is a usage error; a wrong template an input error with its path") {
  CHECK_THROWS_WITH_AS(draw_candidate(trip(), {.level = 3, .ranges = {}}, "papr", 1),
                       "environment trip_planning has no named task \"papr\"; accepted: paper", Error);
  CHECK_THROWS_WITH_AS(draw_candidate(load_builtin_domain("bookings"), {.level = 3, .ranges = {}}, "", 1),
                       "environment bookings has no task templates, so tasks cannot be synthesised for it", Error);
  CHECK(says(draw_problem([](Json& t) { t["levels"].erase("3"); }, ErrorKind::Usage),
             "has no difficulty level \"3\"; accepted: 1, 2, 4, 5"));
  CHECK(says(draw_problem([](Json& t) { t["levels"]["3"].erase("slots"); }, ErrorKind::Input), "\"slots\""));
  CHECK(says(draw_problem([](Json& t) { t["levels"]["3"]["world"]["cites"] = 3; }, ErrorKind::Input), "cites"));
  CHECK(says(draw_problem([](Json& t) { t["levels"]["3"]["accept"]["hops"] = {3}; }, ErrorKind::Input),
             "/tasks/levels/3/accept/hops: found [3]; accepted: [LOW, HIGH]"));
  CHECK(says(draw_problem(
                 [](Json& t) {
                   t["levels"]["3"]["accept"]["hop"] = {3, 4};
                 },
                 ErrorKind::Input),
             "/tasks/levels/3/accept/hop: unknown entry"));
  CHECK(says(draw_problem([](Json& t) { t["prompt"]["en"] = Json::array(); }, ErrorKind::Input),
             "/tasks/prompt/en: accepted: an array of one or more strings"));
  CHECK(says(draw_problem([](Json& t) { t["prompt"]["en"] = {7}; }, ErrorKind::Input),
             "/tasks/prompt/en: accepted: an array of one or more strings"));
}

}  // namespace gauntlet

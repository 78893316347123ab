#include "synth/template.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.h"

namespace gauntlet {

namespace {

const EnvSpec& trip() {
  static const EnvSpec spec = load_builtin_domain("trip_planning");
  return spec;
}

Json json(const std::string& text) { return parse_json(text, "test"); }

/// One expansion with the variables days = 3, name = "Leshan" and d = 2.
Json expand(const std::string& text, std::uint64_t seed = 1, const std::string& fragments = "{}") {
  const Json pieces = json(fragments);
  Template expander(trip(), pieces, Rng(seed));
  expander.set_variable("days", 3);
  expander.set_variable("name", "Leshan");
  expander.set_variable("d", 2);
  expander.set_variable("ratio", 1.5);
  return expander.expand(json(text), "/t");
}

std::string refusal(const std::string& text, const std::string& fragments = "{}") {
  try {
    return "accepted: " + dump_json(expand(text, 1, fragments));
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

std::set<std::string> drawn(const std::string& text) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 300; ++seed) found.insert(dump_json(expand(text, seed)));
  return found;
}

/// A one-city trip problem whose planted answer has a hotel of a known price.
struct Planted {
  Json fragments = Json::object();
  std::shared_ptr<const World> world = build_world(trip(), {.seed = 4, .parameters = {{"cities", 2}}, .edits = Json::array()});
  Problem problem;
  Json answer;
  Cell price = 0;

  Planted() {
    problem = parse_problem(
        json(R"({"slots": [{"id": "h", "path": "/h", "noun": "hotel", "entity": "hotel"}], "constraints": []})"), "");
    const WorldTable& hotels = world->tables[static_cast<std::size_t>(world->find_table("hotel"))];
    answer = {{"h", world->symbols.text(static_cast<std::int32_t>(hotels.columns[0].cells[1]))}};
    price = hotels.columns[static_cast<std::size_t>(hotels.find_column("price"))].cells[1];
  }
  Json fit(const std::string& text, std::uint64_t seed) const {
    Template expander(trip(), fragments, Rng(seed));
    expander.set_planted({.problem = &problem, .world = world.get(), .answer = &answer});
    return expander.expand(json(text), "");
  }
};

}  // namespace

TEST_CASE("placeholders take variables, counted up or down, in keys and values") {
  CHECK(expand(R"({"day{d}.x": "in {name} on {d-1} of {days} or {d+10}"})") ==
        json(R"({"day2.x": "in Leshan on 1 of 3 or 12"})"));
  CHECK(expand(R"(["{=days}", "{=days-1}", 7, true, null])") == json("[3, 2, 7, true, null]"));
  CHECK(expand(R"("{ratio}")") == "1.5");
}

TEST_CASE("fragments are used whole or joined into an array") {
  CHECK(expand(R"([{"$use": "f"}, 9])", 1, R"({"f": ["{d}"]})") == json(R"([["2"], 9])"));
  CHECK(expand(R"([{"$splice": "f"}, 9])", 1, R"({"f": ["{d}", 4]})") == json(R"(["2", 4, 9])"));
  CHECK(expand(R"({"slots": {"$splice": "f"}})", 1, R"({"f": [1, 2]})") == json(R"({"slots": [1, 2]})"));
}

TEST_CASE("random integers, numbers, dates, words and picks come from the whole range and nothing else") {
  CHECK(drawn(R"({"$int": [2, "{=days+1}"]})") == std::set<std::string>{"2", "3", "4"});
  CHECK(drawn(R"({"$number": [1, 2, 0.5]})") == std::set<std::string>{"1", "1.5", "2"});
  CHECK(drawn(R"({"$date": ["2025-02-28", "2025-03-01"]})") == std::set<std::string>{"\"2025-02-28\"", "\"2025-03-01\""});
  CHECK(drawn(R"({"$pick": ["{name}", 2]})") == std::set<std::string>{"\"Leshan\"", "2"});
  const auto& cities = trip().names.at("city");
  for (const auto& word : drawn(R"({"$word": "city"})"))
    CHECK(std::find(cities.begin(), cities.end(), json(word).get<std::string>()) != cities.end());
  CHECK(drawn(R"({"$word": "city"})").size() > 20);
  CHECK(expand(R"({"$date_plus": ["2025-12-31", "{=d-1}"]})") == "2026-01-01");
}

TEST_CASE("loops, conditions, chances and samples make array elements") {
  CHECK(expand(R"([0, {"$for": "i", "from": 1, "to": "{=days}", "do": ["{=i}", "x{i}"]}])") ==
        json(R"([0, 1, "x1", 2, "x2", 3, "x3"])"));
  CHECK(expand(R"([{"$for": "i", "from": 2, "to": 1, "do": [1]}])") == Json::array());
  CHECK(
      expand(
          R"([{"$if": ["{=days}", ">", 1], "do": ["a"]}, {"$if": [1, "<", 1], "do": ["b"]}, {"$if": [1, "==", 1], "do": ["c"]}])") ==
      json(R"(["a", "c"])"));
  CHECK(expand(R"([{"$maybe": 0, "do": [1]}, {"$maybe": 1000000, "do": [2]}])") == json("[2]"));
  CHECK(drawn(R"([{"$maybe": 500000, "do": [1]}])") == std::set<std::string>{"[]", "[1]"});
  CHECK(drawn(R"([{"$sample": 2, "of": [1, 2, 3]}])") == std::set<std::string>{"[1,2]", "[1,3]", "[2,3]"});
  CHECK(drawn(R"([{"$sample": [0, 1], "of": [1, 2]}])") == std::set<std::string>{"[]", "[1]", "[2]"});
  // The loop variable ends with the loop.
  CHECK(says(refusal(R"([{"$for": "i", "from": 1, "to": 2, "do": [1]}, "{i}"])"), "/t/1: there is no variable \"i\""));
}

TEST_CASE("what $let binds is drawn once and ends with its body") {
  const Json twice = expand(R"({"$let": {"a": {"$int": [1, 1000000]}}, "in": ["{@a}", "{@a}"]})");
  CHECK(twice[0] == twice[1]);
  CHECK(says(refusal(R"([{"$let": {"a": 1}, "in": "{@a}"}, "{@a}"])"), "/t/1: nothing is bound to {@a}"));
}

TEST_CASE("a fitted threshold is one that the planted answer meets") {
  const Planted planted;
  std::set<Cell> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Json above =
        planted.fit(R"({"$fit": {"of": {"attr": "price", "of": "h"}, "side": "above", "slack": [0, 40], "round": 50}})", seed);
    const Json below =
        planted.fit(R"({"$fit": {"of": {"attr": "price", "of": "h"}, "side": "below", "slack": [5, 40], "round": 10}})", seed);
    CHECK(above.get<std::int64_t>() * kCellScale > planted.price);
    CHECK(above.get<std::int64_t>() * kCellScale <= planted.price + 90 * kCellScale);
    CHECK(above.get<std::int64_t>() % 50 == 0);
    CHECK(below.get<std::int64_t>() * kCellScale <= planted.price - 5 * kCellScale);
    seen.insert(below.get<std::int64_t>());
  }
  CHECK(seen.size() > 2);
  const std::string conditional = R"({"$fit": {"of": {"attr": "price", "of": "h"}, "side": "above", "slack": [0, 0], "round": 1,
    "when": {"<": [{"attr": "price", "of": "h"}, {"const": 0}]}, "otherwise": 77}})";
  CHECK(planted.fit(conditional, 1) == 77);
}

TEST_CASE("equal seeds expand to equal texts") {
  const std::string text = R"([{"$int": [1, 99]}, {"$sample": 2, "of": [1, 2, 3, 4]}, {"$word": "city"}])";
  CHECK(expand(text, 5) == expand(text, 5));
  CHECK(expand(text, 5) != expand(text, 6));
}

TEST_CASE("every mistake in a template is told with its path") {
  CHECK(says(refusal(R"("{nme}")"), "/t: there is no variable \"nme\" (did you mean \"name\"?); accepted: d, days, name, ratio"));
  CHECK(says(refusal(R"("{name")"), "/t: \"{name\" has an open brace without its end"));
  CHECK(says(refusal(R"("{d-x}")"), "/t: found \"{d-x}\"; accepted: a variable, plus or minus a whole number"));
  CHECK(says(refusal(R"("{name-1}")"), "counts from the variable \"name\", which is \"Leshan\"; accepted: an integer"));
  CHECK(says(refusal(R"("{=name}")"), "/t: {=name} is \"Leshan\"; accepted: an integer"));
  CHECK(says(refusal(R"({"$use": "f"})"), "/t/$use: there is no fragment \"f\"; accepted: none"));
  CHECK(says(refusal(R"({"$use": 1})"), "/t/$use: found 1; accepted: a string"));
  CHECK(says(refusal(R"({"$splice": "f"})", R"({"f": 1})"), "/tasks/fragments/f: expected an array"));
  CHECK(says(refusal(R"({"$int": [1]})"), "/t/$int: found [1]; accepted: an array of 2"));
  CHECK(says(refusal(R"({"$int": [3, 1]})"), "/t/$int: found [3,1]; accepted: the smaller one first"));
  CHECK(says(refusal(R"({"$int": [3, "{name}"]})"), "/t/$int: expected an integer, found \"Leshan\""));
  CHECK(says(refusal(R"({"$number": [1, 2]})"), "accepted: an array of 3"));
  CHECK(says(refusal(R"({"$number": [1, 2, 0]})"), "/t/$number: accepted: a step above 0"));
  CHECK(says(refusal(R"({"$date": ["2025-02-30", "2025-03-01"]})"), "found \"2025-02-30\"; accepted: a date"));
  CHECK(says(refusal(R"({"$date": ["2025-03-02", "2025-03-01"]})"), "accepted: the smaller one first"));
  CHECK(says(refusal(R"({"$date_plus": ["soon", 1]})"), "/t/$date_plus: found \"soon\"; accepted: a date"));
  CHECK(says(refusal(R"({"$word": "cities"})"), "/t/$word: locale zh_pinyin has no word list \"cities\""));
  CHECK(says(refusal(R"({"$pick": []})"), "/t/$pick: found []; accepted: an array of one or more"));
  CHECK(says(refusal(R"({"$let": [1], "in": 2})"), "/t/$let: found [1]; accepted: an object"));
  CHECK(says(refusal(R"({"$let": {"a": 1}})"), "\"in\""));
  CHECK(says(refusal(R"({"$fit": {}})"), "/t/$fit: \"$fit\" needs a planted answer"));
  CHECK(says(refusal(R"({"$fitt": {}})"), "/t: unknown form \"$fitt\" (did you mean \"$fit\"?)"));
  CHECK(says(refusal(R"({"a": 1, "$int": [1, 2]})"), "/t: the form \"$int\" must be the first member of its object"));
  CHECK(says(refusal(R"([{"$for": "i", "from": 1, "to": 20000, "do": []}])"),
             "/t/0/$for: found 1 to 20000; accepted: at most 10000 rounds"));
  CHECK(says(refusal(R"([{"$if": [1, ">=", 2], "do": []}])"), "/t/0/$if: found \">=\"; accepted: >, <, =="));
  CHECK(says(refusal(R"([{"$maybe": 1000001, "do": []}])"), "/t/0/$maybe: found 1000001; accepted: 0 to 1000000"));
  CHECK(says(refusal(R"([{"$sample": 3, "of": [1, 2]}])"), "/t/0/$sample: found 3; accepted: 0 to 2, as many as there are"));
  CHECK(says(refusal(R"([{"$sample": [2, 1], "of": [1, 2]}])"), "/t/0/$sample: found [2,1]"));
}

TEST_CASE("fits that cannot be are told") {
  const Planted planted;
  const auto refused = [&](const std::string& text) {
    try {
      return "accepted: " + dump_json(planted.fit(text, 1));
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  const std::string price = R"("of": {"attr": "price", "of": "h"})";
  CHECK(says(refused(R"({"$fit": {)" + price + R"(, "side": "left", "slack": [0, 1], "round": 1}})"),
             "/$fit/side: found \"left\"; accepted: above, below"));
  CHECK(says(refused(R"({"$fit": {)" + price + R"(, "side": "above", "slack": [0], "round": 1}})"),
             "/$fit/slack: found [0]; accepted: an array of 2"));
  CHECK(says(refused(R"({"$fit": {)" + price + R"(, "side": "above", "slack": [-5, 1], "round": 1}})"),
             "/$fit/slack: accepted: numbers from 0 on"));
  CHECK(says(refused(R"({"$fit": {)" + price + R"(, "side": "above", "slack": [0, 1], "round": 0}})"),
             "/$fit/round: accepted: a number above 0"));
  CHECK(says(refused(R"({"$fit": {)" + price + R"(, "side": "above", "slack": [0, 1], "round": 1,
    "when": {"<": [{"attr": "price", "of": "h"}, {"const": 0}]}}})"),
             "\"otherwise\""));
  CHECK(says(refused(R"({"$fit": {"of": {"slot": "h"}, "side": "above", "slack": [0, 1], "round": 1}})"),
             "/$fit/of: is undefined for the planted answer"));
  CHECK(says(refused(R"({"$fit": {"of": {"attr": "price", "of": "x"}, "side": "above", "slack": [0, 1], "round": 1}})"),
             "/$fit/of: there is no slot \"x\""));
}

TEST_CASE("a template that feeds on itself or grows without end is refused") {
  CHECK(says(refusal(R"({"$use": "a"})", R"({"a": [{"$use": "a"}]})"), "nested too deeply"));
  CHECK(says(refusal(R"([{"$splice": "a"}])", R"({"a": [{"$splice": "a"}]})"), "nested too deeply"));
  std::string doubling = R"({"f0": [1])";
  for (int i = 1; i < 40; ++i) doubling += fmt::format(R"(, "f{0}": [{{"$splice": "f{1}"}}, {{"$splice": "f{1}"}}])", i, i - 1);
  CHECK(says(refusal(R"([{"$splice": "f39"}])", doubling + "}"), "grows beyond 200000 values"));
}

}  // namespace gauntlet

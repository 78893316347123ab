#include "verifiers/problem.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "verifiers/random_problem.h"

namespace gauntlet {

namespace {

/// One slot of each domain, and a hotel within the city.
Json sample() {
  return parse_json(R"({
    "slots": [
      {"id": "city", "path": "/0/city", "group": "day 1", "noun": "city", "entity": "city"},
      {"id": "hotel", "path": "/0/hotel", "group": "day 1", "noun": "hotel", "entity": "hotel", "within": {"city": "city"}},
      {"id": "mode", "path": "/1/mode", "noun": "mode", "texts": ["train", "bus"]},
      {"id": "day", "path": "/1/day", "noun": "day", "dates": {"from": "2025-10-01", "to": "2025-10-03"}},
      {"id": "n", "path": "/1/n", "noun": "number", "integers": {"from": -1, "to": 3}}],
    "constraints": [{"<": [{"attr": "price", "of": "hotel"}, {"const": 500}]}],
    "objective": {"minimise": {"attr": "price", "of": "hotel"}}})",
                    "sample");
}

/// What the parser says of the sample with `value` (JSON text) at `pointer`; "" if it is accepted. Text "-" removes the member.
std::string refusal(const char* pointer, const std::string& value) {
  Json document = sample();
  const Json::json_pointer place(pointer);
  if (value == "-") {
    document[place.parent_pointer()].erase(place.back());
  } else {
    document[place] = parse_json(value, "value");
  }
  try {
    parse_problem(document, "");
    return "";
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
}

/// The same for a constraint.
std::string refused(const std::string& constraint) { return refusal("/constraints/0", constraint); }

constexpr const char* kPredicates = "==, !=, <, <=, >, >=, in, all_different, linked, if, all, any, at_least, not";
constexpr const char* kValues = "const, slot, link, attr, sum, min, max, count, difference";

}  // namespace

TEST_CASE("a problem is read into slots, constraints and objective") {
  const Problem problem = parse_problem(sample(), "");
  REQUIRE(problem.slots.size() == 5);
  CHECK(problem.slots[1].within == std::vector<std::pair<std::string, std::string>>{{"city", "city"}});
  CHECK(problem.slots[3].from == 20362);
  CHECK(problem.slots[3].to == 20364);
  CHECK(problem.slots[4].from == -1);
  CHECK(problem.find_slot("day") == 3);
  CHECK(problem.find_slot("nobody") == -1);
  CHECK(problem.constraints[0].children[1].constant.number == 500 * kCellScale);
  CHECK(problem.sense == ObjectiveSense::Minimise);
  const auto within = within_constraints(problem);
  REQUIRE(within.size() == 1);
  CHECK(dump_json(to_json(within[0])) == R"({"==":[{"attr":"city","of":"hotel"},{"slot":"city"}]})");
}

TEST_CASE("a problem is written as it was read") {
  CHECK(dump_json(to_json(parse_problem(sample(), ""))) == dump_json(sample()));
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    const Problem problem = random_problem(rng).problem;
    const std::string text = dump_json(to_json(problem));
    const Problem again = parse_problem(parse_json(text, "text"), "");
    CHECK(again == problem);
    CHECK(dump_json(to_json(again)) == text);
    for (const auto& node : problem.constraints) CHECK(parse_node(to_json(node), "") == node);
  }
}

TEST_CASE("numbers have at most three decimals and stay exact") {
  const auto number = [](const char* text) { return parse_node(Json{{"const", parse_json(text, "number")}}, "").constant.number; };
  CHECK(number("4.3") == 4300);
  CHECK(number("0.001") == 1);
  CHECK(number("-0.125") == -125);
  CHECK(number("1000000000000") == 1'000'000'000'000'000);
  CHECK(number("999999999999.999") == 999'999'999'999'999);
  for (Cell cell = -5000; cell <= 5000; ++cell) {
    Node node;
    node.constant.number = cell;
    CHECK(parse_node(parse_json(dump_json(to_json(node)), "number"), "").constant.number == cell);
  }
}

TEST_CASE("what is wrong with the document as a whole is named with its place") {
  CHECK(refusal("/slots", "-") == "/: the member \"slots\" is missing");
  CHECK(refusal("/slots", "[]") == "/slots: expected 1 to 1000 slots, found 0");
  CHECK(refusal("/slots", "3") == "/slots: expected an array, found 3");
  CHECK(refusal("/constraints", "-") == "/: the member \"constraints\" is missing");
  CHECK(refusal("/constraint", "[]") ==
        "/constraint: unknown member (did you mean \"constraints\"?); accepted: slots, constraints, objective");
  CHECK(refusal("/objective", "{}") == "/objective: expected one of minimise, maximise, found 0");
  CHECK(refusal("/objective/maximise", R"({"slot": "n"})") == "/objective: expected one of minimise, maximise, found 2");
  CHECK(refusal("/objective/maximize", R"({"slot": "n"})") ==
        "/objective/maximize: unknown member (did you mean \"maximise\"?); accepted: minimise, maximise");
  CHECK(refusal("/objective/minimise", R"({"slot": "city"})") == "/objective/minimise: expected a number or a date, found a name or text");
  CHECK(refusal("/objective/minimise", R"({"not": 1})") ==
        std::string("/objective/minimise: expected a value, but \"not\" is a predicate; accepted: ") + kValues);
}

TEST_CASE("what is wrong with a slot is named with its place") {
  CHECK(refusal("/slots/0/id", "\"\"") == "/slots/0/id: found an empty text; accepted: at least one character");
  CHECK(refusal("/slots/0/id", "-") == "/slots/0: the member \"id\" is missing");
  CHECK(refusal("/slots/0/id", "7") == "/slots/0/id: expected a string, found 7");
  CHECK(refusal("/slots/2/id", "\"n\"") == "/slots/4/id: \"n\" appears twice");
  CHECK(refusal("/slots/0/noun", "-") == "/slots/0: the member \"noun\" is missing");
  CHECK(refusal("/slots/0/nuon", "\"x\"").find("/slots/0/nuon: unknown member (did you mean \"noun\"?)") == 0);
  CHECK(refusal("/slots/0/entity", "-") == "/slots/0: expected exactly one of entity, texts, dates, integers; found 0");
  CHECK(refusal("/slots/0/texts", "[\"a\"]") == "/slots/0: expected exactly one of entity, texts, dates, integers; found 2");
  CHECK(refusal("/slots/2/texts", "[]") == "/slots/2/texts: found no texts; accepted: one or more");
  CHECK(refusal("/slots/2/texts/1", "\"train\"") == "/slots/2/texts/1: \"train\" appears twice");
  CHECK(refusal("/slots/2/texts/1", "2") == "/slots/2/texts/1: expected a string, found number");
  CHECK(refusal("/slots/2/within", R"({"city": "city"})") == "/slots/2/within: only a slot that ranges over an entity has columns");
  CHECK(refusal("/slots/1/within/city", "\"citty\"") ==
        "/slots/1/within/city: there is no slot \"citty\" (did you mean \"city\"?); accepted: city, day, hotel, mode, n");
  CHECK(refusal("/slots/3/dates/from", "\"2025-02-30\"") ==
        "/slots/3/dates/from: found \"2025-02-30\"; accepted: a date \"YYYY-MM-DD\"");
  CHECK(refusal("/slots/3/dates/to", "-") == "/slots/3/dates: the member \"to\" is missing");
  CHECK(refusal("/slots/3/dates/from", "\"2025-10-04\"").find("/slots/3/dates: found 20365 to 20364; accepted: from <= to") == 0);
  CHECK(refusal("/slots/4/integers/to", "-2") ==
        "/slots/4/integers: found -1 to -2; accepted: from <= to, at most 100000 values, none above 10^9 in size");
  CHECK(refusal("/slots/4/integers/to", "200000").find("/slots/4/integers: found -1 to 200000") == 0);
  CHECK(refusal("/slots/4/integers/from", "-9223372036854775808").find("/slots/4/integers: found -9223372036854775808 to 3") == 0);
  CHECK(refusal("/slots/4/integers/from", "0.5") == "/slots/4/integers/from: expected an integer, found 0.5");
}

TEST_CASE("the slots' paths make up one answer") {
  const std::string pointer = "; accepted: a JSON pointer such as /0/hotel, without '~', empty or \"-\" parts";
  for (const char* bad : {"", "city", "/", "/0//x", "/0/-", "/a~1b", "/0/"}) {
    CHECK(refusal("/slots/0/path", dump_json(Json(bad))) == "/slots/0/path: found \"" + std::string(bad) + "\"" + pointer);
  }
  CHECK(refusal("/slots/1/path", "\"/0/city\"") == "/slots/1/path: \"/0/city\" appears twice");
  CHECK(refusal("/slots/1/path", "\"/0/city/name\"") == "/slots/1/path: \"/0/city/name\" lies inside the value of another slot");
  CHECK(refusal("/slots/1/path", "\"/0\"") == "/slots/1/path: \"/0\" holds the values of other slots");
  CHECK(refusal("/slots/1/path", "\"/hotel\"") ==
        "/slots/1/path: \"/hotel\" takes for an object what an earlier slot takes for an array");
  CHECK(refusal("/slots/1/path", "\"/0/0\"") == "/slots/1/path: \"/0/0\" takes for an array what an earlier slot takes for an object");
  CHECK(refusal("/slots/2/path", "\"/2/mode\"") ==
        "/slots/2/path: \"/2/mode\" leaves a gap: the elements of an array are declared in order; accepted next: 1");
  CHECK(refusal("/slots/0/path", "\"/00/city\"").find("leaves a gap") != std::string::npos);
}

TEST_CASE("what is no node is told what would be one") {
  CHECK(refused("3") == std::string("/constraints/0: expected a predicate (an object with one of ") + kPredicates + "), found number");
  CHECK(refused("{}") == std::string("/constraints/0: expected a predicate (an object with one of ") + kPredicates + "), found an empty object");
  CHECK(refused(R"({"al": []})") ==
        std::string("/constraints/0: \"al\" is no kind of node (did you mean \"all\"?); accepted for a predicate: ") + kPredicates);
  CHECK(refused(R"({"slot": "n"})") ==
        std::string("/constraints/0: expected a predicate, but \"slot\" is a value; accepted: ") + kPredicates);
  CHECK(refused(R"({"==": [{"not": 1}, {"const": 1}]})") ==
        std::string("/constraints/0/==/0: expected a value, but \"not\" is a predicate; accepted: ") + kValues);
}

TEST_CASE("what is wrong with a value is named with its place") {
  const auto value = [](const std::string& text) { return refused(R"({"==": [)" + text + R"(, {"const": 1}]})"); };
  CHECK(value(R"({"slot": "nn"})") ==
        "/constraints/0/==/0/slot: there is no slot \"nn\" (did you mean \"n\"?); accepted: city, hotel, mode, day, n");
  CHECK(value(R"({"slot": "n", "of": "n"})").find("/constraints/0/==/0/of: unknown member") == 0);
  CHECK(value(R"({"attr": "price"})") == "/constraints/0/==/0: the member \"of\" is missing");
  CHECK(value(R"({"attr": "price", "of": "n"})") ==
        "/constraints/0/==/0/of: slot \"n\" holds no row of an entity, so it has no columns");
  CHECK(value(R"({"const": null})") == "/constraints/0/==/0/const: expected a number, a text, true or false, found null");
  CHECK(value(R"({"const": 1e13})") == "/constraints/0/==/0/const: found 10000000000000.0; accepted: at most 10^12 in size");
  CHECK(value(R"({"const": 18446744073709551615})") ==
        "/constraints/0/==/0/const: found 18446744073709551615; accepted: at most 10^12 in size");
  CHECK(value(R"({"const": 0.0005})") == "/constraints/0/==/0/const: found 0.0005; accepted: at most three decimals");
  CHECK(value(R"({"const": "2025-1-1", "type": "date"})") ==
        "/constraints/0/==/0/const: found \"2025-1-1\"; accepted: a date \"YYYY-MM-DD\"");
  CHECK(value(R"({"const": 1, "type": "number"})") == "/constraints/0/==/0/type: found \"number\"; accepted: date");
  CHECK(value(R"({"sum": []})") == "/constraints/0/==/0/sum: expected 1 to 1000 operands, found 0");
  CHECK(value(R"({"sum": {"slot": "n"}})") == "/constraints/0/==/0/sum: expected an array, found object");
  CHECK(value(R"({"sum": [{"const": 1}, {"slot": "day"}]})") == "/constraints/0/==/0/sum/1: expected a number, found a date");
  CHECK(value(R"({"max": [{"slot": "city"}]})") == "/constraints/0/==/0/max/0: expected a number or a date, found a name or text");
  CHECK(value(R"({"min": [{"slot": "day"}, {"slot": "n"}]})") == "/constraints/0/==/0/min/1: expected a date, found a number");
  CHECK(value(R"({"difference": [{"slot": "n"}]})") == "/constraints/0/==/0/difference: expected two operands, found 1");
  CHECK(value(R"({"difference": {"slot": "n"}})") == "/constraints/0/==/0/difference: expected two operands in an array, found object");
  CHECK(value(R"({"difference": [{"slot": "n"}, {"slot": "day"}]})") == "/constraints/0/==/0/difference/1: expected a number, found a date");
  CHECK(value(R"({"count": [{"slot": "n"}]})").find("/constraints/0/==/0/count/0: expected a predicate, but \"slot\" is a value") == 0);
  CHECK(value(R"({"link": "route", "attr": "price"})") == "/constraints/0/==/0: the member \"match\" is missing");
  CHECK(value(R"({"link": "route", "match": {}, "attr": "price"})") == "/constraints/0/==/0/match: expected 1 to 8 columns, found 0");
  CHECK(value(R"({"link": "route", "match": {"a/b~": {"slot": "x"}}, "attr": "price"})").find("/constraints/0/==/0/match/a~1b~0/slot: there is no slot") == 0);
  CHECK(value(R"({"link": "route", "match": {"a": {"slot": "n"}}, "attr": "price", "agg": "mean"})") ==
        "/constraints/0/==/0/agg: found \"mean\"; accepted: min, max, sum");
}

TEST_CASE("what is wrong with a predicate is named with its place") {
  CHECK(refused(R"({"<": [{"slot": "n"}]})") == "/constraints/0/<: expected two operands, found 1");
  CHECK(refused(R"({"<": [{"slot": "n"}, {"slot": "day"}]})") ==
        "/constraints/0/<: cannot compare a number with a date; accepted: two numbers, two dates, two names or texts, or two truth values");
  CHECK(refused(R"({"<": [{"slot": "city"}, {"const": "Hangzhou"}]})") == "/constraints/0/<: a name or text has no order; accepted: == and !=");
  CHECK(refused(R"({">=": [{"attr": "open", "of": "hotel"}, {"const": true}]})") == "/constraints/0/>=: true or false has no order; accepted: == and !=");
  CHECK(refused(R"({"==": [{"slot": "n"}, {"const": 1}], "!=": []})").find("/constraints/0/!=: unknown member") == 0);
  CHECK(refused(R"({"in": [{"slot": "n"}]})") == "/constraints/0/in: expected a value and a list of constants, found 1 operands");
  CHECK(refused(R"({"in": [{"slot": "n"}, 3]})") == "/constraints/0/in/1: expected an array, found number");
  CHECK(refused(R"({"in": [{"slot": "n"}, []]})") == "/constraints/0/in/1: expected 1 to 10000 operands, found 0");
  CHECK(refused(R"({"in": [{"slot": "n"}, [1, "a"]]})") == "/constraints/0/in/1/1: expected a number, found a name or text");
  CHECK(refused(R"({"all_different": [{"slot": "n"}]})") == "/constraints/0/all_different: expected at least two operands, found 1");
  CHECK(refused(R"({"all_different": [{"slot": "city"}, {"slot": "n"}]})") ==
        "/constraints/0/all_different/1: expected a name or text, found a number");
  CHECK(refused(R"({"linked": 4, "match": {}})") == "/constraints/0/linked: expected a string, found 4");
  CHECK(refused(R"({"if": {"all": []}, "then": {"all": []}})") == "/constraints/0/if/all: expected 1 to 1000 operands, found 0");
  CHECK(refused(R"({"if": {"==": [{"slot": "n"}, {"const": 1}]}})") == "/constraints/0: the member \"then\" is missing");
  CHECK(refused(R"({"any": []})") == "/constraints/0/any: expected 1 to 1000 operands, found 0");
  CHECK(refused(R"({"at_least": 3, "of": [{"==": [{"slot": "n"}, {"const": 1}]}]})") == "/constraints/0/at_least: found 3; accepted: 1 to 1");
  CHECK(refused(R"({"at_least": 0, "of": [{"==": [{"slot": "n"}, {"const": 1}]}]})") == "/constraints/0/at_least: found 0; accepted: 1 to 1");
  CHECK(refused(R"({"at_least": 1})") == "/constraints/0: the member \"of\" is missing");
  CHECK(refused(R"({"not": [{"==": [{"slot": "n"}, {"const": 1}]}]})").find("/constraints/0/not: expected a predicate") == 0);
}

TEST_CASE("nesting and number of nodes are bounded") {
  Json node = parse_json(R"({"==": [{"slot": "n"}, {"const": 1}]})", "");
  for (int depth = 2; depth < 64; ++depth) node = Json{{"not", node}};
  CHECK(refused(dump_json(node)) == "");
  const std::string deeper = refused(dump_json(Json{{"not", node}}));
  CHECK(deeper.ends_with("/==/0: nesting is deeper than 64"));

  Json many = Json::array();
  for (int i = 0; i < 1000; ++i) many.push_back({{"slot", "n"}});
  Json constraints = Json::array();
  for (int i = 0; i < 21; ++i) constraints.push_back({{"all_different", many}});
  Json document = sample();
  document["constraints"] = constraints;
  CHECK_THROWS_WITH_AS(parse_problem(document, ""), doctest::Contains("the problem has more than 20000 nodes"), Error);
  many.push_back({{"slot", "n"}});
  CHECK(refused(dump_json(Json{{"all_different", many}})) == "/constraints/0/all_different: expected 1 to 1000 operands, found 1001");
}

TEST_CASE("paths in errors begin where the caller says") {
  CHECK_THROWS_WITH_AS(parse_problem(Json::object(), "/task/problem"), "/task/problem: the member \"slots\" is missing", Error);
  CHECK_THROWS_WITH_AS(parse_node(Json{{"slot", 3}}, "/x"), "/x/slot: expected a string, found 3", Error);
}

}  // namespace gauntlet

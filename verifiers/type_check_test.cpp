#include "verifiers/type_check.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "verifiers/compiled.h"
#include "verifiers/random_problem.h"

namespace gauntlet {

namespace {

/// What binding a problem with one constraint to the small world says; "" if it is accepted.
std::string refused(const std::string& constraint, const std::string& within = "place", const std::string& target = "p") {
  Rng rng(3);
  const RandomProblem made = random_problem(rng);
  Json document = parse_json(R"({"slots": [
      {"id": "p", "path": "/p", "noun": "place", "entity": "place"},
      {"id": "v", "path": "/v", "noun": "venue", "entity": "venue"},
      {"id": "d", "path": "/d", "noun": "day", "dates": {"from": "2025-10-01", "to": "2025-10-03"}},
      {"id": "n", "path": "/n", "noun": "number", "integers": {"from": 1, "to": 3}}], "constraints": []})",
                             "problem");
  document["slots"][1]["within"][within] = target;
  document["constraints"].push_back(parse_json(constraint, "constraint"));
  try {
    const CompiledProblem compiled(parse_problem(document, ""), *made.world);
    return "";
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
}

constexpr const char* kFine = R"({"==": [{"slot": "n"}, {"const": 1}]})";

}  // namespace

TEST_CASE("operands that a world shows to be of different types are refused with their place") {
  CHECK(refused(kFine) == "");
  CHECK(refused(R"({"==": [{"attr": "price", "of": "v"}, {"const": "500"}]})") == "/constraints/0/==/1: expected a number, found a name or text");
  CHECK(refused(R"({"not": {"==": [{"attr": "open", "of": "v"}, {"const": 1}]}})") == "/constraints/0/not/==/1: expected true or false, found a number");
  CHECK(refused(R"({"any": [{"==": [{"slot": "n"}, {"attr": "built", "of": "v"}]}]})") == "/constraints/0/any/0/==/1: expected a number, found a date");
  CHECK(refused(R"({"<": [{"attr": "kind", "of": "v"}, {"attr": "kind", "of": "p"}]})") == "/constraints/0: a name or text has no order; accepted: == and !=");
  CHECK(refused(R"({"in": [{"attr": "kind", "of": "v"}, ["inn", 2]]})") == "/constraints/0/in/1/1: expected a name or text, found a number");
  CHECK(refused(R"({"all_different": [{"attr": "kind", "of": "v"}, {"attr": "stars", "of": "v"}]})") ==
        "/constraints/0/all_different/1: expected a name or text, found a number");
  CHECK(refused(R"({"==": [{"sum": [{"attr": "stars", "of": "v"}, {"attr": "kind", "of": "v"}]}, {"const": 1}]})") ==
        "/constraints/0/==/0/sum/1: expected a number, found a name or text");
  CHECK(refused(R"({"==": [{"max": [{"attr": "kind", "of": "v"}]}, {"const": 1}]})") ==
        "/constraints/0/==/0/max/0: expected a number or a date, found a name or text");
  CHECK(refused(R"({"==": [{"difference": [{"attr": "built", "of": "v"}, {"slot": "n"}]}, {"const": 1}]})") ==
        "/constraints/0/==/0/difference/1: expected a date, found a number");
  CHECK(refused(R"({"if": {"linked": "route", "match": {"cost": {"slot": "p"}}}, "then": )" + std::string(kFine) + "}") ==
        "/constraints/0/if/match/cost: expected a number, found a name or text");
  CHECK(refused(R"({"at_least": 1, "of": [{"==": [{"link": "route", "match": {"origin": {"slot": "p"}}, "attr": "day", "agg": "sum"}, {"slot": "d"}]}]})") ==
        "/constraints/0/of/0/==/0/agg: a date has no sum; accepted: min or max");
  CHECK(refused(R"({">": [{"count": [{"==": [{"slot": "n"}, {"attr": "name", "of": "p"}]}]}, {"const": 1}]})") ==
        "/constraints/0/>/0/count/0/==/1: expected a number, found a name or text");
  CHECK(refused(kFine, "stars") == "/slots/1/within/stars: the column holds a number, the slot \"p\" a name or text");
  CHECK(refused(kFine, "built", "d") == "");
}

TEST_CASE("a text of several rows has no lowest, so its link is refused") {
  CHECK(refused(R"({"==": [{"link": "place", "match": {"name": {"slot": "p"}}, "attr": "kind"}, {"const": "hill"}]})") == "");
  // Of six worlds with up to six venues of four stars some have two venues with as many.
  bool found = false;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    Problem problem = parse_problem(parse_json(R"({"slots": [{"id": "n", "path": "/n", "noun": "number", "integers": {"from": 1, "to": 4}}],
        "constraints": [{"==": [{"link": "venue", "match": {"stars": {"slot": "n"}}, "attr": "kind"}, {"const": "inn"}]}]})", "problem"), "");
    try {
      const CompiledProblem compiled(problem, *made.world);
    } catch (const Error& error) {
      found = true;
      const std::string message = error.what();
      CHECK(message.find("the problem links venue.kind, a text, by columns that ") == 0);
      CHECK(message.ends_with("accepted: a number or a date, or columns that name one row"));
    }
  }
  CHECK(found);
}

TEST_CASE("tables and columns that a world lacks are named with the nearest") {
  CHECK(refused(R"({"==": [{"attr": "prize", "of": "v"}, {"const": 1}]})") ==
        "the problem names the column of venue \"prize\", which the world does not have (did you mean \"price\"?); accepted: name, place, price, "
        "stars, kind, built, open");
  CHECK(refused(R"({"linked": "rout", "match": {"origin": {"slot": "p"}}})") ==
        "the problem names the table \"rout\", which the world does not have (did you mean \"route\"?); accepted: place, venue, route");
  CHECK(refused(kFine, "plaza").find("the problem names the column of venue \"plaza\"") == 0);
}

TEST_CASE("random problems are of matching types") {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    CHECK_NOTHROW(check_types(made.problem, *made.world));
  }
}

}  // namespace gauntlet

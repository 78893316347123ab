#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/json_schema.h"
#include "verifiers/random_problem.h"

namespace gauntlet {

namespace {

std::string refusal(const Json& document) {
  try {
    parse_problem(document, "");
    return "";
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
}

/// What a schema cannot state; every refusal of the parser alone is one of these.
bool is_about_meaning(const std::string& message) {
  constexpr std::array<std::string_view, 16> kMeanings = {
      "there is no slot",        "cannot compare",   "has no order",    "expected a number",      "expected a date",   "expected a name or text",
      "expected true or false",  "appears twice",    "holds no row",    "leaves a gap",           "an array what",     "accepted: a JSON pointer",
      "accepted: from <= to",    "lies inside the",  "three decimals",  "only a slot that ranges"};
  constexpr std::array<std::string_view, 9> kMore = {"/in/0: expected a value", "/in/1: expected an array", "holds the values", "what an earlier slot takes", "accepted: 1 to ", "an integer, found", "whose order", "expected 1 to 8 columns", "has no columns"};
  const auto said = [&](std::string_view text) { return message.find(text) != std::string::npos; };
  return std::any_of(kMeanings.begin(), kMeanings.end(), said) || std::any_of(kMore.begin(), kMore.end(), said);
}

/// All places of a document, as JSON pointers.
void places(const Json& value, const Json::json_pointer& at, std::vector<Json::json_pointer>& out) {
  out.push_back(at);
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) places(value[i], at / i, out);
  } else if (value.is_object()) {
    for (const auto& item : value.items()) places(item.value(), at / item.key(), out);
  }
}

/// One change anywhere: a member renamed, removed or added, a value replaced by another of the document or by something odd.
void mutate(Json& document, Rng& rng) {
  std::vector<Json::json_pointer> all;
  places(document, Json::json_pointer(), all);
  Json& target = document[rng.pick(all)];
  const Json other = document[rng.pick(all)];
  switch (rng.below(6)) {
    case 0: target = other; return;
    case 1:
      target = rng.pick<Json>({nullptr, true, 0, -1, 3, 2.5, 1e13, 0.0005, "", "s0", "place", "2025-10-01", "2025-13-01", "/0", Json::array(), Json::object()});
      return;
    case 2:
      if (target.is_array()) target.push_back(other);
      if (target.is_object()) target[rng.pick<std::string>({"type", "of", "agg", "else", "within", "note", "sum", "not"})] = other;
      return;
    case 3:
      if (target.is_array() && !target.empty()) target.erase(rng.below(target.size()));
      if (target.is_object() && !target.empty()) target.erase(std::next(target.begin(), static_cast<std::ptrdiff_t>(rng.below(target.size()))).key());
      return;
    case 4:
      if (target.is_object() && !target.empty()) {
        const Json content = target.begin().value();
        target.erase(target.begin().key());
        target[rng.pick<std::string>({"min", "max", "sum", "count", "all", "any", "==", "<", "in", "all_different", "slot", "minimise", "texts"})] = content;
      }
      return;
    default:
      if (target.is_array()) target = Json::array({target});
      if (target.is_string()) target = target.get<std::string>() + "x";
      if (target.is_number()) target = target.get<double>() + 1;
  }
}

}  // namespace

TEST_CASE("the problem schema accepts every problem that is written") {
  const JsonSchema schema(problem_schema(), "problem.schema.json");
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    const auto found = schema.problems(to_json(random_problem(rng).problem));
    CHECK_MESSAGE(found.empty(), found.front());
  }
}

TEST_CASE("parser and schema agree on changed problems, but for what a schema cannot state") {
  const JsonSchema schema(problem_schema(), "problem.schema.json");
  std::size_t both_refuse = 0;
  std::size_t both_accept = 0;
  std::size_t meaning = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    Rng rng(seed);
    Json document = to_json(random_problem(rng).problem);
    for (std::size_t i = 1 + rng.below(2); i > 0; --i) mutate(document, rng);
    const auto found = schema.problems(document);
    const std::string message = refusal(document);
    INFO(dump_json(document));
    INFO(message);
    if (!found.empty()) {
      INFO(found.front());
      CHECK(!message.empty());
      ++both_refuse;
    } else if (message.empty()) {
      ++both_accept;
    } else {
      CHECK(is_about_meaning(message));
      ++meaning;
    }
  }
  CHECK(both_refuse > 1000);
  CHECK(both_accept > 500);
  CHECK(meaning > 200);
}

TEST_CASE("the schema bears problems as deep as the parser accepts") {
  const JsonSchema schema(problem_schema(), "problem.schema.json");
  Json node = parse_json(R"({"==": [{"slot": "n"}, {"const": 1}]})", "");
  for (int depth = 0; depth < 62; ++depth) node = Json{{"not", node}};
  const Json document = {{"slots", {{{"id", "n"}, {"path", "/n"}, {"noun", "n"}, {"integers", {{"from", 0}, {"to", 2}}}}}}, {"constraints", Json::array({node})}};
  CHECK(refusal(document) == "");
  CHECK(schema.problems(document).empty());
}

}  // namespace gauntlet

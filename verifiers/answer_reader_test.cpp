#include <doctest/doctest.h>

#include "verifiers/random_problem.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

constexpr const char* kForm = R"({"slots": [
    {"id": "p", "path": "/0/place", "noun": "place", "entity": "place"},
    {"id": "m", "path": "/0/by/mode", "noun": "mode", "texts": ["train", " slow bus ", ""]},
    {"id": "d", "path": "/1/day", "noun": "day", "dates": {"from": "2025-10-01", "to": "2025-10-03"}},
    {"id": "n", "path": "/1/guests", "noun": "guests", "integers": {"from": -2, "to": 4}}], "constraints": []})";

struct Fixture {
  RandomProblem made;
  CompiledProblem compiled;
  AnswerReader reader;
  std::string place;
  std::vector<SlotValue> values;

  Fixture()
      : made([] {
          Rng rng(6);
          return random_problem(rng);
        }()),
        compiled(parse_problem(parse_json(kForm, "form"), ""), *made.world),
        reader(compiled),
        place(compiled.value_to_json(0, 1).get<std::string>()) {}

  /// `text` with "PLACE" replaced by the name of the second place.
  std::string with_place(std::string text) const {
    for (auto at = text.find("PLACE"); at != std::string::npos; at = text.find("PLACE")) text.replace(at, 5, place);
    return text;
  }
  bool accepts(const std::string& text) { return reader.read(with_place(text), values, nullptr); }
  std::vector<std::string> problems(const std::string& text) {
    std::vector<AnswerProblem> found;
    CHECK_FALSE(reader.read(with_place(text), values, &found));
    std::vector<std::string> lines;
    for (const auto& one : found) lines.push_back(one.path + ": " + one.what);
    return lines;
  }
  std::string problem(const std::string& text) {
    const auto found = problems(text);
    REQUIRE(found.size() == 1);
    return found[0];
  }
};

const std::string kGood = R"([{"place": "PLACE", "by": {"mode": "train"}}, {"day": "2025-10-02", "guests": 3}])";

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an answer of the form asked for fills every slot") {
  REQUIRE(accepts(kGood));
  CHECK(values == std::vector<SlotValue>{1, 0, 1, 5});
  CHECK(answer_to_text(compiled, values) == with_place(R"([{"place":"PLACE","by":{"mode":"train"}},{"day":"2025-10-02","guests":3}])"));
}

TEST_CASE_FIXTURE(Fixture, "differences of form alone do not matter") {
  for (const char* same : {
           R"([{"by": {"mode": "train"}, "place": "PLACE"}, {"guests": 3, "day": "2025-10-02"}])",
           "\n\t [ {\"place\" :\"PLACE\",\r\n\"by\":{\"mode\":\"train\"}} , {\"day\":\"2025-10-02\",\"guests\":3} ] \n",
           "```json\n[{\"place\": \"PLACE\", \"by\": {\"mode\": \"train\"}}, {\"day\": \"2025-10-02\", \"guests\": 3}]\n```",
           "```\n[{\"place\": \"PLACE\", \"by\": {\"mode\": \"train\"}}, {\"day\": \"2025-10-02\", \"guests\": 3}]```  ",
           R"([{"place": "PLACE", "by": {"mode": "train"}}, {"day": "2025-10-02", "guests": 3.0}])",
           R"([{"place": "PLACE", "by": {"mode": "train"}}, {"day": "2025-10-02", "guests": 30e-1}])",
           R"([{"place": "PLACE", "note": [1, {"place": 2}], "by": {"mode": "train", "x": null}}, {"day": "2025-10-02", "guests": 3, "GUESTS": 4}])",
           R"([{"place": "  PLACE ", "by": {"mode": "train\n"}}, {"day": " 2025-10-02", "guests": 3}])",
           R"([{"pl\u0061ce": "PLACE", "by": {"mode": "tr\u0061in"}}, {"day": "2025-10-02", "guests": 3}])",
       }) {
    INFO(same);
    CHECK(accepts(same));
    CHECK(values == std::vector<SlotValue>{1, 0, 1, 5});
  }
}

TEST_CASE_FIXTURE(Fixture, "a text that itself begins or ends with a space can be answered") {
  CHECK(accepts(R"([{"place": "PLACE", "by": {"mode": " slow bus "}}, {"day": "2025-10-02", "guests": 3}])"));
  CHECK(values[1] == 1);
  CHECK(accepts(R"([{"place": "PLACE", "by": {"mode": ""}}, {"day": "2025-10-02", "guests": -2.0}])"));
  CHECK(values[1] == 2);
  CHECK(values[3] == 0);
}

TEST_CASE_FIXTURE(Fixture, "what is wrong in substance is named with its place") {
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = kGood;
    return problem(text.replace(text.find(from), from.size(), to));
  };
  CHECK(changed("\"PLACE\"", "\"Atlantis\"") == "/0/place: no place is named \"Atlantis\"");
  CHECK(changed("\"PLACE\"", "\"\"") == "/0/place: no place is named \"\"");
  CHECK(changed("\"PLACE\"", "12") == "/0/place: expected a string, found a number");
  CHECK(changed("\"PLACE\"", "[\"PLACE\"]") == "/0/place: expected a string, found an array");
  CHECK(changed("\"PLACE\"", "null") == "/0/place: expected a string, found null");
  CHECK(changed("\"place\"", "\"plaze\"") == "/0/place: is missing");
  CHECK(changed("\"place\"", "\"Place\"") == "/0/place: is missing");
  CHECK(changed("\"place\"", "\"place\": \"PLACE\", \"place\"") == "/0/place: appears twice");
  CHECK(changed("{\"mode\": \"train\"}", "\"train\"") == "/0/by: expected an object, found a string");
  CHECK(changed("\"train\"", "\"Train\"") == "/0/by/mode: \"Train\" is not one of the accepted texts");
  CHECK(changed("\"train\"", "true") == "/0/by/mode: expected a string, found a boolean");
  CHECK(changed("2025-10-02", "2025-10-04") == "/1/day: \"2025-10-04\" is not a date (YYYY-MM-DD) from 2025-10-01 to 2025-10-03");
  CHECK(changed("2025-10-02", "2 October 2025") == "/1/day: \"2 October 2025\" is not a date (YYYY-MM-DD) from 2025-10-01 to 2025-10-03");
  CHECK(changed("3}", "3.5}") == "/1/guests: 3.5 is not an integer from -2 to 4");
  CHECK(changed("3}", "5}") == "/1/guests: 5 is not an integer from -2 to 4");
  CHECK(changed("3}", "1e300}").find("/1/guests: 1e+300 is not an integer") == 0);
  CHECK(changed("3}", "\"3\"}") == "/1/guests: expected an integer, found a string");
  CHECK(changed("[{", "[{}, {") == "/: expected an array of 2, found one of 3");
  CHECK(problem("[]") == "/: expected an array of 2, found one of 0");
  CHECK(problem("{}") == "/: expected an array of 2, found an object");
  CHECK(problem(R"({"0": {"place": "PLACE", "by": {"mode": "train"}}, "1": {"day": "2025-10-02", "guests": 3}})") ==
        "/: expected an array of 2, found an object");
  CHECK(problem("3") == "/: expected an array of 2, found a number");
}

TEST_CASE_FIXTURE(Fixture, "all that is wrong is listed, and what could be read is kept") {
  const auto found = problems(R"([{"by": {"mode": "x"}}, {"day": "2025-10-02", "guests": true}])");
  CHECK(found == std::vector<std::string>{"/0/by/mode: \"x\" is not one of the accepted texts", "/0/place: is missing",
                                          "/1/guests: expected an integer, found a boolean"});
  CHECK(values == std::vector<SlotValue>{-1, -1, 1, -1});
}

TEST_CASE_FIXTURE(Fixture, "texts that are no JSON are refused, whatever they are") {
  const std::string good = with_place(kGood);
  for (const std::string& text : std::vector<std::string>{
           "", " ", "```", "``````", "```json\n```", "I could not find a plan.", "Here it is: " + good, good + good, good + " done", "{" + good,
           good.substr(0, good.size() - 1), std::string("\0\0\0", 3), std::string("[\"\xff\xfe\"]"), std::string(100'000, '['),
           std::string(5'000'000, 'x'), "[1e400]", "'" + good + "'", "[{'place': 'x'}]", "NaN", "[,]", "```json\n" + good}) {
    std::vector<AnswerProblem> found;
    CHECK_FALSE(reader.read(text, values, &found));
    REQUIRE(!found.empty());
    CHECK(valid_utf8(found[0].what) == found[0].what);
    CHECK_FALSE(reader.read(text, values, nullptr));
  }
  CHECK(problem("nothing").find("/: the answer is not JSON: ") == 0);
  CHECK(accepts(kGood));  // none of it left a trace
}

TEST_CASE("every assignment's text is read back to the assignment") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    AnswerReader reader(compiled);
    std::vector<SlotValue> values;
    for (const auto& slot : compiled.slots()) values.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
    std::vector<SlotValue> read;
    CHECK(reader.read(answer_to_text(compiled, values), read, nullptr));
    CHECK(read == values);
  }
}

}  // namespace gauntlet

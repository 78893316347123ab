#include "verifiers/reference.h"

#include <doctest/doctest.h>

namespace gauntlet {
namespace {

/// Two texts in an array and one in an object; the first two must differ.
Problem nested_paths() {
  const Json texts = {"x", "y"};
  return parse_problem({{"slots",
                         {{{"id", "a"}, {"path", "/p/0"}, {"noun", "a"}, {"texts", texts}},
                          {{"id", "b"}, {"path", "/p/1"}, {"noun", "b"}, {"texts", texts}},
                          {{"id", "c"}, {"path", "/q/r"}, {"noun", "c"}, {"texts", texts}}}},
                        {"constraints", {{{"!=", Json::array({{{"slot", "a"}}, {{"slot", "b"}}})}}}}},
                       "");
}

bool holds(const std::string& answer) { return reference_holds(nested_paths(), World(), parse_json(answer, "an answer")); }

}  // namespace

TEST_CASE("the reference judge finds values in arrays and objects, among others and in any order") {
  CHECK(holds(R"({"p":["x","y"],"q":{"r":"x"}})"));
  CHECK(holds(R"({"q":{"r":"y","more":1},"p":["y","x","more"]})"));
  CHECK_FALSE(holds(R"({"p":["x","x"],"q":{"r":"x"}})"));
}

TEST_CASE("the reference judge refuses answers that lack a value or hold it in another form") {
  for (const std::string answer : {R"({"p":["x"],"q":{"r":"x"}})", R"({"p":["x","y"]})", R"({"p":["x","y"],"q":"x"})", R"({"p":{"0":"x","2":"y"},"q":{"r":"x"}})",
                                   R"({"p":["x","z"],"q":{"r":"x"}})", R"({"p":["x",1],"q":{"r":"x"}})", R"([])", R"("x")", R"(null)"}) {
    CAPTURE(answer);
    CHECK_FALSE(holds(answer));
  }
}

}  // namespace gauntlet

#include "inference/server/request_fields.h"

#include <doctest/doctest.h>

namespace gauntlet {
namespace {

template <class Action>
ApiError refusal(Action&& action) {
  try {
    action();
  } catch (const ApiRefusal& refused) {
    return refused.error();
  }
  return {.status = 200};
}

TEST_CASE("a refusal has OpenAI's form, with null for what is not known") {
  CHECK(dump_json(to_json(ApiError{.message = "no"})) == R"({"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}})");
  const auto error = refusal([] { refuse_member("n", "too large", "bad"); });
  CHECK(error.status == 400);
  CHECK(dump_json(to_json(error)) == R"({"error":{"message":"n: too large","type":"invalid_request_error","param":"n","code":"bad"}})");
}

TEST_CASE("a body is a JSON object that does not nest too deeply") {
  CHECK(parse_request_body(R"({"a":[[1]]})", 3).at("a").size() == 1);
  CHECK(refusal([] { parse_request_body(R"({"a":[[1]]})", 2); }).message == "the body nests deeper than 2 levels");
  CHECK(parse_request_body(R"({"a":"[[[[\"[["})", 1).size() == 1);  // brackets of text are none
  CHECK(refusal([] { parse_request_body(std::string(1'000'000, '['), 64); }).status == 400);
  CHECK(refusal([] { parse_request_body("[]", 64); }).message == "expected a JSON object as the body, found []");
  CHECK(refusal([] { parse_request_body("{", 64); }).status == 400);
  CHECK(refusal([] { parse_request_body("", 64); }).status == 400);
  CHECK(refusal([] { parse_request_body(R"({"a":1,"a":2})", 64); }).status == 400);
  CHECK(refusal([] { parse_request_body("{\"a\":\"\xFF\"}", 64); }).status == 400);
}

TEST_CASE("members have their types and ranges, and null is absent") {
  const Json body = {{"i", 5}, {"big", UINT64_MAX}, {"f", 1.5}, {"t", "x"}, {"b", true}, {"n", nullptr}, {"a", {1, 2, 3}}, {"o", Json::object()}};
  RequestFields fields(body, "");
  CHECK(fields.integer("i", 0, 5) == 5);
  CHECK(fields.number("i") == 5.0);
  CHECK(fields.number("f") == 1.5);
  CHECK(fields.text("t") == "x");
  CHECK(fields.flag("b") == true);
  CHECK(fields.array("a", 3)->size() == 3);
  CHECK(fields.object("o") != nullptr);
  CHECK_FALSE(fields.integer("n", 0, 1).has_value());
  CHECK_FALSE(fields.text("missing").has_value());
  CHECK(refusal([&] { fields.integer("i", 0, 4); }).message == "i: expected a whole number from 0 to 4, found 5");
  CHECK(refusal([&] { fields.integer("big", INT64_MIN, INT64_MAX); }).param == "big");
  CHECK(refusal([&] { fields.integer("f", 0, 9); }).param == "f");
  CHECK(refusal([&] { fields.number("t"); }).param == "t");
  CHECK(refusal([&] { fields.flag("i"); }).message == "i: expected true or false, found 5");
  CHECK(refusal([&] { fields.text("i"); }).param == "i");
  CHECK(refusal([&] { fields.array("a", 2); }).message == "a: found 3 elements; accepted: at most 2");
  CHECK(refusal([&] { fields.object("a"); }).param == "a");
  CHECK(refusal([&] { fields.get("n"); }).message == "n: this member is required");
}

TEST_CASE("a member that nobody asked for is refused, and the nearest one is named") {
  const Json body = {{"temprature", 1}};
  RequestFields fields(body, "");
  fields.number("temperature");
  const auto error = refusal([&] { fields.refuse_others(); });
  CHECK(error.message == "temprature: this member is not known; did you mean \"temperature\"?");
  CHECK(error.code == "unknown_parameter");
  fields.ignore({"temprature"});
  fields.refuse_others();
  const Json inner = {{"x", 1}};
  RequestFields nested(inner, "messages[2]");
  CHECK(refusal([&] { nested.refuse_others(); }).param == "messages[2].x");
}

TEST_CASE("a required member that is misspelt is told by its nearest name, one that is another's is not") {
  const Json body = {{"mesages", 1}, {"model", "x"}, {"message", 1}};
  RequestFields fields(body, "");
  fields.ignore({"message"});
  CHECK(refusal([&] { fields.get("messages"); }).message == "mesages: this member is not known; did you mean \"messages\"?");
  CHECK(refusal([&] { fields.get("prompt"); }).message == "prompt: this member is required");
}

TEST_CASE("what a message quotes is short") {
  CHECK(shown(Json(std::string(10'000, 'x'))).size() <= 90);
  CHECK(shown(Json(std::vector<int>(1000, 1))) == "a long array");
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "é";
  CHECK(shown(Json(accents)).size() <= 90);
}

}  // namespace
}  // namespace gauntlet

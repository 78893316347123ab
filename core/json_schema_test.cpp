#include "core/json_schema.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace {

using gauntlet::Json;

std::vector<std::string> problems(const char* schema, const char* value) {
  return gauntlet::JsonSchema(Json::parse(schema), "schema").problems(Json::parse(value));
}

bool valid(const char* schema, const char* value) { return problems(schema, value).empty(); }

}  // namespace

TEST_CASE("a wrong type is reported with its place, what was found and what is accepted") {
  const auto found = problems(R"({"properties": {"tools": {"items": {"properties": {"name": {"type": "string"}}}}}})",
                              R"({"tools": [{"name": "a"}, {"name": 12}]})");
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "/tools/1/name: found 12; accepted: a string");
}

TEST_CASE("all problems are listed, up to the limit") {
  const char* schema = R"({"type": "array", "items": {"type": "integer"}})";
  CHECK(problems(schema, R"(["a", 1, "b", 2.5, 3.0])").size() == 3);
  CHECK(gauntlet::JsonSchema(Json::parse(schema), "schema").problems(Json::parse(R"(["a", "b", "c"])"), 2).size() == 2);
}

TEST_CASE("a missing and an unknown member are named, with the nearest accepted one") {
  const auto found = problems(
      R"({"type": "object", "properties": {"name": {}, "title": {}}, "required": ["name"], "additionalProperties": false})",
      R"({"tilte": 1})");
  REQUIRE(found.size() == 2);
  CHECK(found[0] == "/: the member \"name\" is missing");
  CHECK(found[1] == "/tilte: unknown member (did you mean \"title\"?); accepted: name, title");
}

TEST_CASE("numbers: whole numbers written as floats are integers, bounds are inclusive unless said otherwise") {
  CHECK(valid(R"({"type": "integer"})", "3.0"));
  CHECK_FALSE(valid(R"({"type": "integer"})", "3.5"));
  CHECK(valid(R"({"minimum": 2, "maximum": 4})", "4"));
  CHECK_FALSE(valid(R"({"minimum": 2, "maximum": 4})", "4.5"));
  CHECK_FALSE(valid(R"({"exclusiveMaximum": 4})", "4"));
  CHECK_FALSE(valid(R"({"exclusiveMinimum": 4})", "4"));
}

TEST_CASE("an enormous float does no harm") {
  CHECK(valid(R"({"type": "integer"})", "1e300"));
  CHECK_FALSE(valid(R"({"type": "integer", "maximum": 10})", "1e300"));
}

TEST_CASE("strings: length in characters, pattern, date") {
  CHECK(valid(R"({"maxLength": 2})", R"("杭州")"));
  CHECK_FALSE(valid(R"({"minLength": 1})", R"("")"));
  CHECK_FALSE(valid(R"({"pattern": "^[a-z]+$"})", R"("a1")"));
  CHECK(valid(R"({"format": "date"})", R"("2024-02-29")"));
  CHECK_FALSE(valid(R"({"format": "date"})", R"("2025-02-29")"));
  CHECK_FALSE(valid(R"({"format": "date"})", R"("2025-13-01")"));
  CHECK_FALSE(valid(R"({"format": "date"})", R"("2025-1-001")"));
}

TEST_CASE("arrays: number of items and uniqueness, where key order does not matter") {
  CHECK_FALSE(valid(R"({"minItems": 1})", "[]"));
  CHECK_FALSE(valid(R"({"maxItems": 1})", "[1, 2]"));
  CHECK_FALSE(valid(R"({"uniqueItems": true})", R"([{"a": 1, "b": 2}, {"b": 2, "a": 1}])"));
}

TEST_CASE("enum and const compare whole values and suggest the nearest word") {
  CHECK(problems(R"({"enum": ["read", "write"]})", R"("raed")")[0] ==
        "/: found \"raed\" (did you mean \"read\"?); accepted: \"read\", \"write\"");
  CHECK_FALSE(valid(R"({"const": {"a": 1}})", R"({"a": 2})"));
}

TEST_CASE("combinations: all, any, exactly one, none") {
  CHECK(valid(R"({"anyOf": [{"type": "string"}, {"type": "integer"}]})", "1"));
  CHECK_FALSE(valid(R"({"anyOf": [{"type": "string"}, {"type": "integer"}]})", "null"));
  CHECK_FALSE(valid(R"({"oneOf": [{"minimum": 1}, {"maximum": 5}]})", "3"));
  CHECK_FALSE(valid(R"({"allOf": [{"minimum": 1}, {"maximum": 5}]})", "9"));
  CHECK_FALSE(valid(R"({"not": {"type": "null"}})", "null"));
}

TEST_CASE("the alternative that fits furthest explains the failure") {
  const auto found =
      problems(R"({"anyOf": [{"type": "string"}, {"properties": {"min": {"type": "number"}}}]})", R"({"min": "x"})");
  REQUIRE(found.size() == 1);
  CHECK(found[0] == "/min: found \"x\"; accepted: a number");
}

TEST_CASE("definitions may refer to themselves") {
  const char* schema =
      R"({"$defs": {"tree": {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree"}}, "additionalProperties": false}}, "$ref": "#/$defs/tree"})";
  CHECK(valid(schema, R"({"child": {"child": {}}})"));
  CHECK(problems(schema, R"({"child": {"child": 1}})")[0] == "/child/child: found 1; accepted: an object");
}

TEST_CASE("a reference that goes in a circle ends with a problem") {
  CHECK_FALSE(valid(R"({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})", "1"));
}

TEST_CASE("a schema that uses an unsupported or malformed keyword is refused") {
  for (const char* schema : {R"({"minimun": 1})", R"({"type": "text"})", R"({"minItems": -1})", R"({"$ref": "#/$defs/no"})",
                             R"({"pattern": "(a"})", R"({"format": "uri"})", R"([])"}) {
    CAPTURE(std::string(schema));
    CHECK_THROWS_AS(gauntlet::JsonSchema(Json::parse(schema), "schema"), gauntlet::Error);
  }
}

TEST_CASE("slashes and tildes in keys are escaped in paths") {
  CHECK(problems(R"({"additionalProperties": {"type": "null"}})", R"({"a/b~c": 1})")[0] == "/a~1b~0c: found 1; accepted: null");
}

// From JSON Schema to what may be written: a table of our own, in the manner of the JSON Schema test suite.

#include "inference/constraint/schema_grammar.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "core/error.h"
#include "inference/constraint/grammar_text.h"

namespace gauntlet {
namespace {

struct Case {
  const char* schema;
  std::vector<const char*> written;      ///< must be accepted
  std::vector<const char*> not_written;  ///< must not be
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {R"({"type": "null"})", {"null"}, {"nul", "true", "\"null\"", " null", "null "}},
      {R"({"type": "boolean"})", {"true", "false"}, {"True", "1"}},
      {R"({"type": "integer"})", {"0", "-1", "17", "123456789012345678"}, {"01", "-0", "1.0", "1e3", "+1", "1234567890123456789", ""}},
      {R"({"type": "number"})", {"0", "-0.5", "1.25", "1e5", "2.5E-10", "-3"}, {".5", "1.", "1e", "1e999", "--1", "NaN", "Infinity"}},
      {R"({"type": "integer", "minimum": 3, "maximum": 120})", {"3", "9", "10", "99", "100", "120"}, {"2", "0", "-5", "121", "1000", "03"}},
      {R"({"type": "integer", "minimum": -15, "exclusiveMaximum": 4})", {"-15", "-9", "-1", "0", "3"}, {"-16", "-20", "4", "10", "-0"}},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", {}, {}},
      {R"({"type": "number", "minimum": 0, "maximum": 1})", {"0", "1", "0.5", "1.0", "0.999", "0.0"}, {"1.1", "-0.1", "1.01", "2", "1e-3"}},
      {R"({"type": "number", "exclusiveMinimum": 0.25})", {"0.26", "0.2501", "1", "77.5"}, {"0.25", "0.250", "0.2", "0", "-1"}},
      {R"({"type": "number", "exclusiveMinimum": -2.5, "exclusiveMaximum": -1})", {"-2", "-1.5", "-2.4999", "-1.001"}, {"-2.5", "-1", "-1.0", "-2.50", "-3", "0", "-0.5"}},
      {R"({"type": "string"})", {R"("")", R"("a b")", R"("\n\u00e9\ud83d\ude00")", "\"\xC3\xA9\xF0\x9F\x98\x80\"", R"("\/")"}, {R"("a)", "a", "\"\n\"", R"("\x")", R"("\ud83d")", "\"\xC3\"", "\"\xED\xA0\x80\""}},
      {R"({"type": "string", "minLength": 2, "maxLength": 3})", {R"("ab")", R"("abc")", R"("éé")", R"("\n\n")", R"("\u00e9b")", R"("\ud83d\ude00x")"}, {R"("a")", R"("abcd")", R"("\ud83d\ude00")", R"("")"}},
      {R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")"}},
      {R"({"type": "string", "pattern": "^[a-z]+-\\d{2,3}$"})", {R"("ab-12")", R"("z-123")"}, {R"("ab-1")", R"("-12")", R"("ab-12 ")", R"("AB-12")"}},
      {R"({"type": "string", "pattern": "o"})", {R"("o")", R"("foo bar")"}, {R"("bar")", R"("")"}},
      {R"({"type": "string", "pattern": "^\"\\\\$"})", {R"("\"\\")"}, {R"(""\")"}},
      {R"({"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 4})", {R"("aa")", R"("aaaa")"}, {R"("a")", R"("aaaaa")", R"("ab")"}},
      {R"({"type": "string", "format": "date"})", {R"("2024-02-29")", R"("1999-12-31")"}, {R"("2023-02-29")", R"("2024-13-01")", R"("2024-04-31")", R"("24-01-01")", R"("1900-02-29")"}},
      {R"({"type": "string", "format": "date-time"})", {R"("2024-02-29T23:59:59Z")", R"("2024-01-01T00:00:00.25+05:30")"}, {R"("2024-02-29")", R"("2024-01-01T24:00:00Z")", R"("2024-01-01 00:00:00Z")"}},
      {R"({"type": "string", "format": "time"})", {R"("08:30:00Z")"}, {R"("8:30:00Z")", R"("08:30")"}},
      {R"({"type": "string", "format": "uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"}, {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"type": "string", "format": "email"})", {R"("a.b+c@example.org")"}, {R"("a@b")", R"("a b@example.org")", R"("@example.org")"}},
      {R"({"type": "string", "format": "ipv4"})", {R"("127.0.0.1")", R"("255.255.255.255")"}, {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
      {R"({"type": "string", "format": "uri"})", {R"("https://example.org/a?b=%20#c")"}, {R"("example.org")", R"("https://exa mple.org")"}},
      {R"({"enum": ["red", "green", 3, null, {"a": [1, "x"]}]})", {R"("red")", "3", "null", R"({"a":[1,"x"]})", R"({"a": [1, "x"]})"}, {"\"blue\"", "4", R"({"a":[1]})"}},
      {R"({"type": "string", "enum": ["a", 1, "b"]})", {R"("a")", R"("b")"}, {"1"}},
      {R"({"enum": ["a", "bb", "ccc"], "minLength": 2})", {R"("bb")", R"("ccc")"}, {R"("a")"}},
      {R"({"const": "é\n\""})", {"\"é\\n\\\"\""}, {"\"e\""}},
      {R"({"const": 1.5})", {"1.5"}, {"1", "1.50"}},
      {R"({"type": ["string", "null"], "maxLength": 1})", {"null", R"("a")"}, {R"("ab")", "1"}},
      {R"({"type": "string", "nullable": true})", {"null", R"("a")"}, {"1"}},
      {R"({"type": "array", "items": {"type": "integer"}})", {"[]", "[1]", "[1,2]", "[1, 2]", "[\n  1,\n  2\n]"}, {"[1,]", "[,1]", "[\"a\"]", "[1 2]", "[1,  2]", "[1\n\n]"}},
      {R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})", {"[1,2]", "[1,2,3]"}, {"[]", "[1]", "[1,2,3,4]"}},
      {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
      {R"({"type": "array", "minItems": 2, "maxItems": 1})", {}, {"[]", "[1]"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})", {"[]", "[1]", "[1,\"a\"]"}, {"[\"a\"]", "[1,\"a\",2]"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3})", {"[1]", "[1,true]", "[1,true,false]"}, {"[]", "[true]", "[1,true,false,true]", "[1,2]"}},
      {R"({"type": "array", "items": false})", {"[]"}, {"[1]"}},
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]})",
       {R"({"b":""})", R"({"a":1,"b":""})", R"({"a": 1, "b": "x"})"},
       {"{}", R"({"a":1})", R"({"b":"","a":1})", R"({"b":"","c":1})", R"({"a":1,"a":1,"b":""})", R"({"a":1 ,"b":""})"}},
      {R"({"type": "object", "properties": {"a": true, "b": true, "c": true}})", {"{}", R"({"b":[{}]})", R"({"a":1,"c":null})"}, {R"({"d":1})", R"({,"a":1})"}},
      {R"({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}})", {"{}", R"({"a":null})", R"({"a":null,"x":1,"y":2})", R"({"ab":1})", R"({"":1})"}, {R"({"a":1})", R"({"x":null})", R"({"x":1,"a":null})", R"({"\u0061":1})"}},
      {R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type": "object"})", {"{}", R"({"a":{"b":[1,"c"]}})"}, {"[]"}},
      {R"({"type": "object", "required": ["k"]})", {R"({"k":1})", R"({"k":[],"z":0})"}, {"{}", R"({"z":0})"}},
      {R"({"type": "object", "properties": {"a": false, "b": true}})", {R"({"b":1})", "{}"}, {R"({"a":1})"}},
      {R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})", {"1", R"("a")"}, {"null", R"("ab")"}},
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})", {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"}, {"{}"}},
      {R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}, "v": {"type": "integer"}}, "required": ["kind", "v"]}, {"type": "object", "properties": {"kind": {"const": "y"}}, "required": ["kind"]}]})",
       {R"({"kind":"x","v":1})", R"({"kind":"y"})"},
       {R"({"kind":"x"})", R"({"kind":"z"})"}},
      {R"({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 10}]})", {"3", "10"}, {"5"}},
      {R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}, "a": {"minimum": 5}}}]})", {R"({"a":5})", R"({"a":7,"b":""})"}, {R"({"a":4})", R"({"b":""})"}},
      {R"({"allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"properties": {"b": {}}}], "type": "object"})", {"{}", R"({"a":1})"}, {R"({"b":1})", R"({"a":1,"b":1})"}},
      {R"({"allOf": [{"prefixItems": [{"type": "integer"}], "items": {"type": "integer"}}, {"items": {"maximum": 3}}], "type": "array"})", {"[1,2]", "[]"}, {"[4]", "[1,4]"}},
      {R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}})", {"1"}, {"\"a\""}},
      {R"({"$defs": {"a/b": {"type": "integer"}, "c%d": {"$ref": "#/$defs/a~1b"}}, "type": "array", "items": {"$ref": "#/$defs/c%25d", "minimum": 2}})", {"[2]"}, {"[1]"}},
      {R"({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]})", {R"({"v":1})", R"({"v":1,"next":{"v":2,"next":{"v":3}}})"}, {R"({"v":1,"next":{}})"}},
      {R"({"$defs": {"tree": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}, "$ref": "#/$defs/tree"})", {"[]", "[[],[null,[[]]]]"}, {"null", "[1]"}},
      {"true", {"1", "[[]]", R"({"a":{}})", "null"}, {"", "nul"}},
      {R"({"title": "T", "description": "d", "default": 1, "examples": [2], "type": "integer", "$comment": "c", "deprecated": true})", {"5"}, {"\"\""}},
      {R"({"type": "object", "properties": {"q\"\\": {"type": "null"}}, "required": ["q\"\\"]})", {R"({"q\"\\":null})"}, {"{}"}},
      {R"({"type": ["integer", "number"]})", {"1", "1.5"}, {"null"}},
      {R"({"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]})", {"1"}, {"1.5", "null", "\"\""}},
      {R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"not_a_rule": 1}]})", {}, {}},
      {R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]})", {"2", "3"}, {"1", "4"}},
  };
  return kCases;
}

TEST_CASE("what may be written is what the schema allows, in its canonical order") {
  for (const auto& item : cases()) {
    if (item.written.empty()) continue;
    INFO(item.schema);
    const Grammar grammar = grammar_of_schema(item.schema);
    for (const char* text : item.written) CHECK_MESSAGE(matches(grammar, text), text);
    for (const char* text : item.not_written) CHECK_MESSAGE(!matches(grammar, text), text);
  }
}

std::string refusal(std::string_view schema) {
  try {
    grammar_of_schema(schema);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    return error.what();
  }
  return "accepted";
}

TEST_CASE("what is not supported is refused by keyword and path, never ignored") {
  const std::vector<std::pair<const char*, const char*>> refused = {
      {R"({"not": {"type": "string"}})", "schema /not: the keyword \"not\" is not supported"},
      {R"({"type": "object", "properties": {"a": {"items": {"if": true}}}})", "/properties/a/items/if: the keyword \"if\""},
      {R"({"type": "object", "patternProperties": {}})", "\"patternProperties\" is not supported"},
      {R"({"type": "object", "propertyNames": {}})", "\"propertyNames\""},
      {R"({"type": "object", "dependentRequired": {}})", "\"dependentRequired\""},
      {R"({"type": "array", "contains": {}})", "\"contains\""},
      {R"({"type": "array", "uniqueItems": true})", "/uniqueItems: found true; accepted: false"},
      {R"({"type": "number", "multipleOf": 2})", "\"multipleOf\""},
      {R"({"type": "object", "unevaluatedProperties": false})", "\"unevaluatedProperties\""},
      {R"({"type": "text"})", "/type: found \"text\"; accepted: null, boolean"},
      {R"({"type": "string", "format": "regex"})", "/format: found \"regex\"; accepted: date, time"},
      {R"x({"type": "string", "pattern": "(?=a)"})x", "look-around"},
      {R"x({"type": "string", "pattern": "(a"})x", "a group does not end"},
      {R"x({"type": "string", "pattern": "\\1"})x", "this escape is not supported"},
      {R"({"type": "string", "minLength": -1})", "/minLength: found -1; accepted: a whole number"},
      {R"({"type": "integer", "minimum": "3"})", "/minimum: found \"3\"; accepted: a number"},
      {R"({"type": "array", "items": [{}]})", "/items: found [{}]; accepted: a schema; a list of schemas is prefixItems"},
      {R"({"$ref": "#/$defs/none"})", "/$ref: \"#/$defs/none\" leads nowhere"},
      {R"({"$ref": "other.json"})", "/$ref: found \"other.json\""},
      {R"({"properties": 3})", "/properties: found 3"},
      {R"({"anyOf": []})", "/anyOf: found []"},
      {R"({"oneOf": [{"type": "integer"}, {"minimum": 3}]})", "/oneOf: alternatives 0 and 1 may both hold"},
      {R"({"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]})", "may both hold"},
      {R"({"type": "object", "minProperties": 1})", "minProperties 1"},
      {R"({"type": "object", "maxProperties": 1})", "maxProperties 1"},
      {R"({"type": "array", "items": {"$id": "x"}})", "$id at the top"},
      {R"([1])", "found [1]; accepted: a schema"},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", "no finite text can satisfy"},
      {"false", "no finite text can satisfy"},
      {R"({"type": "object", "properties": {"a": false}, "required": ["a"]})", "no finite text can satisfy"},
  };
  for (const auto& [schema, message] : refused) {
    INFO(schema);
    const std::string found = refusal(schema);
    CHECK_MESSAGE(found.find(message) != std::string::npos, found);
  }
}

TEST_CASE("schemas without end are refused, and so are those that lead to themselves") {
  CHECK(refusal(R"({"$ref": "#"})").find("refers to itself") != std::string::npos);
  CHECK(refusal(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})").find("refers to itself") != std::string::npos);
  CHECK(refusal(R"({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})").find("refers to itself") != std::string::npos);
  CHECK(refusal(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})").find("no finite text") != std::string::npos);
  CHECK(refusal(R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})").find("no finite text") != std::string::npos);
}

TEST_CASE("an error names long references, keywords, names and paths by a part of them") {
  const std::string text(100'000, 'n');
  CHECK(refusal(R"({"$ref": "#/)" + text + "\"}").size() < 400);
  CHECK(refusal(R"({"$ref": ")" + text + "\"}").size() < 400);
  CHECK(refusal("{\"" + text + "\": 1}").size() < 500);
  CHECK(refusal(R"({"properties": {")" + text + R"(": {"type": ")" + text + "\"}}}").size() < 600);
}

/// Compiles, and says how much of the processor's time that took.
double seconds_of(const std::string& schema, std::string& answer) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  answer = refusal(schema);
  return now() - begin;
}

/// made(0), made(1), … with commas.
template <typename Make>
std::string listed(int count, const Make& made) {
  std::string out;
  for (int i = 0; i < count; ++i) out += (i > 0 ? "," : "") + made(i);
  return out;
}

std::string times(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST_CASE("schemas made to be expensive are compiled or refused, soon") {
  const auto repeated = [](std::string_view before, std::string_view inner, std::string_view after, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += before;
    out += inner;
    for (int i = 0; i < times; ++i) out += after;
    return out;
  };
  std::string chain = R"({"$ref": "#/$defs/d0", "$defs": {)", list = chain, words = R"({"enum": [)", options = R"({"type": "object", "properties": {)", choices = R"({"allOf": [)";
  for (int i = 0; i < 5000; ++i) chain += "\"d" + std::to_string(i) + R"(": {"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}, ";
  for (int i = 0; i < 5000; ++i) list += "\"d" + std::to_string(i) + R"(": {"type": "array", "items": {"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}}, ";
  for (int i = 0; i < 50'000; ++i) words += (i > 0 ? ", \"word" : "\"word") + std::to_string(i * 7919 % 100'003) + "\"";
  for (int i = 0; i < 2000; ++i) options += (i > 0 ? ", \"p" : "\"p") + std::to_string(i) + "\": {}";
  for (int i = 0; i < 40; ++i) choices += (i > 0 ? ", " : "") + std::string(R"({"anyOf": [{"minimum": )") + std::to_string(i) + R"(}, {"maxLength": )" + std::to_string(i) + "}]}";
  const std::vector<std::pair<std::string, std::string>> bombs = {
      {chain + R"("d5000": {}}})", "nested more than"},
      {list + R"("d5000": {}}})", "accepted"},
      {words + "]}", "accepted"},
      {options + "}}", "accepted"},
      {choices + "]}", "combine"},
      {repeated("{\"items\": ", "{}", "}", 90), "accepted"},
      {R"x({"type": "string", "pattern": "(a+)+b"})x", "accepted"},
      {R"({"type": "string", "pattern": "^(a|a)*(a|a)*(a|a)*b$", "maxLength": 500})", "accepted"},
      {R"({"type": "string", "pattern": "a{1,1000000000}"})", "needs more than"},
      {R"({"type": "string", "pattern": "((a{1,100}){1,100}){1,100}"})", "needs more than"},
      {"{\"type\": \"string\", \"pattern\": \"^" + repeated("(", "a", ")?", 2000) + "$\"}", "nested too deeply"},
      {R"({"type": "string", "pattern": "^(a?){3000}$"})", "too many ways"},
      {R"({"type": "string", "maxLength": 1000000000})", "counting to 1000000000"},
      {R"({"type": "array", "minItems": 1000000000000000000})", "counting to"},
      {R"({"type": "string", "maxLength": 100000})", "accepted"},
  };
  for (const auto& [schema, expected] : bombs) {
    INFO(schema.substr(0, 100));
    std::string answer;
    const double seconds = seconds_of(schema, answer);
    CHECK_MESSAGE(answer.find(expected) != std::string::npos, answer);
    CHECK_MESSAGE(seconds < 1.0, seconds);
  }
}

struct Attack {
  std::string name, schema, expected;
};

std::vector<Attack> attacks() {
  const auto number = [](int i) { return std::to_string(i); };
  const auto named = [&](int i) { return "\"p" + std::to_string(i) + "\":{}"; };
  std::vector<Attack> out;
  // What an enum's value is allowed by, again and again.
  for (const int depth : {14, 18, 60}) {
    out.push_back({"nested value " + number(depth),
                   R"({"$defs":{"d":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/d"}},{"type":"array","items":{"$ref":"#/$defs/d"}}]}},"allOf":[{"$ref":"#/$defs/d"}],"enum":[)" + times("[", depth) + "1" + times("]", depth) + ",[]]}",
                   "accepted"});
  }
  // Alternatives that are told apart only deep inside.
  const auto chains = [&](int alternatives) {
    std::string defs;
    for (const char side : {'a', 'b'}) {
      for (int level = 0; level < 4; ++level) {
        defs += std::string("\"") + side + number(level) + R"(":{"anyOf":[)" +
                listed(alternatives, [&](int i) { return R"({"type":"object","required":["n"],"properties":{"n":{"$ref":"#/$defs/)" + (std::string(1, side) + number(level + 1)) + R"("},"k":{"const":)" + number(i) + "}}}"; }) + "]},";
      }
    }
    return R"({"$defs":{)" + defs + R"("a4":{"const":1},"b4":{"const":2}},"oneOf":[{"$ref":"#/$defs/a0"},{"$ref":"#/$defs/b0"}]})";
  };
  out.push_back({"exclusion 6", chains(6), "accepted"});
  out.push_back({"exclusion 20", chains(20), "accepted"});
  out.push_back({"exclusion 300", chains(300), ""});
  out.push_back({"an oneOf inside itself", R"({"oneOf":[{"type":"object","required":["n"],"properties":{"n":{"$ref":"#"},"a":{}}},{"type":"object","required":["n"],"properties":{"n":{"$ref":"#"},"b":{}}},{"type":"null"}]})", "may both hold"});
  out.push_back({"constants that exclude each other", R"({"oneOf":[{"enum":[)" + listed(40'000, number) + R"(]},{"enum":[)" + listed(40'000, [&](int i) { return number(i + 40'000); }) + "]}]}", ""});
  out.push_back({"enums that intersect", R"({"allOf":[{"enum":[)" + listed(40'000, number) + R"(]},{"enum":[)" + listed(40'000, [&](int i) { return number(i + 20'000); }) + "]}]}", "accepted"});
  // Patterns.
  const auto pattern = [](const std::string& text) { return R"({"type":"string","pattern":")" + text + "\"}"; };
  out.push_back({"empty alternatives", pattern("(?:" + times("|", 8000) + "){19000}"), "too complex"});
  std::string scattered;
  for (int i = 0; i < 10'000; ++i) scattered += "\\\\u" + [&] { char hex[8]; std::snprintf(hex, sizeof hex, "%04x", 0x100 + 3 * i); return std::string(hex); }();
  out.push_back({"a large class repeated", pattern("[" + scattered + "]{1,1000000000}"), "too complex"});
  out.push_back({"a large class", pattern("^[" + scattered + "]{1,3}$"), "accepted"});
  out.push_back({"large sets in a class", pattern("[" + times("\\\\W", 300'000) + "]"), "accepted"});
  out.push_back({"many groups", pattern(times("(?:|)", 180'000)), ""});
  out.push_back({"many states", pattern("^(?:.?){6000}$"), "too many ways"});
  out.push_back({"a chain of states", pattern("^" + times("[^a-c]", 9'000) + "$"), "more than"});
  out.push_back({"many patterns", R"({"type":"object","properties":{)" + listed(3000, [&](int i) { return "\"p" + number(i) + R"(":{"type":"string","pattern":"^(a|b){0,)" + number(1000 + i) + "}c$\"}"; }) + "}}", "too complex"});
  out.push_back({"patterns that intersect", R"({"type":"string","allOf":[)" + listed(12, [&](int i) { return R"({"pattern":"a.{)" + number(i + 2) + "}b\"}"; }) + "]}", ""});
  out.push_back({"a pattern for each value", R"({"type":"string","pattern":"^(a|b|c|d){1,500}$","enum":[)" + listed(300, [&](int i) { return "\"" + times("abcd", 1 + i % 50) + number(i) + "\""; }) + R"(,"abc"]})", "accepted"});
  out.push_back({"a long value", R"({"type":"string","pattern":"(a|b)*(a|b){3000}c","const":")" + times("ab", 300'000) + "\"}", ""});
  // Properties.
  out.push_back({"properties beside alternatives", R"({"type":"object","properties":{)" + listed(20'000, named) + R"(},"anyOf":[)" + listed(300, [](int) { return std::string("{}"); }) + "]}", "too complex"});
  out.push_back({"many properties", R"({"type":"object","properties":{)" + listed(66'000, named) + "}}", "more than"});
  out.push_back({"many required", R"({"type":"object","properties":{)" + listed(40'000, named) + R"(},"required":[)" + listed(40'000, [&](int i) { return "\"p" + number(i) + "\""; }) + "]}", "more than"});
  out.push_back({"many closings", R"({"type":"object","properties":{)" + listed(8'000, named) + R"(},"allOf":[)" + listed(8'000, [&](int i) { return R"({"additionalProperties":{"title":")" + number(i) + "\"}}"; }) + "]}", "too complex"});
  out.push_back({"many prefixes", R"({"type":"array","prefixItems":[)" + listed(40'000, [](int) { return std::string("1"); }) + R"(],"allOf":[)" + listed(20'000, [](int) { return std::string(R"({"items":{}})"); }) + "]}", "too complex"});
  out.push_back({"names that others may not have", R"({"type":"object","additionalProperties":true,"allOf":[{"properties":{)" + listed(20'000, [&](int i) { return "\"" + number(i * 7919 % 100'003) + "xyzabcdefghijklmnop\":true"; }) + "}}]}", ""});
  // References, paths and numbers.
  out.push_back({"references", R"({"$ref":"#/$defs/d0","$defs":{)" + listed(17'000, [&](int i) { return "\"d" + number(i) + R"(":{"type":"array","items":{"$ref":"#/$defs/d)" + number(i + 1) + "\"}}"; }) + R"(,"d17000":{}}})", "more than"});
  out.push_back({"long names", R"({"properties":{")" + times("n", 400'000) + R"(":{"properties":{)" + listed(15'000, named) + "}}}}", ""});
  out.push_back({"bounds", R"({"type":"object","properties":{)" + listed(18'000, [&](int i) { return "\"p" + number(i) + R"(":{"type":"number","minimum":)" + number(i) + ".125}"; }) + "}}", "more than"});
  out.push_back({"text without end", R"({"enum":[)" + listed(90, [&](int i) { return "\"" + number(i) + times("x", 10'000) + "\""; }) + "]}", "more than"});
  return out;
}

TEST_CASE("attacks on the compiler end within its budget, refused or compiled") {
  for (const auto& attack : attacks()) {
    INFO(attack.name);
    std::string answer;
    double seconds = seconds_of(attack.schema, answer);
    if (seconds >= 0.7) seconds = std::min(seconds, seconds_of(attack.schema, answer));  // something else may have been in the way
    CHECK_MESSAGE(answer.find(attack.expected) != std::string::npos, answer);
    CHECK(answer.size() < 600);
    CHECK_MESSAGE(seconds < 1.0, seconds);
    if (std::getenv("GAUNTLET_SHOW_TIMES") != nullptr) MESSAGE(attack.name << ": " << seconds << " s, " << answer.substr(0, 150));
  }
}

TEST_CASE("many tools share one budget and the rules that they have in common") {
  ReplyGrammar tools{.kind = ReplyGrammar::Kind::Choice};
  for (int i = 0; i < 300; ++i) {
    ReplyGrammar tool = ReplyGrammar::json(Json{{"type", "string"}, {"pattern", "^(a|b|c){1," + std::to_string(1000 + i) + "}$"}}, "tool");
    tool.without = {"<｜end▁of▁sentence｜>"};
    tools.parts.push_back(std::move(tool));
  }
  CHECK_THROWS_WITH_AS(grammar_of(tools), doctest::Contains("more than"), Error);
}

TEST_CASE("nesting ends where readers would give up, and what was begun can be finished") {
  const GrammarLimits limits{.nesting = 3};
  const Grammar grammar = grammar_of_schema(R"({"type": "array", "items": {"$ref": "#"}})", limits);
  CHECK(matches(grammar, "[[[]]]", limits));
  CHECK_FALSE(matches(grammar, "[[[[]]]]", limits));
  const char* list = R"({"type": "object", "properties": {"n": {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 1}, {"type": "null"}]}}, "required": ["n"]})";
  const Grammar linked = grammar_of_schema(list, limits);
  CHECK(matches(linked, R"({"n":[{"n":null}]})", limits));
  CHECK_FALSE(matches(linked, R"({"n":[{"n":[{"n":null}]}]})", limits));
  StateSets sets(linked, limits);
  // At the limit only null is left.
  CHECK(sets.read(sets.start(), R"({"n":[{"n":[)") == StateSets::kDead);
  CHECK_THROWS_WITH_AS(grammar_of_schema(R"({"const": [[[[1]]]]})", limits), "what the grammar asks for is nested 4 levels deep; accepted: 3", Error);
}

TEST_CASE("an ambiguous grammar costs no exponential work") {
  const char* schema = R"({"$defs": {"v": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/v"}}, {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/v"}, {"type": "null"}]}}]}}, "$ref": "#/$defs/v"})";
  const Grammar grammar = grammar_of_schema(schema);
  const std::string text = std::string(60, '[') + std::string(60, ']');
  CHECK(matches(grammar, text));
  CHECK_FALSE(matches(grammar, std::string(60, '[') + "1" + std::string(60, ']')));
}

}  // namespace
}  // namespace gauntlet

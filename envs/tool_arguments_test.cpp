#include "envs/tool_arguments.h"

#include <doctest/doctest.h>

#include "envs/json_text.h"

namespace gauntlet {

namespace {

ToolDefinition tool() {
  using Type = ToolParameter::Type;
  ToolDefinition definition;
  definition.parameters = {{.name = "city", .type = Type::String, .required = true},
                           {.name = "date", .type = Type::String, .is_date = true},
                           {.name = "nights", .type = Type::Integer, .minimum = 1, .maximum = 14},
                           {.name = "rate", .type = Type::Number, .minimum = 0},
                           {.name = "breakfast", .type = Type::Boolean},
                           {.name = "keywords", .type = Type::Strings, .min_items = 1}};
  return definition;
}

std::string problem(std::string_view arguments) {
  ToolArgumentParser parser;
  const auto found = parser.parse(tool(), arguments);
  return found ? std::string(found->code) + ": " + found->message : "";
}

}  // namespace

TEST_CASE("arguments of every type are read") {
  ToolArgumentParser parser;
  const ToolDefinition definition = tool();
  REQUIRE_FALSE(parser.parse(
      definition,
      R"({"nights": 3, "city": "Xi'an", "date": "2025-10-01", "rate": 4.5, "breakfast": true, "keywords": ["a", "b"]})"));
  const auto& values = parser.values();
  CHECK(values[0].text == "Xi'an");
  CHECK(values[2].integer == 3);
  CHECK(values[3].number == 4.5);
  CHECK(values[4].integer == 1);
  CHECK(values[5].items == std::vector<std::string_view>{"a", "b"});
  REQUIRE_FALSE(parser.parse(definition, R"({"city": "x"})"));
  CHECK_FALSE(parser.values()[2].given);
  CHECK(parser.values()[5].items.empty());
}

TEST_CASE("slips that mean one thing only are understood") {
  CHECK(problem(R"({"city": "x", "keywords": "price"})") == "");
  CHECK(problem(R"({"city": "x", "nights": 3.0})") == "");
  CHECK(problem(R"({"city": "x", "rate": 4})") == "");
  ToolArgumentParser parser;
  CHECK_FALSE(parser.parse(ToolDefinition{}, ""));
  CHECK_FALSE(parser.parse(ToolDefinition{}, " \n"));
}

TEST_CASE("what is wrong is said precisely") {
  CHECK(problem("{}") == "invalid_arguments: argument \"city\" is missing");
  CHECK(problem(R"({"city": 5})") == "invalid_arguments: argument \"city\": expected a string, found a number");
  CHECK(problem(R"({"city": null})") == "invalid_arguments: argument \"city\": expected a string, found null");
  CHECK(problem(R"({"city": "x", "town": "y"})") ==
        "invalid_arguments: unknown argument \"town\"; accepted: city, date, nights, rate, breakfast, keywords");
  CHECK(problem(R"({"city": "x", "city": "y"})") == "invalid_arguments: argument \"city\" appears twice");
  CHECK(problem(R"({"city": "x", "date": "tomorrow"})") ==
        "invalid_arguments: argument \"date\": expected a date YYYY-MM-DD, found \"tomorrow\"");
  CHECK(problem(R"({"city": "x", "nights": 15})") == "invalid_arguments: argument \"nights\": found 15, expected 1 to 14");
  CHECK(problem(R"({"city": "x", "nights": 1.5})") == "invalid_arguments: argument \"nights\": expected an integer, found 1.5");
  CHECK(problem(R"({"city": "x", "nights": "3"})") ==
        "invalid_arguments: argument \"nights\": expected an integer, found a string");
  CHECK(problem(R"({"city": "x", "rate": -1})") == "invalid_arguments: argument \"rate\": found -1, expected at least 0");
  CHECK(problem(R"({"city": "x", "breakfast": "yes"})") ==
        "invalid_arguments: argument \"breakfast\": expected true or false, found a string");
  CHECK(problem(R"({"city": "x", "keywords": [1]})") ==
        "invalid_arguments: argument \"keywords\": expected an array of strings, found a number in it");
  CHECK(problem(R"({"city": "x", "keywords": []})") ==
        "invalid_arguments: argument \"keywords\": expected at least 1 items, found 0");
}

TEST_CASE("text that is no JSON object is malformed") {
  for (const std::string text : {"{", "[]", "\"x\"", "null", "{'city': 'x'}", "{\"city\": \"x\"} trailing",
                                 "{\"city\": \"\xff\"}", "{\"city\": \"\\ud800\"}", "{\"city\": 1e999}", "\xef\xbb\xbf"}) {
    CAPTURE(text);
    CHECK(problem(text).rfind("malformed_arguments: ", 0) == 0);
  }
  CHECK(problem(std::string(5'000, '[')).rfind("malformed_arguments: ", 0) == 0);
  CHECK(problem("{\"city\": \"" + std::string(300'000, 'x') + "\"}") ==
        "malformed_arguments: the arguments are longer than 64000 bytes");
}

TEST_CASE("messages show the arguments once, clipped, and leave other braces alone") {
  ToolArgumentParser parser;
  const ToolDefinition definition = tool();
  REQUIRE_FALSE(parser.parse(definition, R"({"city": "{nights}", "nights": 2})"));
  CHECK(fill_message("no {city} for {nights} {x} {", definition, parser.values()) == "no {nights} for 2 {x} {");
  REQUIRE_FALSE(parser.parse(definition, "{\"city\": \"" + std::string(1'000, 'x') + "\"}"));
  CHECK(fill_message("{city}", definition, parser.values()).size() == 200);
}

TEST_CASE("JSON text: strings are escaped, numbers are short and have a point") {
  const auto string = [](std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
  };
  const auto number = [](double value) {
    std::string out;
    append_json_number(out, value);
    return out;
  };
  CHECK(string("a\"\\\n\t\x01") == "\"a\\\"\\\\\\n\\t\\u0001\"");
  CHECK(string("杭州") == "\"杭州\"");
  CHECK(string("\xff") == "\"\xEF\xBF\xBD\"");
  CHECK(number(4.3) == "4.3");
  CHECK(number(4) == "4.0");
  CHECK(number(4.3 + 4.4) == "8.7");
  CHECK(number(-0.25) == "-0.25");
  CHECK(number(-1e-9) == "0.0");
  CHECK(number(3e9) == "3000000000.0");
  CHECK(number(1e300) == "1e+300");
  CHECK(number(1.0 / 0.0) == "null");
  CHECK(clip_text("杭州", 4) == "杭");
}

}  // namespace gauntlet

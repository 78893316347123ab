#include "agent/python_json.h"

#include <doctest/doctest.h>

namespace gauntlet {
namespace {

std::string again(std::string_view text) {
  const PythonJsonReading reading = read_python_json(text);
  return reading.value ? dump_python_json(*reading.value) : "refused: " + reading.problem;
}

}  // namespace

TEST_CASE("floats are printed as Python prints them") {
  CHECK(python_float(0.1) == "0.1");
  CHECK(python_float(1.10) == "1.1");
  CHECK(python_float(1e15) == "1000000000000000.0");
  CHECK(python_float(1e16) == "1e+16");
  CHECK(python_float(1.5e16) == "1.5e+16");
  CHECK(python_float(0.0001) == "0.0001");
  CHECK(python_float(0.00012) == "0.00012");
  CHECK(python_float(1e-5) == "1e-05");
  CHECK(python_float(1e100) == "1e+100");
  CHECK(python_float(-0.0) == "-0.0");
  CHECK(python_float(123456.789) == "123456.789");
  CHECK(python_float(5e-324) == "5e-324");
  CHECK(python_float(9007199254740993.0) == "9007199254740992.0");
}

TEST_CASE("documents are written as json.dumps writes them") {
  CHECK(again("[1,2 , {\"a\":null,\"b\":[ ]},true]") == "[1, 2, {\"a\": null, \"b\": []}, true]");
  CHECK(again("-0") == "0");
  CHECK(again("-123456789012345678901234567890") == "-123456789012345678901234567890");
  CHECK(again("1e5") == "100000.0");
  CHECK(again("1e999") == "Infinity");
  CHECK(again("[NaN, -Infinity]") == "[NaN, -Infinity]");
  CHECK(again("{\"a\": 1, \"b\": 2, \"a\": 3}") == "{\"a\": 3, \"b\": 2}");
  CHECK(again("\"\\u4e2d\\/\\ud83d\\ude42\\u0001\\u007f\\u2028\"") == "\"中/🙂\\u0001\x7f\u2028\"");
}

TEST_CASE("what is no JSON is refused, with its place") {
  CHECK(again("{\"a\": ") == "refused: byte 6: a value was expected");
  CHECK(again("[1,]") == "refused: byte 3: a value was expected");
  CHECK(again("[01]") == "refused: byte 2: \",\" or \"]\" was expected");
  CHECK(again("\"\n\"") == "refused: byte 1: control character in a string");
  CHECK(again("\"\\ud800x\"") == "refused: byte 7: a lone surrogate cannot be written as UTF-8");
  CHECK(again("1 2") == "refused: byte 2: text after the end of the document");
  CHECK(again("\xff") == "refused: the text is not valid UTF-8");
  CHECK(again("\"\\") == "refused: byte 3: unknown escape");
  CHECK(again("1.") == "refused: byte 1: text after the end of the document");
  CHECK(again(std::string(100'000, '[')) == "refused: byte 501: nesting is deeper than 500");
  CHECK_FALSE(read_python_json("NaN", JsonDialect::Strict).value.has_value());
}

}  // namespace gauntlet

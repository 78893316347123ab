#include "core/json.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <ctime>

#include "core/error.h"

using gauntlet::Json;

namespace {

std::string error_of(std::string_view text) {
  try {
    gauntlet::parse_json(text, "the test");
  } catch (const gauntlet::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("JSON keeps key order and canonical JSON sorts it") {
  const Json value = gauntlet::parse_json(R"({"b":1,"a":{"d":[1,2.5,null],"c":"x"}})", "the test");
  CHECK(gauntlet::dump_json(value) == R"({"b":1,"a":{"d":[1,2.5,null],"c":"x"}})");
  CHECK(gauntlet::canonical_json(value) == R"({"a":{"c":"x","d":[1,2.5,null]},"b":1})");
}

TEST_CASE("a duplicate key, trailing text and too deep nesting are refused with the source named") {
  CHECK(error_of(R"({"a":1,"a":2})") == "could not read the test as JSON: the key \"a\" appears twice in one object");
  CHECK(error_of("{} x").find("could not read the test as JSON: byte") == 0);
  CHECK(error_of(std::string_view("{}\0 x", 5)) == "could not read the test as JSON: byte 3: found a NUL character");
  CHECK(error_of(std::string(100'000, '[')) == "could not read the test as JSON: nesting is deeper than 200");
  CHECK(error_of(std::string(200, '[') + std::string(200, ']')).empty());
}

TEST_CASE("a folder given as a file is told as a folder") {
  CHECK_THROWS_WITH_AS(gauntlet::read_text_file("/tmp"), "could not read /tmp: it is a folder; accepted: a file", gauntlet::Error);
  CHECK_THROWS_WITH_AS(gauntlet::read_json_file("/tmp"), "could not read /tmp: it is a folder; accepted: a file", gauntlet::Error);
}

TEST_CASE("reading takes time in proportion to the text, however many keys one object has") {
  constexpr int kKeys = 300'000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":{\"a\":[" + std::to_string(i) + "]}";
  text += "}";
  const std::clock_t start = std::clock();
  const Json value = gauntlet::parse_json(text, "the test");
  // Quadratic insertion needs minutes of processor time.
  CHECK(std::clock() - start < 20 * CLOCKS_PER_SEC);
  REQUIRE(value.size() == kKeys);
  CHECK(gauntlet::dump_json(value) == text);
}

TEST_CASE("invalid UTF-8 is replaced, valid text of every length is kept") {
  CHECK(gauntlet::valid_utf8("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80") == "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80");
  CHECK(gauntlet::valid_utf8("x\xFFy\xC3") == "x\xEF\xBF\xBDy\xEF\xBF\xBD");
  CHECK(gauntlet::valid_utf8("\xED\xA0\x80").find("\xED") == std::string::npos);
  CHECK(gauntlet::dump_json(Json("\xFF")) == "\"\xEF\xBF\xBD\"");
}

TEST_CASE("member access names the path, what was found and what is accepted") {
  const Json value = gauntlet::parse_json(R"({"count":"three","name":"x"})", "the test");
  CHECK_THROWS_WITH_AS(gauntlet::get_integer(value, "count", "/entities/2"),
                       "/entities/2/count: expected an integer, found \"three\"", gauntlet::Error);
  CHECK_THROWS_WITH_AS(gauntlet::get_string(value, "title", "/e"), "/e: the member \"title\" is missing", gauntlet::Error);
  CHECK_THROWS_WITH_AS(gauntlet::refuse_unknown_members(value, {"counts", "name"}, "/e"),
                       "/e/count: unknown member (did you mean \"counts\"?); accepted: counts, name", gauntlet::Error);
}

TEST_CASE("the nearest word is suggested only when it is near") {
  CHECK(gauntlet::nearest_word("trip_planing", {"bookings", "trip_planning"}) == "trip_planning");
  CHECK(gauntlet::nearest_word("zzz", {"bookings", "trip_planning"}) == "");
}

TEST_CASE("JSON text is the library's, byte for byte, whatever the strings and numbers hold") {
  std::string every;
  for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
  Json value = Json::object();
  value["every byte"] = every;
  value["a \"quoted\" \\ key\n"] = "line\nline\ttab \x7F \"\\";
  value["\xC3\xA9"] = "\xE4\xB8\xAD plain";
  value["numbers"] = {0, -1, INT64_MIN, INT64_MAX, UINT64_MAX, 0.1, 4.0, -2.5e-7, 1e300};
  value["rest"] = {nullptr, true, false, Json::object(), Json::array(), {{"", ""}}};
  for (int c = 0; c < 256; ++c) value["bytes"].push_back(std::string("x") + static_cast<char>(c) + "y");
  const auto text = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
  CHECK(gauntlet::dump_json(value) == text(value));
  for (const auto& scalar : {Json(nullptr), Json(7), Json("\n"), Json(0.5), Json::array(), Json::object()}) {
    CHECK(gauntlet::dump_json(scalar) == text(scalar));
    CHECK(gauntlet::canonical_json(scalar) == text(scalar));
  }
}

TEST_CASE("a duplicate key is found among many") {
  std::string text = "{";
  for (int i = 0; i < 40; ++i) text += "\"key" + std::to_string(i) + "\":0,";
  CHECK(error_of(text + "\"key40\":0}").empty());
  for (const int i : {0, 15, 16, 17, 39}) {
    CHECK(error_of(text + "\"key" + std::to_string(i) + "\":0}").find("appears twice") != std::string::npos);
  }
}

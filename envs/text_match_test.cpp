#include "envs/text_match.h"

#include <doctest/doctest.h>

#include "core/rng.h"
#include "envs/sqlite_handle.h"

namespace gauntlet {

namespace {

/// What SQLite itself gives.
std::string original(sqlite3* db, const char* sql, const std::vector<std::string>& texts) {
  sqlite3_stmt* raw = nullptr;
  REQUIRE(sqlite3_prepare_v2(db, sql, -1, &raw, nullptr) == SQLITE_OK);
  const SqliteStatement statement(raw);
  for (std::size_t i = 0; i < texts.size(); ++i)
    sqlite3_bind_text(raw, static_cast<int>(i) + 1, texts[i].data(), static_cast<int>(texts[i].size()), SQLITE_STATIC);
  REQUIRE(sqlite3_step(raw) == SQLITE_ROW);
  return reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
}

std::string draw_text(Rng& rng, const std::vector<std::string>& pieces, std::uint64_t longest) {
  std::string text;
  for (std::uint64_t left = rng.below(longest + 1); left > 0; --left) text += rng.pick(pieces);
  return text;
}

}  // namespace

TEST_CASE("like, glob, instr and replace agree with SQLite's on 40,000 random texts") {
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(":memory:", &raw) == SQLITE_OK);
  const SqliteDb db(raw);
  const std::vector<std::string> letters = {"a", "b", "A", "é", "杭", "]", "-"};
  const std::vector<std::string> like = {"a", "b", "A", "é", "杭", "%", "%", "_", "!"};
  const std::vector<std::string> glob = {"a", "b", "é", "*", "*", "?", "[ab]", "[^a]", "[a-é]", "[]a]", "["};
  Rng rng(5);
  int matched = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = draw_text(rng, letters, 8);
    std::size_t work = 0;
    const std::string p = draw_text(rng, like, 6);
    const std::string g = draw_text(rng, glob, 5);
    CAPTURE(text);
    CAPTURE(p);
    CAPTURE(g);
    const bool hit = matches_pattern(p, text, PatternStyle::Like, "!", work);
    matched += hit ? 1 : 0;
    CHECK(original(raw, "SELECT ?2 LIKE ?1 ESCAPE '!'", {p, text}) == (hit ? "1" : "0"));
    CHECK(original(raw, "SELECT ?2 GLOB ?1", {g, text}) == (matches_pattern(g, text, PatternStyle::Glob, "", work) ? "1" : "0"));
    const std::string needle = draw_text(rng, letters, 2);
    const auto found = find_text(text, needle, 0, work);
    CHECK((original(raw, "SELECT instr(?1, ?2)", {text, needle}) != "0") == found.has_value());
    CHECK(original(raw, "SELECT replace(?1, ?2, ?3)", {text, needle, "xy"}) == *replace_text(text, needle, "xy", 1'000, work));
  }
  CHECK(matched > 1'000);
}

TEST_CASE("the work of a hard pattern is the product of the lengths, and is counted") {
  std::size_t work = 0;
  CHECK_FALSE(matches_pattern("%" + std::string(50, 'a') + "b", std::string(1'000, 'a'), PatternStyle::Like, "", work));
  CHECK(work > 200'000);
  CHECK(work < 400'000);
  work = 0;
  CHECK_FALSE(matches_pattern("%a%a%a%a%a%a%a%b", std::string(1'000, 'a'), PatternStyle::Like, "", work));
  CHECK(work < 20'000);
  work = 0;
  CHECK_FALSE(find_text(std::string(1'000, 'a'), std::string(500, 'a') + "b", 0, work).has_value());
  CHECK(work > 50'000);
}

TEST_CASE("a replacement that grows beyond the bound is given up") {
  std::size_t work = 0;
  CHECK_FALSE(replace_text(std::string(100, 'a'), "a", std::string(100, 'b'), 9'999, work).has_value());
  CHECK(replace_text(std::string(100, 'a'), "a", std::string(100, 'b'), 10'000, work)->size() == 10'000);
}

}  // namespace gauntlet

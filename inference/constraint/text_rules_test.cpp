#include "inference/constraint/text_rules.h"

#include <doctest/doctest.h>

#include "core/json.h"
#include "core/rng.h"
#include "inference/constraint/grammar_text.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

template <class Add>
Grammar grammar_with(Add add) {
  GrammarBuilder builder(GrammarLimits{});
  const RuleId root = builder.add_rule();
  add(builder, builder.start(root), builder.end(root));
  return std::move(builder).finish(root);
}

/// Pieces that meet at the edges of UTF-8 and of the words.
std::string random_text(Rng& rng) {
  static const std::vector<std::string> kPieces = {"a", "<", "</", "</x>", "/x>", "｜", "\xEF\xBD", "\x9C", "é", "\xC3", "\xA9", "😀", "\xF0\x9F", "\x98\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\x80", "\n", "\x01", "\x7F", "\"", "\\", "\\n", "\\u00e9", "D", "x>"};
  std::string out;
  for (auto count = rng.below(6); count > 0; --count) out += rng.pick(kPieces);
  return out;
}

TEST_CASE("free text is UTF-8 without control characters and without the words, wherever they stand") {
  const std::vector<std::string> words = {"</x>", "｜D", "<a"};
  const Grammar grammar = grammar_with([&](GrammarBuilder& builder, StateId from, StateId to) { builder.call(from, free_text_rule(builder, words), to); });
  Rng rng(1);
  int good = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = random_text(rng);
    bool want = is_utf8(text) && text.find('\x01') == std::string::npos;
    for (const auto& word : words) want = want && text.find(word) == std::string::npos;
    CHECK_MESSAGE(matches(grammar, text) == want, dump_json(text));
    good += want;
  }
  CHECK(good > 500);
}

TEST_CASE("the content of a JSON string is what a JSON reader reads, without the words") {
  const std::vector<std::string> words = {"</x>", "｜D"};
  const Grammar grammar = grammar_with([&](GrammarBuilder& builder, StateId from, StateId to) { builder.call(from, json_content_rule(builder, words), to); });
  Rng rng(2);
  int good = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = random_text(rng), quoted = "\"" + text + "\"";
    bool want = nlohmann::json::accept(quoted);
    for (const auto& word : words) want = want && text.find(word) == std::string::npos;
    CHECK_MESSAGE(matches(grammar, text) == want, dump_json(text));
    good += want;
  }
  CHECK(good > 500);
  for (const char* pair : {"\\ud83d\\ude00", "\\uD83D\\uDE00", "\\ud7ff", "\\uE000"}) CHECK(matches(grammar, pair));
  for (const char* lone : {"\\ud83d", "\\ude00", "\\ud83dx", "\\ud83d\\u0041", "\\u12", "\\uD83D\\uD83D"}) CHECK_FALSE(matches(grammar, lone));
}

TEST_CASE("every character of a set is spelled by its UTF-8, and no other is") {
  Rng rng(3);
  for (int i = 0; i < 30; ++i) {
    std::vector<CharRange> ranges;
    for (int k = 0; k < 3; ++k) {
      const auto low = static_cast<char32_t>(rng.pick<std::uint64_t>({rng.below(0x90), rng.below(0x900), rng.below(0x11000), rng.below(0x110000)}));
      ranges.push_back({low, static_cast<char32_t>(std::min<std::uint64_t>(low + rng.below(0x5000), kLastCharacter))});
    }
    const CharSet set = make_char_set(ranges);
    const Grammar grammar = grammar_with([&](GrammarBuilder& builder, StateId from, StateId to) { builder.call(from, raw_char_rule(builder, set), to); });
    StateSets sets(grammar, GrammarLimits{});
    const auto holds = [&](char32_t c) {
      std::string text;
      if (c < 0x80) text = {static_cast<char>(c)};
      else if (c < 0x800) text = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
      else if (c < 0x10000) text = {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
      else text = {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
      const SetId end = sets.read(sets.start(), text);
      return end != StateSets::kDead && sets.accepts(end);
    };
    for (char32_t c = 0; c <= 0x3000; ++c) REQUIRE(holds(c) == contains(set, c));
    for (int k = 0; k < 2000; ++k) {
      const auto c = static_cast<char32_t>(rng.below(0x110000));
      REQUIRE(holds(c) == contains(set, c));
    }
  }
}

TEST_CASE("strings of a language are spelled plainly, with the shortest escapes where JSON needs some") {
  Budget budget{GrammarLimits{}};
  const CharLanguage all = strings_of(all_chars(), 0, 3, budget);
  const Grammar quoted = grammar_with([&](GrammarBuilder& builder, StateId from, StateId to) { spell(builder, from, all, Spelling::Quoted, to); });
  const Grammar raw = grammar_with([&](GrammarBuilder& builder, StateId from, StateId to) { spell(builder, from, all, Spelling::Raw, to); });
  for (const char* text : {"a\"b", "\\", "\n\t\r", "\b\f", "\x01", "é\x7F😀"}) {
    const std::string json = json_text(text);
    CHECK(json == Json(text).dump());
    CHECK(matches(quoted, json.substr(1, json.size() - 2)));
    CHECK(matches(raw, text));
  }
  CHECK_FALSE(matches(quoted, "\\u0061"));
  CHECK_FALSE(matches(quoted, "\\/"));
  CHECK_FALSE(matches(raw, "abcd"));
}

}  // namespace
}  // namespace gauntlet

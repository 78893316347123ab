#include "inference/text_matcher.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "core/error.h"
#include "inference/pattern_syntax.h"
#include "inference/pre_tokenizer.h"

namespace gauntlet {
namespace {

using Words = std::vector<std::string>;

Words split(const std::vector<SplitRule>& rules, std::string_view text) {
  const PreTokenizer pre_tokenizer(rules, "test");
  MatchBudget budget(text.size());
  std::vector<std::string_view> words;
  PreTokenizer::Splitter(pre_tokenizer, budget).split(text, words);
  return {words.begin(), words.end()};
}

Words split(std::string_view pattern, std::string_view text) { return split({{.pattern = to_pcre2_syntax(pattern, "test")}}, text); }

std::string refusal(std::string_view pattern) {
  try {
    TextMatcher matcher(to_pcre2_syntax(pattern, "test"), "test");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
  return "accepted";
}

TEST_CASE("GPT-2's pattern keeps contractions, leading spaces and trailing white space apart") {
  CHECK(split(kByteLevelPattern, "I'll pay  $12!\n ") == Words{"I", "'ll", " pay", " ", " $", "12", "!", "\n "});
  CHECK(split(kByteLevelPattern, "") == Words{});
  CHECK(split(kByteLevelPattern, "   x") == Words{"  ", " x"});
}

TEST_CASE("white space means Unicode's White_Space property") {
  CHECK(split("\\s", "a\u0085b\u00a0c\u3000d") == Words{"a", "\u0085", "b", "\u00a0", "c", "\u3000", "d"});
  CHECK(split("\\s", "a\u180eb\u200bc") == Words{"a\u180eb\u200bc"});
  CHECK(split("[^\\s]+", " \u180e\u00a0") == Words{" ", "\u180e", "\u00a0"});
  CHECK(split("\\S+", " \u180e ") == Words{" ", "\u180e", " "});
}

TEST_CASE("rules apply one after the other and may drop matches or gaps") {
  CHECK(split({{.pattern = "\\p{N}{1,3}"}, {.pattern = "b"}}, "ab12345b") == Words{"a", "b", "123", "45", "b"});
  CHECK(split({{.pattern = " ", .keep_matches = false}}, " a  b ") == Words{"a", "b"});
  CHECK(split({{.pattern = "[ab]", .keep_gaps = false}}, "a-b-c") == Words{"a", "b"});
  CHECK(split({{.pattern = literal_pattern("a.b*")}}, "a.b*axb") == Words{"a.b*", "axb"});
}

TEST_CASE("a match far away in a long text is found, and one that spans much of it") {
  const std::string far = std::string(5000, '-') + "\u65e5" + std::string(700, '-');
  CHECK(split("\\p{L}", far) == Words{std::string(5000, '-'), "\u65e5", std::string(700, '-')});
  std::string wide;
  for (int i = 0; i < 1000; ++i) wide += "\u65e5";
  CHECK(split("x", wide) == Words{wide});
  CHECK(split("\\p{L}+", "1" + wide + "1") == Words{"1", wide, "1"});
  const std::string spaces(3'000'000, ' ');
  CHECK(split("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces + "x") == Words{spaces.substr(1), " ", "x"});
}

TEST_CASE("constructs that the two syntaxes read differently are refused by name") {
  CHECK(refusal("\\w+").find("uses \\w (byte 0)") != std::string::npos);
  CHECK(refusal("a\\b").find("\\b") != std::string::npos);
  CHECK(refusal("\\h").find("\\h") != std::string::npos);
  CHECK(refusal("^a").find("the anchor ^") != std::string::npos);
  CHECK(refusal("\\p{Han}").find("\\p{Han}") != std::string::npos);
  CHECK(refusal("\\p{^L}").find("\\p{^L}") != std::string::npos);
  CHECK(refusal("[a&&b]").find("&&") != std::string::npos);
  CHECK(refusal("[a[b]]").find("[ inside [ ]") != std::string::npos);
  CHECK(refusal("[\\S]").find("\\S inside [ ]") != std::string::npos);
  CHECK(refusal("[]a]").find("begins with ]") != std::string::npos);
  CHECK(refusal("[a").find("without its ]") != std::string::npos);
  CHECK(refusal("(?<name>a)").find("the group (?<n") != std::string::npos);
  CHECK(refusal("(*LIMIT_MATCH=1)a").find("(*") != std::string::npos);
  CHECK(refusal("(?i)a").find("the group (?i)") != std::string::npos);
  CHECK(refusal("a{,3}").find("{ without a number") != std::string::npos);
  CHECK(refusal("a{1,2}+").find("}+") != std::string::npos);
  CHECK(refusal("a\\").find("a backslash at its end") != std::string::npos);
  CHECK(refusal("\\xFF").find("\\x80") != std::string::npos);
  CHECK(refusal(std::string(20'000, 'a')).find("16 KiB") != std::string::npos);
  CHECK(refusal("a*").find("can match the empty string") != std::string::npos);
  CHECK(refusal("(a").find("is wrong at byte") != std::string::npos);
  CHECK(refusal(std::string(100, '(') + "a" + std::string(100, ')')).find("is wrong at byte") != std::string::npos);
  CHECK(refusal("(?:a{1,60000}){1,60000}").find("is wrong at byte") != std::string::npos);
  CHECK(refusal("(?i:'s|'t)|\\u4e00|[\\x{41}-Z\\]\\-]?+ ?\\d{1,3}\\r*") == "accepted");
}

TEST_CASE("a pattern made to be slow is stopped") {
  for (const char* pattern : {"(?:a+)+[bc]", "(?:a|aa)+[bc]", "(?:\\p{L}+\\s?)+[!?]", "a*a*a*a*a*[bc]", "(?=a)[ab]*[!?]"}) {
    CAPTURE(pattern);
    const TextMatcher matcher(to_pcre2_syntax(pattern, "test"), "test");
    const std::string text(300'000, 'a');
    MatchBudget budget(1000);
    const auto begin = std::chrono::steady_clock::now();
    CHECK_THROWS_AS(TextMatcher::Search(matcher, budget).find(text, 0), Error);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(120));
  }
}

}  // namespace
}  // namespace gauntlet

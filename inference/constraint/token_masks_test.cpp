#include "inference/constraint/token_masks.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/json_schema.h"
#include "core/rng.h"
#include "inference/constraint/grammar_text.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

const std::shared_ptr<const Tokenizer>& tokenizer() {
  static const auto kTokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json"));
  return kTokenizer;
}

std::shared_ptr<const VocabularyTrie> trie() { return std::make_shared<const VocabularyTrie>(*tokenizer()); }
std::int32_t end_id() { return tokenizer()->find_id("<｜end▁of▁sentence｜>"); }

TokenMasks masks_of(std::string_view schema, const GrammarLimits& limits = {}) {
  const std::vector<std::int32_t> end = {end_id()};
  return {compile_json(parse_json(schema, "test"), end, {.markers = {}, .longest = 64}, "schema", limits), tokenizer(), trie(), limits};
}

std::vector<std::int32_t> allowed(const std::vector<std::uint64_t>& mask) {
  std::vector<std::int32_t> out;
  for (std::size_t id = 0; id < mask.size() * 64; ++id) {
    if (((mask[id / 64] >> (id % 64)) & 1U) != 0) out.push_back(static_cast<std::int32_t>(id));
  }
  return out;
}

const char* kPerson = R"({"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
  "tags": {"type": "array", "items": {"enum": ["a", "bc", "de f"]}, "maxItems": 90}, "more": {"type": "string", "pattern": "^[a-z ]{3,90}$"}}, "required": ["name", "tags"]})";

TEST_CASE("the tree holds every token once, below the bytes that it begins with") {
  const auto tree = trie();
  std::size_t ordinary = 0;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokenizer()->vocab_size()); ++id) ordinary += !tokenizer()->token_bytes(id).empty() && !tokenizer()->is_marker(id);
  CHECK(tree->tokens().size() == ordinary);
  std::vector<std::pair<std::uint32_t, std::string>> path = {{static_cast<std::uint32_t>(tree->nodes().size()), ""}};
  std::uint32_t before = 0;
  for (std::uint32_t at = 0; at < tree->nodes().size(); ++at) {
    while (path.back().first == at) path.pop_back();
    const auto& node = tree->nodes()[at];
    path.emplace_back(node.after, path.back().second + static_cast<char>(node.byte));
    for (; before < node.tokens_end; ++before) CHECK(tokenizer()->token_bytes(tree->tokens()[before]) == path.back().second);
  }
  CHECK(before == tree->tokens().size());
}

TEST_CASE("a mask allows exactly the tokens that can be accepted, and never leads to a dead end") {
  std::uint64_t work = 0;
  TokenMasks masks = masks_of(kPerson);
  Rng rng(3);
  for (int walk = 0; walk < 30; ++walk) {
    GrammarPlace place = masks.start();
    for (int step = 0; !masks.finished(place); ++step) {
      REQUIRE(step < 3000);
      const auto mask = masks.mask(place, work);
      const auto ids = allowed(*mask);
      REQUIRE_FALSE(ids.empty());
      if (step % 7 == 0) {
        std::vector<std::int32_t> accepted;
        for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokenizer()->vocab_size()); ++id) {
          GrammarPlace copy = place;
          if (masks.accept(copy, id, work)) accepted.push_back(id);
        }
        CHECK(ids == accepted);
      }
      CHECK(masks.accept(place, rng.pick(ids), work));
    }
  }
}

TEST_CASE("markers are allowed only where the grammar names them") {
  std::uint64_t work = 0;
  TokenMasks masks = masks_of(R"({"type": "string"})");
  GrammarPlace place = masks.start();
  for (const char c : std::string("\"ab")) {
    for (const auto id : allowed(*masks.mask(place, work))) CHECK_FALSE(tokenizer()->is_marker(id));
    CHECK(masks.accept(place, tokenizer()->find_id(std::string(1, c)), work));
  }
  CHECK_FALSE(masks.accept(place, tokenizer()->find_id("<think>"), work));
  CHECK_FALSE(masks.accept(place, end_id(), work));
  CHECK(masks.accept(place, tokenizer()->find_id("\""), work));
  CHECK(allowed(*masks.mask(place, work)) == std::vector<std::int32_t>{end_id()});
  CHECK_FALSE(masks.finished(place));
  CHECK(masks.accept(place, end_id(), work));
  CHECK(masks.finished(place));
}

TEST_CASE("masks far from the ends of a count are shared, and right near them") {
  std::uint64_t work = 0;
  TokenMasks masks = masks_of(R"({"type": "string", "minLength": 300, "maxLength": 900})");
  GrammarPlace place = masks.start();
  const auto a = tokenizer()->find_id("a"), quote = tokenizer()->find_id("\"");
  CHECK(masks.accept(place, quote, work));
  for (int count = 0; count <= 900; ++count) {
    const auto mask = masks.mask(place, work);
    const auto has = [&](std::int32_t id) { return (((*mask)[static_cast<std::size_t>(id) / 64] >> (static_cast<std::size_t>(id) % 64)) & 1U) != 0; };
    CHECK(has(quote) == (count >= 300));
    CHECK(has(a) == (count < 900));
    if (count < 900) CHECK(masks.accept(place, a, work));
  }
  CHECK(masks.stats().computed < 150);  // of 901 places
}

TEST_CASE("when there are too many sets of states a new generation begins, and places go on in it") {
  std::uint64_t work = 0;
  const GrammarLimits small{.sets = 40};
  TokenMasks few = masks_of(kPerson, small), many = masks_of(kPerson);
  Rng rng(4);
  std::vector<std::pair<GrammarPlace, GrammarPlace>> places;
  for (int i = 0; i < 5; ++i) places.emplace_back(few.start(), many.start());
  for (int step = 0; step < 400; ++step) {
    for (auto& [a, b] : places) {
      if (few.finished(a)) a = few.start(), b = many.start();
      const auto ids = allowed(*few.mask(a, work));
      REQUIRE(ids == allowed(*many.mask(b, work)));
      const auto id = rng.pick(ids);
      REQUIRE(few.accept(a, id, work));
      REQUIRE(many.accept(b, id, work));
    }
  }
  CHECK(few.stats().sets < many.stats().sets);
}

TEST_CASE("a mask that would take too much work is an error, not a wait") {
  std::uint64_t work = 0;
  std::string schema = R"({"type": "string", "pattern": "^(.*a.{9}|.*b.{8}|.*c.{7}|.*d.{6}|.*e.{5})$"})";
  TokenMasks masks = masks_of(schema, {.steps_per_token = 200});
  GrammarPlace place = masks.start();
  masks.accept(place, tokenizer()->find_id("\""), work);
  CHECK_THROWS_WITH_AS(masks.mask(place, work), "the grammar is too ambiguous: one token takes more than 200 steps", Error);
  TokenMasks enough = masks_of(schema);
  GrammarPlace other = enough.start();
  enough.accept(other, tokenizer()->find_id("\""), work);
  CHECK_NOTHROW(enough.mask(other, work));
}

TEST_CASE("the masks of one request have a limit together, and another request with the same grammar goes on") {
  TokenMasks masks = masks_of(kPerson, {.steps_per_request = 3000});
  const auto walk = [&](std::uint64_t& work) {
    Rng rng(5);
    GrammarPlace place = masks.start();
    for (int step = 0; step < 300 && !masks.finished(place); ++step) masks.accept(place, rng.pick(allowed(*masks.mask(place, work))), work);
  };
  std::uint64_t first = 0;
  CHECK_THROWS_WITH_AS(walk(first), "the grammar is too ambiguous: the request takes more than 3000 steps", Error);
  CHECK(first > 3000);
  CHECK_THROWS_AS(walk(first), Error);
  std::uint64_t second = 0;  // begins where the first ended: what was found is kept
  GrammarPlace place = masks.start();
  CHECK_NOTHROW(masks.mask(place, second));
  CHECK(second < 100);
}

TEST_CASE("a grammar too ambiguous for its limits says so when it is used") {
  std::uint64_t work = 0;
  TokenMasks masks = masks_of(R"({"anyOf": [{"type": "string", "pattern": "a"}, {"type": "string", "pattern": "b"}, {"type": "string", "pattern": "c"}, {"type": "string"}]})", {.parallel = 3});
  GrammarPlace place = masks.start();
  CHECK_THROWS_AS(
      [&] {
        masks.accept(place, tokenizer()->find_id("\""), work);
        masks.mask(place, work);
      }(),
      Error);
}

}  // namespace
}  // namespace gauntlet

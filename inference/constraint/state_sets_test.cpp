#include "inference/constraint/state_sets.h"

#include <doctest/doctest.h>

#include "core/rng.h"
#include "inference/constraint/grammar_text.h"

namespace gauntlet {
namespace {

/// S = "a" S "a" | "b" S "b" | "": every place may be the middle.
Grammar palindromes() {
  GrammarBuilder builder(GrammarLimits{});
  const RuleId root = builder.add_rule();
  builder.empty(builder.start(root), builder.end(root));
  for (const char* letter : {"a", "b"}) {
    const StateId open = builder.add_state(), close = builder.add_state();
    builder.literal(builder.start(root), letter, open);
    builder.call(open, root, close);
    builder.literal(close, letter, builder.end(root));
  }
  return std::move(builder).finish(root);
}

TEST_CASE("all readings of an ambiguous text are followed at once") {
  const Grammar grammar = palindromes();
  Rng rng(1);
  for (int i = 0; i < 500; ++i) {
    std::string half;
    for (auto size = rng.below(8); size > 0; --size) half += rng.pick<char>({'a', 'b'});
    std::string text = half + std::string(half.rbegin(), half.rend());
    if (rng.chance(500'000) && !text.empty()) text[rng.below(text.size())] = rng.pick<char>({'a', 'b'});
    const bool want = text.size() % 2 == 0 && std::equal(text.begin(), text.end(), text.rbegin());
    CHECK_MESSAGE(matches(grammar, text) == want, text);
  }
}

TEST_CASE("readings that differ in the past alone are one") {
  // X = "(" X ")" | "(" X ")" | "x", each "(" readable in two ways: 2^40 stacks of calls.
  GrammarBuilder builder(GrammarLimits{});
  const RuleId root = builder.add_rule();
  builder.literal(builder.start(root), "x", builder.end(root));
  for (int way = 0; way < 2; ++way) {
    const StateId open = builder.add_state(), close = builder.add_state();
    builder.literal(builder.start(root), "(", open);
    builder.call(open, root, close);
    builder.literal(close, ")", builder.end(root));
  }
  const Grammar grammar = std::move(builder).finish(root);
  StateSets sets(grammar, GrammarLimits{});
  const SetId inside = sets.read(sets.start(), std::string(40, '('));
  REQUIRE(inside != StateSets::kDead);
  CHECK(sets.size() < 100);
  const SetId end = sets.read(inside, "x" + std::string(40, ')'));
  REQUIRE(end != StateSets::kDead);
  CHECK(sets.accepts(end));
  CHECK(sets.read(inside, "x" + std::string(41, ')')) == StateSets::kDead);
  CHECK(sets.steps() < 10'000);
}

TEST_CASE("a set that was read again is the same set, and moves to another object as itself") {
  const Grammar grammar = grammar_of_schema(R"({"type": "array", "items": {"type": "string"}})");
  StateSets sets(grammar, GrammarLimits{}), other(grammar, GrammarLimits{});
  const SetId once = sets.read(sets.start(), "[\"a");
  CHECK(sets.read(once, "bc") == once);
  CHECK(sets.read(sets.start(), "[\"x\", \"y\", \"") == sets.read(sets.start(), "[\"x\", \""));
  SetId moved = other.adopt(sets, once);
  CHECK(moved == other.read(other.start(), "[\"a"));
  CHECK(other.accepts(other.read(moved, "\"]")));
}

}  // namespace
}  // namespace gauntlet

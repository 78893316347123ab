#include "inference/constraint/grammar.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "inference/constraint/grammar_text.h"

namespace gauntlet {
namespace {

TEST_CASE("rules call each other, and what is read is counted and branched as built") {
  GrammarBuilder builder(GrammarLimits{});
  const RuleId pair = builder.add_rule(), root = builder.add_rule();
  builder.literals(builder.start(pair), {"ab", "ac", "a"}, builder.end(pair));
  const StateId middle = builder.add_state();
  builder.repeat(builder.start(root), pair, 2, 3, middle, "pairs");
  builder.literal(middle, ".", builder.end(root));
  const Grammar grammar = std::move(builder).finish(root);
  for (const char* text : {"aa.", "abac.", "acaab.", "aaa."}) CHECK(matches(grammar, text));
  for (const char* text : {"a.", "aaaa.", "ab", "", "abb."}) CHECK_FALSE(matches(grammar, text));
}

TEST_CASE("what can never end is not begun") {
  GrammarBuilder builder(GrammarLimits{});
  const RuleId endless = builder.add_rule(), root = builder.add_rule();
  builder.bytes(builder.start(endless), 'x', 'x', builder.start(endless));
  builder.call(builder.start(root), endless, builder.end(root));
  builder.literal(builder.start(root), "y", builder.end(root));
  const Grammar grammar = std::move(builder).finish(root);
  StateSets sets(grammar, GrammarLimits{});
  CHECK(sets.step(sets.start(), 'x') == StateSets::kDead);
  CHECK(matches(grammar, "y"));

  GrammarBuilder none(GrammarLimits{});
  const RuleId only = none.add_rule();
  none.call(none.start(only), only, none.end(only));
  CHECK_THROWS_WITH_AS(std::move(none).finish(only), "no finite text can satisfy the schema or grammar", Error);
}

TEST_CASE("a rule that begins with itself is refused, also behind something empty") {
  for (const bool hidden : {false, true}) {
    GrammarBuilder builder(GrammarLimits{});
    const RuleId nothing = builder.add_rule(), root = builder.add_rule(), other = builder.add_rule();
    builder.empty(builder.start(nothing), builder.end(nothing));
    const StateId after = builder.add_state(), before = hidden ? builder.add_state() : builder.start(root);
    if (hidden) builder.call(builder.start(root), nothing, before);
    builder.call(before, other, after);
    builder.literal(after, "b", builder.end(root));
    builder.call(builder.start(other), root, builder.end(other));
    builder.literal(builder.start(other), "a", builder.end(other));
    CHECK_THROWS_WITH_AS(std::move(builder).finish(root), "a rule of the grammar begins with itself", Error);
  }
}

TEST_CASE("template text reads its markers as tokens, the longest of several") {
  GrammarBuilder builder(GrammarLimits{}, 16, {{"<a", 7}, {"<a>", 8}, {"|", 9}});
  const RuleId root = builder.add_rule();
  builder.template_text(builder.start(root), "x<a>|y", builder.end(root));
  const Grammar grammar = std::move(builder).finish(root);
  CHECK_FALSE(matches(grammar, "x<a>|y"));
  StateSets sets(grammar, GrammarLimits{});
  SetId at = sets.read(sets.start(), "x");
  for (const std::int32_t id : {8, 9}) {
    REQUIRE(sets.tokens(at).size() == 1);
    CHECK(sets.tokens(at)[0].first == id);
    at = sets.tokens(at)[0].second;
  }
  at = sets.read(at, "y");
  CHECK(sets.accepts(at));
  CHECK(sets.reads_nothing(at));
}

TEST_CASE("limits of rules, states and counts are errors of the caller") {
  const GrammarLimits small{.rules = 3, .states = 50};
  GrammarBuilder rules(small);
  for (int i = 0; i < 3; ++i) rules.add_rule();
  CHECK_THROWS_WITH_AS(rules.add_rule(), "the grammar needs more than 3 rules", Error);
  GrammarBuilder states(small);
  const RuleId rule = states.add_rule();
  CHECK_THROWS_WITH_AS(states.literal(states.start(rule), std::string(60, 'x'), states.end(rule)), "the grammar needs more than 50 states", Error);
  CHECK_THROWS_WITH_AS(states.repeat(states.start(rule), rule, 0, 51, states.end(rule), "schema /maxItems"), "schema /maxItems: counting to 51 needs more than 50 states", Error);
}

}  // namespace
}  // namespace gauntlet

#pragma once

// For tests: whether a whole text is in a grammar, byte by byte.

#include <string_view>

#include "inference/constraint/reply_compiler.h"
#include "inference/constraint/state_sets.h"

namespace gauntlet {

inline bool matches(const Grammar& grammar, std::string_view text, const GrammarLimits& limits = {}) {
  StateSets sets(grammar, limits);
  const SetId end = sets.read(sets.start(), text);
  return end != StateSets::kDead && sets.accepts(end);
}

inline Grammar grammar_of(const ReplyGrammar& reply, const GrammarLimits& limits = {}) { return compile_reply(reply, {}, limits); }
inline Grammar grammar_of_schema(std::string_view schema, const GrammarLimits& limits = {}) { return grammar_of(ReplyGrammar::json(parse_json(schema, "test"), "schema"), limits); }

}  // namespace gauntlet

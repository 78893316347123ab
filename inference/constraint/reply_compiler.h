#pragma once

// From what a format or a schema asks for to one compiled grammar.

#include <span>
#include <vector>

#include "core/reply_grammar.h"
#include "inference/constraint/grammar.h"

namespace gauntlet {

/// What a tokenizer gives to a grammar.
struct GrammarTokens {
  std::vector<GrammarBuilder::Marker> markers;   ///< that template text spells
  std::size_t longest = 256;                     ///< bytes of the longest token
};

/// Throws Error(Usage) for a schema that is not supported, a limit that is exceeded, or a grammar that nothing matches.
Grammar compile_reply(const ReplyGrammar& reply, const GrammarTokens& tokens, const GrammarLimits& limits);

/// One JSON value that satisfies the schema, then one of the tokens. `what` names the schema in errors.
Grammar compile_json(const Json& schema, std::span<const std::int32_t> end_tokens, const GrammarTokens& tokens, const std::string& what, const GrammarLimits& limits);

}  // namespace gauntlet

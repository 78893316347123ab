#pragma once

// The maker of constraints of a real server: what a request asks for, in the words of its format's grammar.

#include <memory>

#include "core/reply_grammar.h"
#include "inference/chat_codec.h"
#include "inference/server/constraint_hook.h"

namespace gauntlet {

/// What a wish asks of the format's grammar. A call of a named tool is one call, as in OpenAI's API.
ReplyRules reply_rules(const ConstraintWish& wish);

/// Makes constraints by the grammar of the codec's format; grammars are compiled once each. Shares the codec with the server.
ConstraintMaker make_reply_constraints(std::shared_ptr<const ChatCodec> codec);

}  // namespace gauntlet

#pragma once

// The replies that DeepSeek-V3.2's format allows: thinking, text, and calls of the declared tools with arguments that satisfy their schemas.

#include "core/chat_model.h"
#include "core/reply_grammar.h"

namespace gauntlet {

/// The prompt has opened the thinking already (mode Thinking), or closed it (mode Chat). Arguments come in the order of the schema's properties,
/// no argument twice, and none that the schema does not name. Values never hold "｜DSML｜", so that no text can end a call early. Throws
/// Error(Usage) for a required call without tools, an unknown tool, or a tool's name that the format cannot write.
ReplyGrammar deepseek_reply_grammar(const ChatRequest& request, const ReplyRules& rules);

}  // namespace gauntlet

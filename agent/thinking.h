#pragma once

// Which earlier thinking a model gets to see again.

#include <string_view>
#include <vector>

#include "core/message.h"

namespace gauntlet {

/// SinceLastUser is DeepSeek-V3.2's own rule: thinking is kept while only tool results are appended, and dropped when a new user message
/// comes. Last keeps only that of the last assistant message.
enum class ThinkingPolicy { SinceLastUser, All, Last, None };

std::string_view thinking_policy_name(ThinkingPolicy policy);
/// Throws Error(Usage) naming the accepted words.
ThinkingPolicy parse_thinking_policy(std::string_view name);

/// Empties the reasoning of messages that the policy hides. Tool calls and results always stay.
void apply_thinking_policy(std::vector<Message>& messages, ThinkingPolicy policy);

}  // namespace gauntlet

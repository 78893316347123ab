#pragma once

// Which result answers which call. The format that the model reads has no ids: there the n-th result is the n-th call's.

#include <vector>

#include "core/message.h"

namespace gauntlet {

/// Puts the tool messages after each assistant's message into the order of its calls, by id. Where the calls or the results have no ids at
/// all, they are left as they are. Throws ApiRefusal, naming the ids, unless each call has exactly one result.
void order_tool_results(std::vector<Message>& messages);

}  // namespace gauntlet

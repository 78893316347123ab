#pragma once

// Members of vLLM's requests that this server does not have. Clients made for vLLM send many of them with values that ask for nothing.

#include "inference/server/request_fields.h"

namespace gauntlet {

/// Accepts values that ask for what is done anyway. Throws ApiRefusal, with what would be accepted, for all others.
void read_vllm_members(RequestFields& fields);
/// The same for members that only chat requests have, or that text completions have with a meaning.
void read_vllm_chat_members(RequestFields& fields);

}  // namespace gauntlet

#pragma once

// What an endpoint says when prompt and reply do not fit its model's context, in the words of several servers.

#include <cstdint>
#include <optional>
#include <string>

namespace gauntlet {

/// True if an error's message or code is about the length of the context.
bool says_context_length(const std::string& words);

/// The tokens that such an error names; nothing where it does not tell.
struct ContextRefusal {
  std::optional<std::int64_t> context;
  std::optional<std::int64_t> prompt;
};

ContextRefusal read_context_refusal(const std::string& words);

/// Tokens to ask for after `asked` of them were refused with `words`: what the prompt leaves of the context where both are named, else
/// half. Nothing: the prompt alone does not fit, or so short a reply would be none.
std::optional<int> fewer_tokens(const std::string& words, int asked);

}  // namespace gauntlet

#include "agent/thinking.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"since_last_user", "all", "last", "none"};

}  // namespace

std::string_view thinking_policy_name(ThinkingPolicy policy) { return kNames[static_cast<std::size_t>(policy)]; }

ThinkingPolicy parse_thinking_policy(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ThinkingPolicy>(i);
  }
  fail(ErrorKind::Usage, fmt::format("unknown thinking policy \"{}\"; accepted: {}", name, fmt::join(kNames, ", ")));
}

void apply_thinking_policy(std::vector<Message>& messages, ThinkingPolicy policy) {
  if (policy == ThinkingPolicy::All) return;
  std::size_t keep_from = messages.size();
  for (std::size_t i = messages.size(); i-- > 0;) {
    const bool user = messages[i].role == Role::User || messages[i].role == Role::Developer;
    const bool boundary = policy == ThinkingPolicy::SinceLastUser ? user : policy == ThinkingPolicy::Last ? messages[i].role == Role::Assistant : false;
    if (boundary) {
      keep_from = i;
      break;
    }
  }
  for (std::size_t i = 0; i < std::min(keep_from, messages.size()); ++i) messages[i].reasoning.clear();
}

}  // namespace gauntlet

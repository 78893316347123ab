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
  // Without a user message all thinking is later than the last one.
  std::size_t keep_from = policy == ThinkingPolicy::None ? messages.size() : 0;
  for (std::size_t i = messages.size(); i-- > 0 && policy != ThinkingPolicy::None;) {
    const bool user = messages[i].role == Role::User || messages[i].role == Role::Developer;
    if (policy == ThinkingPolicy::SinceLastUser ? !user : messages[i].role != Role::Assistant) continue;
    keep_from = i;
    break;
  }
  for (std::size_t i = 0; i < keep_from; ++i) messages[i].reasoning.clear();
}

}  // namespace gauntlet

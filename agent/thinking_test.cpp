#include "agent/thinking.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {
namespace {

Message message(Role role, std::string reasoning = "") {
  Message out;
  out.role = role;
  out.content = "content";
  out.reasoning = std::move(reasoning);
  return out;
}

/// Two questions; the second is being worked on.
std::vector<Message> conversation() {
  return {message(Role::System), message(Role::User), message(Role::Assistant, "a"), message(Role::Tool), message(Role::Assistant, "b"),
          message(Role::User),   message(Role::Assistant, "c"), message(Role::Tool), message(Role::Assistant, "d"), message(Role::Tool)};
}

/// The reasoning of all messages in order.
std::string left_by(ThinkingPolicy policy, std::vector<Message> messages) {
  const std::size_t size = messages.size();
  apply_thinking_policy(messages, policy);
  CHECK(messages.size() == size);
  std::string out;
  for (const auto& each : messages) {
    CHECK(each.content == "content");
    out += each.reasoning;
  }
  return out;
}

}  // namespace

TEST_CASE("each policy keeps the thinking it names, and every message") {
  CHECK(left_by(ThinkingPolicy::All, conversation()) == "abcd");
  CHECK(left_by(ThinkingPolicy::SinceLastUser, conversation()) == "cd");
  CHECK(left_by(ThinkingPolicy::Last, conversation()) == "d");
  CHECK(left_by(ThinkingPolicy::None, conversation()).empty());
}

TEST_CASE("a new user or developer message hides all thinking before it, a tool result hides none") {
  auto messages = conversation();
  messages.push_back(message(Role::Developer));
  CHECK(left_by(ThinkingPolicy::SinceLastUser, messages).empty());
  CHECK(left_by(ThinkingPolicy::Last, messages) == "d");
  CHECK(left_by(ThinkingPolicy::All, messages) == "abcd");
}

TEST_CASE("without any user message all thinking is since the last one") {
  CHECK(left_by(ThinkingPolicy::SinceLastUser, {message(Role::System), message(Role::Assistant, "a"), message(Role::Assistant, "b")}) == "ab");
  CHECK(left_by(ThinkingPolicy::None, {message(Role::Assistant, "a")}).empty());
  CHECK(left_by(ThinkingPolicy::Last, {}).empty());
}

TEST_CASE("policies are named, and an unknown name is answered with those accepted") {
  for (const auto policy : {ThinkingPolicy::SinceLastUser, ThinkingPolicy::All, ThinkingPolicy::Last, ThinkingPolicy::None}) {
    CHECK(parse_thinking_policy(thinking_policy_name(policy)) == policy);
  }
  CHECK_THROWS_WITH_AS(parse_thinking_policy("some"), R"(unknown thinking policy "some"; accepted: since_last_user, all, last, none)", Error);
}

}  // namespace gauntlet

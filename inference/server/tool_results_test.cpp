#include "inference/server/tool_results.h"

#include <doctest/doctest.h>

#include "inference/server/api_error.h"

namespace gauntlet {
namespace {

Message calling(const std::vector<std::string>& ids) {
  Message out{.role = Role::Assistant};
  for (const auto& id : ids) out.tool_calls.push_back({.id = id, .name = "look", .arguments = "{}"});
  return out;
}

std::vector<Message> conversation(const std::vector<std::string>& calls, const std::vector<std::string>& results) {
  std::vector<Message> out = {{.role = Role::User, .content = "hi"}, calling(calls)};
  for (const auto& id : results) out.push_back({.role = Role::Tool, .content = "of " + id, .tool_call_id = id});
  return out;
}

std::string contents(std::vector<Message> messages) {
  order_tool_results(messages);
  std::string out;
  for (const auto& message : messages) out += message.role == Role::Tool ? message.content + "|" : "";
  return out;
}

ApiError refusal(std::vector<Message> messages) {
  try {
    order_tool_results(messages);
  } catch (const ApiRefusal& refused) {
    return refused.error();
  }
  return {.status = 200};
}

TEST_CASE("results are put into the order of their calls by id, at every turn") {
  CHECK(contents(conversation({"a", "b", "c"}, {"c", "a", "b"})) == "of a|of b|of c|");
  CHECK(contents(conversation({"a", "b"}, {"a", "b"})) == "of a|of b|");
  auto twice = conversation({"a", "b"}, {"b", "a"});
  const auto more = conversation({"a", "c"}, {"c", "a"});
  twice.insert(twice.end(), more.begin(), more.end());
  CHECK(contents(twice) == "of a|of b|of a|of c|");
}

TEST_CASE("without ids the order is taken as it is") {
  CHECK(contents(conversation({"", ""}, {"b", "a"})) == "of b|of a|");
  CHECK(contents(conversation({"a", "a"}, {"", ""})) == "of |of |");
  CHECK(contents(conversation({"", ""}, {})).empty());
}

TEST_CASE("a result that is unknown, given twice or missing is refused with the ids") {
  auto error = refusal(conversation({"a", "b"}, {"a", "x"}));
  CHECK(error.status == 400);
  CHECK(error.param == "messages[3].tool_call_id");
  CHECK(error.message ==
        "messages[3].tool_call_id: no call has the id \"x\"; the calls of messages[1] have the ids \"a\", \"b\", the tool messages after it \"a\", \"x\"; accepted: one result for each call");
  error = refusal(conversation({"a", "b"}, {"a", "a"}));
  CHECK(error.param == "messages[3].tool_call_id");
  CHECK(error.message.find("the call \"a\" has a result already") != std::string::npos);
  error = refusal(conversation({"a", "b"}, {"b"}));
  CHECK(error.param == "messages");
  CHECK(error.message.find("the call \"a\" has no result") != std::string::npos);
  CHECK(refusal(conversation({"a", "b"}, {})).message.find("the tool messages after it none;") != std::string::npos);
  CHECK(refusal(conversation({"a", "b"}, {"a", ""})).param == "messages[3].tool_call_id");
  CHECK(refusal(conversation({"a", ""}, {"a", "b"})).param == "messages[1].tool_calls[1].id");
  CHECK(refusal(conversation({"a", "a"}, {"a", "a"})).param == "messages[1].tool_calls[0].id");
  CHECK(refusal(conversation(std::vector<std::string>(500, "a"), std::vector<std::string>(500, "b"))).message.size() < 1000);
}

}  // namespace
}  // namespace gauntlet

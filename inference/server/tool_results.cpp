#include "inference/server/tool_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "inference/server/request_fields.h"

namespace gauntlet {
namespace {

std::string listed(const std::vector<std::string>& ids) {
  std::vector<std::string> out;
  for (const auto& id : ids) out.push_back(id.empty() ? "one without an id" : shown(Json(id)));
  // A text of many calls is not made longer than a client reads.
  constexpr std::size_t kMost = 16;
  const std::size_t more = out.size() > kMost ? out.size() - kMost : 0;
  out.resize(out.size() - more);
  return out.empty() ? "none" : fmt::format("{}{}", fmt::join(out, ", "), more == 0 ? "" : fmt::format(" and {} more", more));
}

bool none_has_id(const std::vector<std::string>& ids) {
  return std::all_of(ids.begin(), ids.end(), [](const std::string& id) { return id.empty(); });
}

/// `results` are the tool messages after the assistant's message at `index`.
void order(const std::vector<ToolCall>& calls, std::span<Message> results, std::size_t index) {
  std::vector<std::string> expected, found;
  for (const auto& call : calls) expected.push_back(call.id);
  for (const auto& result : results) found.push_back(result.tool_call_id);
  if (none_has_id(expected) || (!found.empty() && none_has_id(found))) return;
  const auto refuse = [&](const std::string& member, const std::string& what) {
    refuse_member(member, fmt::format("{}; the calls of messages[{}] have the ids {}, the tool messages after it {}; accepted: one result for each call", what, index, listed(expected), listed(found)));
  };
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string call = fmt::format("messages[{}].tool_calls[{}].id", index, i);
    if (expected[i].empty()) refuse(call, "this call has no id, so it is not known which result is its own");
    if (std::count(expected.begin(), expected.end(), expected[i]) > 1) refuse(call, fmt::format("several calls have the id {}", shown(Json(expected[i]))));
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::string result = fmt::format("messages[{}].tool_call_id", index + 1 + i);
    if (found[i].empty()) refuse(result, "this result has no id, so it is not known which call it answers");
    if (std::find(expected.begin(), expected.end(), found[i]) == expected.end()) refuse(result, fmt::format("no call has the id {}", shown(Json(found[i]))));
    if (std::find(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(i), found[i]) != found.begin() + static_cast<std::ptrdiff_t>(i)) {
      refuse(result, fmt::format("the call {} has a result already", shown(Json(found[i]))));
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // From here on the results so far are in place.
    const auto own = std::find_if(results.begin() + static_cast<std::ptrdiff_t>(std::min(i, results.size())), results.end(), [&](const Message& result) { return result.tool_call_id == expected[i]; });
    if (own == results.end()) refuse("messages", fmt::format("the call {} has no result", shown(Json(expected[i]))));
    std::swap(results[i], *own);
  }
}

}  // namespace

void order_tool_results(std::vector<Message>& messages) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != Role::Assistant || messages[i].tool_calls.empty()) continue;
    std::size_t end = i + 1;
    while (end < messages.size() && messages[end].role == Role::Tool) ++end;
    order(messages[i].tool_calls, std::span(messages).subspan(i + 1, end - i - 1), i);
  }
}

}  // namespace gauntlet

#pragma once

// A ChatModel that says what it is told: a list of replies and faults, or a function of the conversation. For tests and examples.
//
//   ScriptedModel model({calls({{"get_all_cities", "{}"}}), say("Done.")});
//   Episode episode = run_episode(model, std::move(setup), cancel);

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/chat_model.h"

namespace gauntlet {

/// A final answer in text.
inline ChatReply say(std::string content, std::string reasoning = "") {
  ChatReply reply;
  reply.message.role = Role::Assistant;
  reply.message.content = std::move(content);
  reply.message.reasoning = std::move(reasoning);
  return reply;
}

/// Calls of tools by name and arguments (JSON text), all in one message. Ids are left to the loop.
inline ChatReply calls(std::vector<std::pair<std::string, std::string>> list, std::string reasoning = "") {
  ChatReply reply = say("", std::move(reasoning));
  for (auto& [name, arguments] : list) reply.message.tool_calls.push_back({.id = "", .name = std::move(name), .arguments = std::move(arguments)});
  reply.finish = FinishReason::ToolCalls;
  return reply;
}

/// A tool call that could not be parsed.
inline ChatReply malformed(std::string problem) {
  ChatReply reply = say("");
  reply.malformed_call = std::move(problem);
  return reply;
}

/// Safe from many threads if the function is. A list is played once: give each episode a model of its own.
class ScriptedModel : public ChatModel {
 public:
  using Step = std::variant<ChatReply, ModelFault>;
  using Script = std::function<ChatReply(const ChatRequest&, const CancelFlag&)>;

  /// After the last step it says "Done.".
  explicit ScriptedModel(std::vector<Step> steps) : steps_(std::move(steps)) {}
  explicit ScriptedModel(Script script) : script_(std::move(script)) {}

  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override {
    if (script_) return script_(request, cancel);
    const std::lock_guard lock(mutex_);
    seen_.push_back(request);
    if (seen_.size() > steps_.size()) return say("Done.");
    const Step& step = steps_[seen_.size() - 1];
    if (const auto* fault = std::get_if<ModelFault>(&step)) throw *fault;
    return std::get<ChatReply>(step);
  }

  Json describe() const override { return {{"kind", "scripted"}}; }

  /// Requests so far, of a list only. Not while complete() may run.
  const std::vector<ChatRequest>& seen() const { return seen_; }

 private:
  std::vector<Step> steps_;
  Script script_;
  std::mutex mutex_;
  std::vector<ChatRequest> seen_;
};

}  // namespace gauntlet

#include "inference/server/response_json.h"

#include <algorithm>
#include <cmath>

namespace gauntlet {
namespace {

/// JSON has no infinity; this is what OpenAI writes for "practically never".
constexpr double kNever = -9999.0;

double finite(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : kNever; }

std::string token_text(const Tokenizer& tokenizer, std::int32_t id) { return valid_utf8(tokenizer.token_bytes(id)); }

Json token_json(const Tokenizer& tokenizer, std::int32_t id, float logprob) {
  Json bytes = Json::array();
  for (const char c : tokenizer.token_bytes(id)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(tokenizer, id)}, {"logprob", finite(logprob)}, {"bytes", std::move(bytes)}};
}

Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<ShownToken>& tokens) {
  Json content = Json::array();
  for (const auto& shown : tokens) {
    Json entry = token_json(tokenizer, shown.id, shown.logprob.value_or(0));
    Json top = Json::array();
    for (const auto& [id, logprob] : shown.top) top.push_back(token_json(tokenizer, id, logprob));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json text_logprobs(const Tokenizer& tokenizer, const std::vector<ShownToken>& tokens) {
  Json words = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
  for (const auto& shown : tokens) {
    words.push_back(token_text(tokenizer, shown.id));
    values.push_back(shown.logprob ? Json(finite(*shown.logprob)) : Json(nullptr));
    offsets.push_back(shown.offset);
    Json top = shown.logprob ? Json::object() : Json(nullptr);
    // Different tokens can have the same text; the more probable comes first and stays.
    for (const auto& [id, logprob] : shown.top) {
      if (std::string text = token_text(tokenizer, id); !top.contains(text)) top[text] = finite(logprob);
    }
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(words)}, {"token_logprobs", std::move(values)}, {"top_logprobs", std::move(tops)}, {"text_offset", std::move(offsets)}};
}

Json ids_json(const std::vector<ShownToken>& tokens) {
  Json out = Json::array();
  for (const auto& shown : tokens) out.push_back(shown.id);
  return out;
}

Json call_json(const ToolCall& call) { return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}}; }

Json head_json(const ResponseHead& head, const char* object) { return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}}; }

Json finish_json(const ChoiceDelta& delta) { return delta.finish.empty() ? Json(nullptr) : Json(delta.finish); }

Json completion_choice(const Tokenizer& tokenizer, const CompletionCall& call, int index, const ChoiceDelta& delta) {
  Json choice = {{"index", index}, {"text", delta.content}, {"logprobs", call.logprobs ? text_logprobs(tokenizer, delta.tokens) : Json(nullptr)}, {"finish_reason", finish_json(delta)}};
  if (call.options.return_ids) choice["token_ids"] = ids_json(delta.tokens);
  return choice;
}

}  // namespace

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

Json chat_chunk(const ResponseHead& head, const Tokenizer& tokenizer, const ChatCall& call, int index, const ChoiceDelta& delta, StreamPlace place) {
  Json fields = Json::object();
  if (place == StreamPlace::First) {
    fields["role"] = "assistant";
    fields["content"] = delta.content;
  } else if (!delta.content.empty()) {
    fields["content"] = delta.content;
  }
  if (!delta.reasoning.empty()) fields["reasoning_content"] = delta.reasoning;
  for (std::size_t i = 0; i < delta.calls.size(); ++i) {
    Json entry = {{"index", delta.first_call + i}};
    entry.update(call_json(delta.calls[i]));
    fields["tool_calls"].push_back(std::move(entry));
  }
  Json out = head_json(head, "chat.completion.chunk");
  Json choice = {{"index", index}, {"delta", std::move(fields)}, {"logprobs", call.logprobs && !delta.tokens.empty() ? chat_logprobs(tokenizer, delta.tokens) : Json(nullptr)}, {"finish_reason", finish_json(delta)}};
  if (call.options.return_ids) choice["token_ids"] = ids_json(delta.tokens);
  out["choices"] = Json::array({std::move(choice)});
  if (call.options.include_usage) out["usage"] = nullptr;
  return out;
}

Json chat_body(const ResponseHead& head, const Tokenizer& tokenizer, const ChatCall& call, const std::vector<ChoiceDelta>& choices, const EncodedChat& prompt, const Usage& usage) {
  Json list = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const ChoiceDelta& whole = choices[i];
    Json message = {{"role", "assistant"}, {"content", whole.content.empty() && !whole.calls.empty() ? Json(nullptr) : Json(whole.content)}, {"refusal", nullptr}};
    if (!whole.reasoning.empty()) message["reasoning_content"] = whole.reasoning;
    for (const auto& tool_call : whole.calls) message["tool_calls"].push_back(call_json(tool_call));
    Json choice = {{"index", i}, {"message", std::move(message)}, {"logprobs", call.logprobs ? chat_logprobs(tokenizer, whole.tokens) : Json(nullptr)}, {"finish_reason", finish_json(whole)}};
    if (call.options.return_ids) choice["token_ids"] = ids_json(whole.tokens);
    list.push_back(std::move(choice));
  }
  Json out = head_json(head, "chat.completion");
  out["choices"] = std::move(list);
  out["usage"] = usage_json(usage);
  if (call.options.return_ids) out["prompt_token_ids"] = prompt.ids;
  return out;
}

Json completion_chunk(const ResponseHead& head, const Tokenizer& tokenizer, const CompletionCall& call, int index, const ChoiceDelta& delta) {
  Json out = head_json(head, "text_completion");
  out["choices"] = Json::array({completion_choice(tokenizer, call, index, delta)});
  if (call.options.include_usage) out["usage"] = nullptr;
  return out;
}

Json completion_body(const ResponseHead& head, const Tokenizer& tokenizer, const CompletionCall& call, const std::vector<ChoiceDelta>& choices, const Usage& usage) {
  Json list = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) list.push_back(completion_choice(tokenizer, call, static_cast<int>(i), choices[i]));
  Json out = head_json(head, "text_completion");
  out["choices"] = std::move(list);
  out["usage"] = usage_json(usage);
  return out;
}

Json usage_chunk(const ResponseHead& head, const char* object, const Usage& usage) {
  Json out = head_json(head, object);
  out["choices"] = Json::array();
  out["usage"] = usage_json(usage);
  return out;
}

Json model_json(const std::string& name, std::int64_t created, int max_context) {
  return {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "gauntlet"}, {"max_model_len", max_context}};
}

Json models_json(const Json& model) { return {{"object", "list"}, {"data", Json::array({model})}}; }

std::string sse_event(const Json& data) { return "data: " + dump_json(data) + "\n\n"; }

}  // namespace gauntlet

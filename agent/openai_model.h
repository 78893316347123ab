#pragma once

// A model behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, Ollama, DeepSeek, OpenRouter, OpenAI and the like.

#include <chrono>
#include <memory>
#include <string>

#include "agent/http_exchange.h"
#include "core/chat_model.h"

namespace gauntlet {

struct OpenAiOptions {
  std::string base_url;  ///< "http://host:port/v1"; "/v1" is added where there is no path
  std::string model;     ///< empty: the first that GET /models lists
  std::string api_key;   ///< empty: no Authorization header; never recorded nor shown
  bool stream = true;
  bool send_thinking_mode = false;  ///< adds chat_template_kwargs {"thinking": bool} to each request
  std::string
      reasoning_field;  ///< name under which earlier reasoning is sent back; empty: the name under which it was last read
  Json extra_body = Json::object();  ///< added to each request; recorded, so no place for secrets
  int max_attempts = 6;
  std::chrono::milliseconds backoff_base{500};  ///< doubles with each attempt; the wait is uniform between 0 and that
  std::chrono::milliseconds backoff_cap{30'000};
  std::chrono::milliseconds max_retry_after{300'000};  ///< an endpoint that asks for a longer wait is given up
  HttpLimits http;
};

/// Rate limits, server errors, broken connections, cut streams and empty replies are tried again, up to `max_attempts` and the request's
/// deadline. Where prompt and max_tokens together do not fit the context, fewer tokens are asked for.
class OpenAiModel : public ChatModel {
 public:
  /// Throws Error(Usage) for options that cannot be used. Does not connect.
  explicit OpenAiModel(OpenAiOptions options);
  ~OpenAiModel() override;

  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override;

  /// The name of the model in use; asks the endpoint if the options name none, so that describe() can tell. Throws ModelFault.
  std::string find_model(std::chrono::steady_clock::time_point deadline, const CancelFlag& cancel);

  /// {"kind": "openai", "base_url", "model", "stream", "extra_body"?}; the model is the one asked for, or the one found if none
  /// was.
  Json describe() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet

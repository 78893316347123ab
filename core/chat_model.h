#pragma once

// The one interface between the agent side and anything that produces assistant messages: the engine in process, a remote
// endpoint, a scripted model, the oracle, the adversaries. Retries, caching and recording are decorators of it.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/message.h"

namespace gauntlet {

enum class ThinkingMode { Thinking, Chat };

struct SamplingOptions {
  double temperature = 1.0;
  double top_p = 0.95;
  int max_tokens = 4096;                ///< per completion
  std::optional<std::uint64_t> seed;
};

struct ChatRequest {
  std::vector<Message> messages;
  std::shared_ptr<const std::vector<ToolSpec>> tools;  ///< shared by all requests of a run; null: none
  ThinkingMode mode = ThinkingMode::Thinking;
  SamplingOptions sampling;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

enum class FinishReason {
  Stop,
  ToolCalls,
  Length,         ///< max_tokens; also what an endpoint says when it does not tell why a reply was cut
  ContentFilter,
  ContextFull,    ///< cut because prompt and reply fill the context; "length" in OpenAI's words
};

/// OpenAI's word for it.
/// Token counts as the model reported them; 0 where it did not.
struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;
  std::int64_t cached_tokens = 0;

  bool operator==(const Usage&) const = default;
};

/// Ids and log-probabilities exactly as sampled, where the model gives them (equal lengths); else empty.
struct TokenTrace {
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> ids;
  std::vector<float> logprobs;
};

struct ChatReply {
  Message message;
  FinishReason finish = FinishReason::Stop;
  Usage usage;
  TokenTrace tokens;
  /// Not empty when the model wrote a tool call that could not be parsed: what was wrong, to be told to the model.
  std::string malformed_call;
};

/// Why a model could not answer. ContextLength after earlier replies is a limit that the agent met; all else says nothing about it and is
/// never scored.
enum class FaultClass {
  Connection,   ///< refused, reset, TLS, name resolution
  Timeout,      ///< nothing came until the deadline, or for too long
  RateLimited,  ///< 429 to the end
  Server,       ///< 5xx to the end
  Rejected,     ///< 4xx: bad key, unknown model, request refused; or the provider withheld the reply
  Protocol,     ///< the reply was not what the protocol says (HTML, cut stream, invalid JSON, nothing at all)
  ContextLength,///< the endpoint says the prompt is too long
  Cancelled,    ///< the caller gave up
  OutOfTime,    ///< the deadline passed while the reply was arriving: the model was at work
};

std::string_view fault_name(FaultClass fault);

class ModelFault : public std::runtime_error {
 public:
  ModelFault(FaultClass fault, const std::string& message) : std::runtime_error(message), fault_(fault) {}
  FaultClass fault() const { return fault_; }

 private:
  FaultClass fault_;
};

/// Set by another thread to ask a blocking call to stop soon.
using CancelFlag = std::atomic<bool>;

class ChatModel {
 public:
  virtual ~ChatModel() = default;

  /// Blocks until the reply is complete, the request's deadline passes or `cancel` is set. Called by the runner from many
  /// threads at once; implementations are thread-safe. Throws ModelFault when there is no reply, never for a reply that is
  /// merely bad.
  virtual ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) = 0;

  /// Recorded with each run: what would be needed to run it again (kind, address, model name; no secrets).
  virtual Json describe() const = 0;
};

}  // namespace gauntlet

#pragma once

// The work on one accepted request, up to its last byte.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inference/server/choice.h"
#include "inference/server/generation.h"
#include "inference/server/limits.h"
#include "inference/server/metrics.h"
#include "inference/server/response_json.h"

namespace gauntlet {

/// Whether the client is still there. Asked now and then, on the answering thread.
using Presence = std::function<bool()>;
/// Sends bytes; false when they cannot be sent.
using Writer = std::function<bool(std::string_view)>;

/// What an answer needs of the server; outlives it.
struct AnswerSetting {
  const ServerLimits& limits;
  ServerMetrics& metrics;
  std::chrono::steady_clock::time_point start;  ///< when the request was there, whole
  /// Whether running work must end now: the server is being stopped, and the time to finish is over.
  std::function<bool()> must_end;
};

/// Destroying it cancels what still runs.
class Answer {
 public:
  Answer(const AnswerSetting& setting, std::shared_ptr<Engine> engine, ResponseHead head, const GenerationOptions& options);
  virtual ~Answer();
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  bool streams() const { return options_.stream; }
  const std::string& id() const { return head_.id; }

  /// Waits for the end. Throws ApiRefusal when there is none to be had; "" when the client left.
  std::string whole(const Presence& present);
  /// Writes server-sent events to the end. Failures are events, too. False when the client left.
  bool stream(const Writer& write, const Presence& present);

 protected:
  virtual const char* object() const = 0;
  virtual Json chunk(int index, const ChoiceDelta& delta, StreamPlace place) const = 0;
  virtual Json body(const std::vector<ChoiceDelta>& choices, const Usage& usage) const = 0;
  /// What stands before the first token of each choice. Called once, before any event.
  virtual void begin(std::vector<ChoiceDelta>& /*deltas*/) {}
  /// The prompt's scores, for the choices that share it, of which `first` is one.
  virtual void take_prompt(const GenerationEvent& /*event*/, std::vector<ChoiceDelta>& /*deltas*/) {}

  AnswerSetting setting_;
  ResponseHead head_;
  GenerationOptions options_;
  Generation generation_;
  std::vector<std::unique_ptr<Choice>> choices_;
  std::int64_t prompt_tokens_ = 0;

 private:
  enum class Outcome { Finished, ClientLeft };

  /// `emit` gets the deltas of each batch of events, by choice; `idle` is called when nothing came for a while. Both give false for a client that left.
  Outcome run(const std::function<bool(std::vector<ChoiceDelta>&)>& emit, const std::function<bool()>& idle, const Presence& present);
  void take(const GenerationEvent& event, std::vector<ChoiceDelta>& deltas);
  Usage usage() const;

  std::vector<char> ended_;
  std::size_t running_ = 0;
  std::int64_t cached_ = 0;
  bool begun_ = false;  ///< a token has come
};

}  // namespace gauntlet

#pragma once

// Many generations on one backend: continuous batching with chunked prefill, shared prefixes, forks for several samples of a prompt, and
// preemption when the cache runs out. What is sampled for a request depends on its prompt, parameters and seed alone.
// Used from one thread (engine.h has the threaded front).

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "inference/backend.h"
#include "inference/page_pool.h"
#include "inference/sampling.h"

namespace gauntlet {

/// Restricts what may be sampled next; one object follows one sequence.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  /// Bits of the tokens allowed now; empty: all. Valid until accept(). What it and accept() throw ends the request alone: Error(Usage) as
  /// rejected, all else as failed.
  virtual TokenMask mask() = 0;
  virtual void accept(std::int32_t id) = 0;
  /// The same state for a forked sequence.
  virtual std::unique_ptr<TokenConstraint> clone() const = 0;
};

using TopTokens = std::vector<std::pair<std::int32_t, float>>;  ///< id and log-probability, the most probable first

struct EngineToken {
  int index = 0;                                          ///< which of the request's samples
  SampledToken token;
  TopTokens top;                                          ///< as many as asked for
};

enum class EngineFinish {
  StopToken,
  Length,       ///< max_tokens
  ContextFull,  ///< no room for another token: the context, not max_tokens, was the limit
  Stopped,      ///< by its listener
  Cancelled,
  Failed,
  Rejected,     ///< by its constraint: what the request asks for takes more than it may
};

/// Called on the engine's thread, for one request one call at a time; must be quick and must not call the engine except Engine::cancel.
class EngineListener {
 public:
  virtual ~EngineListener() = default;
  /// Log-probabilities of prompt tokens 1, 2, … given those before, when asked for, and as many of the most probable at each of these places
  /// as the request's top_logprobs. Comes before any token; not for a prompt of one token.
  virtual void on_prompt(const std::vector<float>& /*logprobs*/, const std::vector<TopTokens>& /*top*/) {}
  /// False ends this sample (a stop string was seen).
  virtual bool on_token(const EngineToken& token) = 0;
  /// `cached`: prompt tokens that were found in the cache. `failure` says why for Failed and Rejected.
  virtual void on_finish(int index, EngineFinish finish, int cached, const std::string& failure) = 0;
};

struct EngineRequest {
  std::vector<std::int32_t> prompt;                       ///< at least one id
  SamplingParameters sampling;
  int samples = 1;                                        ///< sample i draws with a seed derived from the request's and i; sample 0 with it itself
  int max_tokens = 16;                                    ///< cut to what the context has room for
  std::vector<std::int32_t> stop_ids;                     ///< reported as a token, then the sample ends
  int top_logprobs = 0;
  bool prompt_logprobs = false;                           ///< then nothing is taken from the prefix cache
  std::unique_ptr<TokenConstraint> constraint;            ///< null: none
  std::shared_ptr<EngineListener> listener;               ///< owned by the caller and, until the last on_finish, by the engine
};

struct EngineOptions {
  int max_running = 256;            ///< sequences in a batch
  int chunk_tokens = 256;           ///< prompt tokens of all sequences in one pass
  bool reuse_prefixes = true;
  int max_samples = 128;
  int max_waiting = 100'000;
};

/// Since the start.
struct EngineStats {
  std::int64_t requests = 0, finished = 0, preemptions = 0;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, sampled_tokens = 0, passes = 0;
  int running = 0, waiting = 0, pages_in_use = 0, pages = 0;
};

class Scheduler {
 public:
  /// The backend must outlive it.
  Scheduler(Backend& backend, const EngineOptions& options);
  ~Scheduler();

  /// Longest prompt plus output that fits, by the model's positions and by the cache.
  int max_context() const;

  /// Throws Error(Usage): an empty prompt, ids outside the vocabulary, a prompt that leaves no room, parameters out of range.
  void check(const EngineRequest& request) const;
  /// `number` is the caller's name for it, for cancel(). The request must have passed check().
  void add(std::uint64_t number, EngineRequest request);
  void cancel(std::uint64_t number);

  bool idle() const;
  /// One forward pass and its samples. Returns false when there was nothing to do.
  bool step();
  EngineStats stats() const;
  /// Ends everything with Failed.
  void fail_all(const std::string& reason);

 private:
  struct Sequence;
  struct Planned;
  static std::size_t members(const Sequence& sequence);
  static std::size_t owed_pages(const Sequence& sequence);
  void admit();
  bool reserve(Sequence& sequence, std::size_t tokens);
  Sequence* youngest_after(const Sequence& sequence);
  void preempt(Sequence& sequence);
  void plan(std::vector<Planned>& out);
  void advance(const Planned& planned, std::span<const float> logits, const SampledToken* drawn);
  void note_prompt(Sequence& sequence, const Planned& planned, std::span<const float> logits);
  void fork(Sequence& sequence, std::span<const float> logits);
  void sample(Sequence& sequence, std::span<const float> logits, const SampledToken* drawn);
  void finish(Sequence& sequence, EngineFinish why, const std::string& failure = "");
  void drop_pages(Sequence& sequence);
  void sweep();

  Backend& backend_;
  EngineOptions options_;
  PagePool pool_;
  Sampler sampler_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;        ///< oldest first
  std::vector<std::unique_ptr<Sequence>> forked_;         ///< made during a step, join afterwards
  EngineStats stats_;
};

}  // namespace gauntlet

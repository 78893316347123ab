#include "agent/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "core/clock.h"
#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

struct EpisodeDriver::Impl {
  EpisodeSetup setup;
  Episode episode;
  ChatRequest request;      ///< its messages are what the model sees
  bool hidden = false;      ///< the policy hides thinking that the record keeps, so the two lists differ
  bool ended = false;
  int malformed_in_a_row = 0;
  int next_call_id = 0;
  std::set<std::string> used_ids;
  Clock::time_point start = Clock::now();
  Clock::time_point asked = start;  ///< when the request that waits for a reply was handed out

  explicit Impl(EpisodeSetup given) : setup(std::move(given)) {}

  void end(StopReason reason) {
    if (ended) return;
    ended = true;
    episode.stop = reason;
  }

  void end_with(StopReason reason, FaultClass fault, const std::string& message) {
    if (ended) return;
    episode.fault_class = fault_name(fault);
    episode.fault_message = valid_utf8(message);
    end(reason);
  }

  void end_out_of_time(const std::string& how) {
    end_with(StopReason::TimeLimit, FaultClass::OutOfTime, fmt::format("the episode's {} s passed{}", static_cast<double>(setup.limits.max_wall_ms) / 1000, how));
  }

  static std::int64_t milliseconds_since(Clock::time_point moment) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - moment).count();
  }

  void append(Message message) {
    if (hidden) episode.messages.push_back(message);
    request.messages.push_back(std::move(message));
  }

  void check_limits() {
    const EpisodeLimits& limits = setup.limits;
    const std::int64_t elapsed = milliseconds_since(start);
    if (episode.steps >= limits.max_steps) return end(StopReason::StepLimit);
    if (episode.tool_calls >= limits.max_tool_calls) return end(StopReason::ToolCallLimit);
    if (episode.usage.completion_tokens >= limits.max_completion_tokens) return end(StopReason::TokenLimit);
    if (limits.max_cost > 0.0 && episode.cost >= limits.max_cost) return end(StopReason::CostLimit);
    // Last: the others are the agent's own, and scored.
    if (elapsed >= limits.max_wall_ms) end_out_of_time(" between two replies");
  }

  void count(const ChatReply& reply) {
    ++episode.steps;
    episode.usage.prompt_tokens += reply.usage.prompt_tokens;
    episode.usage.completion_tokens += reply.usage.completion_tokens;
    episode.usage.reasoning_tokens += reply.usage.reasoning_tokens;
    episode.usage.cached_tokens += reply.usage.cached_tokens;
    episode.cost += (static_cast<double>(reply.usage.prompt_tokens) * setup.prices.prompt +
                     static_cast<double>(reply.usage.completion_tokens) * setup.prices.completion) / 1e6;
  }

  /// Every call of the episode gets an id of its own: results are matched by it, and some servers start again with each reply.
  void fix_ids(std::vector<ToolCall>& calls) {
    for (auto& call : calls) {
      while (call.id.empty() || !used_ids.insert(call.id).second) call.id = fmt::format("call_{}", next_call_id++);
    }
  }

  /// The record, the store and what the model sees again hold the same text, so it is made valid here.
  static void clean(Message& message) {
    message.content = valid_utf8(message.content);
    message.reasoning = valid_utf8(message.reasoning);
    for (auto& call : message.tool_calls) {
      call.id = valid_utf8(call.id);
      call.name = valid_utf8(call.name);
      call.arguments = valid_utf8(call.arguments);
    }
  }

  void run_calls(const std::vector<ToolCall>& calls);
  void tell_malformed(const std::string& problem);
};

void EpisodeDriver::Impl::run_calls(const std::vector<ToolCall>& calls) {
  for (std::size_t i = 0; i < calls.size() && !ended; ++i) {
    const ToolCall& call = calls[i];
    ToolOutcome outcome;
    if (i >= static_cast<std::size_t>(setup.limits.max_calls_per_message)) {
      outcome.content = fmt::format(R"({{"error":{{"code":"too_many_calls","message":"at most {} calls are run for one message"}}}})", setup.limits.max_calls_per_message);
      outcome.is_error = true;
    } else {
      try {
        outcome = setup.session.call(call.name, call.arguments);
      } catch (const std::exception& error) {
        const bool stopped = setup.session.is_stopped();
        episode.fault_class = stopped ? fault_name(FaultClass::Cancelled) : "environment";
        episode.fault_message = error.what();
        return end(stopped ? StopReason::Cancelled : StopReason::EnvironmentFault);
      }
    }
    ++episode.tool_calls;
    episode.tool_errors += outcome.is_error ? 1 : 0;
    append({.role = Role::Tool, .content = std::move(outcome.content), .reasoning = "", .tool_calls = {}, .tool_call_id = call.id, .tool_name = call.name});
    if (outcome.ends_episode) return end(StopReason::Submitted);
    if (episode.tool_calls >= setup.limits.max_tool_calls) return end(StopReason::ToolCallLimit);
  }
}

/// The model is told what was wrong with its call and may try again. This is a new user message, so some policies hide thinking from here on.
void EpisodeDriver::Impl::tell_malformed(const std::string& problem) {
  append({.role = Role::User, .content = fmt::format("Your last tool call could not be read: {}. Please write it again.", valid_utf8(problem)), .reasoning = "", .tool_calls = {}, .tool_call_id = "", .tool_name = ""});
  if (setup.thinking == ThinkingPolicy::All) return;
  if (!hidden) episode.messages = request.messages;
  hidden = true;
  apply_thinking_policy(request.messages, setup.thinking);
}

EpisodeDriver::EpisodeDriver(EpisodeSetup setup) : impl_(std::make_unique<Impl>(std::move(setup))) {
  Impl& impl = *impl_;
  impl.episode.run_id = impl.setup.run_id;
  impl.episode.task_id = impl.setup.task_id;
  impl.episode.sample = impl.setup.sample;
  impl.episode.attempt = impl.setup.attempt;
  impl.episode.seed = impl.setup.seed;
  impl.episode.started_unix_ms = unix_ms();
  impl.request.mode = impl.setup.mode;
  impl.request.sampling = impl.setup.sampling;
  impl.request.tools = impl.setup.tools;
  impl.request.deadline = impl.start + std::chrono::milliseconds(impl.setup.limits.max_wall_ms);
  impl.hidden = impl.setup.thinking == ThinkingPolicy::Last || impl.setup.thinking == ThinkingPolicy::None;
  if (!impl.setup.system_prompt.empty()) {
    impl.append({.role = Role::System, .content = impl.setup.system_prompt, .reasoning = "", .tool_calls = {}, .tool_call_id = "", .tool_name = ""});
  }
  impl.append({.role = Role::User, .content = impl.setup.user_prompt, .reasoning = "", .tool_calls = {}, .tool_call_id = "", .tool_name = ""});
}

EpisodeDriver::~EpisodeDriver() = default;
EpisodeDriver::EpisodeDriver(EpisodeDriver&&) noexcept = default;
EpisodeDriver& EpisodeDriver::operator=(EpisodeDriver&&) noexcept = default;

const ChatRequest* EpisodeDriver::next_request() {
  Impl& impl = *impl_;
  if (!impl.ended) impl.check_limits();
  if (impl.ended) return nullptr;
  // So that the limit of the episode is met exactly, not overshot by one reply.
  const std::int64_t tokens_left = impl.setup.limits.max_completion_tokens - impl.episode.usage.completion_tokens;
  impl.request.sampling.max_tokens = static_cast<int>(std::min<std::int64_t>(impl.setup.sampling.max_tokens, tokens_left));
  // Each reply draws anew: with one seed for all, a model that samples by (seed, position) would repeat its draws.
  if (const auto seed = impl.setup.sampling.seed) impl.request.sampling.seed = Rng(*seed).split(static_cast<std::uint64_t>(impl.episode.steps)).next() & 0x7fffffff;
  impl.asked = Clock::now();
  return &impl.request;
}

void EpisodeDriver::accept(ChatReply reply) {
  Impl& impl = *impl_;
  impl.count(reply);
  Message& message = reply.message;
  message.role = Role::Assistant;
  Impl::clean(message);
  if (impl.setup.mode == ThinkingMode::Chat) message.reasoning.clear();
  impl.fix_ids(message.tool_calls);
  const std::vector<ToolCall> calls = message.tool_calls;
  impl.episode.tokens.push_back(std::move(reply.tokens));
  impl.append(std::move(message));
  if (impl.hidden) apply_thinking_policy(impl.request.messages, impl.setup.thinking);
  if (reply.finish == FinishReason::ContentFilter) {
    return impl.end_with(StopReason::ModelFault, FaultClass::Rejected, "the provider withheld the reply, or the rest of it (finish_reason \"content_filter\")");
  }
  const bool malformed = !reply.malformed_call.empty();
  impl.malformed_in_a_row = malformed ? impl.malformed_in_a_row + 1 : 0;
  if (malformed) ++impl.episode.malformed_calls;
  if (malformed && impl.malformed_in_a_row >= impl.setup.limits.max_malformed_in_a_row) return impl.end(StopReason::MalformedLimit);
  if (!malformed && calls.empty()) {
    if (reply.finish == FinishReason::ContextFull) {
      return impl.end_with(StopReason::ContextLimit, FaultClass::ContextLength, "the reply was cut where prompt and reply fill the model's context");
    }
    return impl.end(reply.finish == FinishReason::Length ? StopReason::TokenLimit : StopReason::Answered);
  }
  impl.run_calls(calls);
  if (malformed && !impl.ended) impl.tell_malformed(reply.malformed_call);
}

void EpisodeDriver::fault(FaultClass fault, const std::string& message) {
  Impl& impl = *impl_;
  if (impl.ended) return;
  // A task whose own prompt does not fit says nothing about the agent, which was never heard.
  if (fault == FaultClass::ContextLength) return impl.end_with(impl.episode.steps > 0 ? StopReason::ContextLimit : StopReason::ModelFault, fault, message);
  if (fault == FaultClass::OutOfTime) return impl.end_out_of_time("; " + message);
  const std::int64_t limit = impl.setup.limits.max_wall_ms;
  if (fault == FaultClass::Timeout && Impl::milliseconds_since(impl.start) >= limit) {
    // An endpoint that said nothing for most of the time is what used it up; else the agent's earlier steps did.
    if (2 * Impl::milliseconds_since(impl.asked) < limit) return impl.end_out_of_time("; " + message);
  }
  impl.end_with(fault == FaultClass::Cancelled ? StopReason::Cancelled : StopReason::ModelFault, fault, message);
}

Episode EpisodeDriver::finish() {
  Impl& impl = *impl_;
  Episode episode = std::move(impl.episode);
  if (!impl.hidden) episode.messages = std::move(impl.request.messages);
  episode.answer = impl.setup.session.answer();
  episode.wall_ms = Impl::milliseconds_since(impl.start);
  if (is_infrastructure(episode.stop)) {
    episode.score.unscored_reason = fmt::format("{}: {}", stop_reason_name(episode.stop), episode.fault_message);
    return episode;
  }
  try {
    episode.score = impl.setup.judge(episode.answer);
  } catch (const std::exception& error) {
    episode.score = Score{};
    episode.score.unscored_reason = fmt::format("verifier fault: {}", error.what());
  }
  return episode;
}

Episode run_episode(ChatModel& model, EpisodeSetup setup, const CancelFlag& cancel) {
  setup.session.stop_when(cancel);
  EpisodeDriver driver(std::move(setup));
  while (const ChatRequest* request = driver.next_request()) {
    if (cancel.load(std::memory_order_relaxed)) {
      driver.fault(FaultClass::Cancelled, "the run was stopped");
      continue;
    }
    try {
      driver.accept(model.complete(*request, cancel));
    } catch (const ModelFault& fault) {
      driver.fault(fault.fault(), fault.what());
    } catch (const std::exception& error) {
      driver.fault(FaultClass::Protocol, fmt::format("unexpected error of the model: {}", error.what()));
    }
  }
  return driver.finish();
}

}  // namespace gauntlet

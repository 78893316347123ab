#include "inference/server/answer.h"

#include <fmt/format.h>

namespace gauntlet {

Answer::Answer(const AnswerSetting& setting, std::shared_ptr<Engine> engine, ResponseHead head, const GenerationOptions& options)
    : setting_(setting), head_(std::move(head)), options_(options), generation_(std::move(engine)) {
  ++setting_.metrics.active_requests;
}

Answer::~Answer() { --setting_.metrics.active_requests; }

Usage Answer::usage() const {
  Usage out{.prompt_tokens = prompt_tokens_, .completion_tokens = 0, .reasoning_tokens = 0, .cached_tokens = cached_};
  for (const auto& choice : choices_) {
    out.completion_tokens += choice->tokens();
    out.reasoning_tokens += choice->reasoning_tokens();
  }
  return out;
}

void Answer::take(const GenerationEvent& event, std::vector<ChoiceDelta>& deltas) {
  if (event.kind == GenerationEvent::Kind::Prompt) return take_prompt(event, deltas);
  const auto index = static_cast<std::size_t>(event.choice);
  Choice& choice = *choices_[index];
  if (ended_[index] != 0) return;
  if (event.kind == GenerationEvent::Kind::Token) {
    if (!begun_) setting_.metrics.add_first_token(std::chrono::duration<double>(std::chrono::steady_clock::now() - setting_.start).count());
    begun_ = true;
    if (choice.complete()) return;
    deltas[index].append(choice.token(event.token));
    if (choice.complete()) generation_.stop(event.choice);
    return;
  }
  if (event.finish == EngineFinish::Rejected) refuse_member(options_.constrained_by, event.failure);
  if (event.finish == EngineFinish::Failed) throw ApiRefusal(server_error(event.failure));
  if (event.finish == EngineFinish::Cancelled && !choice.complete()) throw ApiRefusal(server_error("the request was cancelled"));
  ended_[index] = 1;
  --running_;
  // Samples of one prompt found the same tokens in the cache.
  if (event.choice % options_.samples == 0) cached_ += event.cached;
  deltas[index].append(choice.end(event.finish));
}

Answer::Outcome Answer::run(const std::function<bool(std::vector<ChoiceDelta>&)>& emit, const std::function<bool()>& idle, const Presence& present) {
  using Clock = std::chrono::steady_clock;
  ended_.assign(choices_.size(), 0);
  running_ = choices_.size();
  auto looked = Clock::now(), spoke = looked;
  std::vector<ChoiceDelta> deltas(choices_.size());
  begin(deltas);
  if (!emit(deltas)) return Outcome::ClientLeft;
  while (running_ > 0) {
    const auto events = generation_.wait(setting_.limits.presence_check);
    const auto now = Clock::now();
    if (now - looked >= setting_.limits.presence_check) {
      looked = now;
      if (!present()) return Outcome::ClientLeft;
      if (setting_.must_end()) throw ApiRefusal(overloaded_error("the server is being stopped"));
    }
    if (events.empty()) {
      if (now - spoke < setting_.limits.silence) continue;
      spoke = now;
      if (!idle()) return Outcome::ClientLeft;
      continue;
    }
    deltas.assign(choices_.size(), {});
    for (const auto& event : events) take(event, deltas);
    spoke = now;
    if (!emit(deltas)) return Outcome::ClientLeft;
  }
  setting_.metrics.add_duration(std::chrono::duration<double>(Clock::now() - setting_.start).count());
  return Outcome::Finished;
}

std::string Answer::whole(const Presence& present) {
  std::vector<ChoiceDelta> all(choices_.size());
  const auto keep = [&](std::vector<ChoiceDelta>& deltas) {
    for (std::size_t i = 0; i < deltas.size(); ++i) all[i].append(std::move(deltas[i]));
    return true;
  };
  if (run(keep, [] { return true; }, present) == Outcome::ClientLeft) {
    setting_.metrics.count_left_client();
    return "";
  }
  return dump_json(body(all, usage()));
}

bool Answer::stream(const Writer& write, const Presence& present) {
  std::vector<char> spoken(choices_.size(), 0);
  const auto emit = [&](std::vector<ChoiceDelta>& deltas) {
    std::string events;
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      const auto place = spoken[i] != 0 ? StreamPlace::Later : StreamPlace::First;
      if (place == StreamPlace::Later && deltas[i].empty()) continue;
      spoken[i] = 1;
      events += sse_event(chunk(static_cast<int>(i), deltas[i], place));
    }
    return events.empty() || write(events);
  };
  std::string last;
  try {
    if (run(emit, [&] { return write(": waiting\n\n"); }, present) == Outcome::ClientLeft) {
      setting_.metrics.count_left_client();
      return false;
    }
    if (options_.include_usage) last = sse_event(usage_chunk(head_, object(), usage()));
  } catch (const ApiRefusal& refused) {
    last = sse_event(to_json(refused.error()));
  } catch (const std::exception& error) {
    // The headers are gone, so that this is the last place where the client can be told.
    last = sse_event(to_json(server_error(error.what())));
  }
  return write(last + "data: [DONE]\n\n");
}

}  // namespace gauntlet

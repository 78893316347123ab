#include "inference/server/choice.h"

#include <fmt/format.h>

#include <algorithm>

namespace gauntlet {
namespace {

/// What was cut by the client's own wish ended well; only a limit is "length".
std::string finish_word(EngineFinish finish, bool complete) { return !complete && (finish == EngineFinish::Length || finish == EngineFinish::ContextFull) ? "length" : "stop"; }

}  // namespace

void ChoiceDelta::append(ChoiceDelta next) {
  const auto add = [](auto& to, auto& from) { to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end())); };
  if (calls.empty()) first_call = next.first_call;
  reasoning += next.reasoning;
  content += next.content;
  add(calls, next.calls);
  add(tokens, next.tokens);
  if (!next.finish.empty()) finish = std::move(next.finish);
}

bool ends_choice(const GenerationOptions& options, std::int32_t id, std::int32_t end_id) {
  return (id == end_id && !options.ignore_end) || std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end();
}

ChatChoice::ChatChoice(ChatCodec& codec, const ChatCall& call, const EncodedChat& prompt, std::string call_prefix)
    : codec_(codec), call_(call), prompt_(prompt), call_prefix_(std::move(call_prefix)), decoder_(codec, call.request), stop_(call.options.stops) {}

void ChatChoice::take(std::vector<ReplyDelta> deltas, ChoiceDelta& out) {
  for (auto& delta : deltas) {
    if (complete_) return;
    switch (delta.kind) {
      case ReplyDelta::Kind::Reasoning:
        out.reasoning += delta.text;
        reasoning_tokens_ = tokens_;
        break;
      case ReplyDelta::Kind::Content:
        out.content += stop_.feed(delta.text);
        complete_ = stop_.stopped();
        break;
      case ReplyDelta::Kind::Call:
        // The format has no ids; they must be unique in a conversation, to which earlier replies belong.
        delta.call.id = fmt::format("{}_{}", call_prefix_, calls_);
        out.content += stop_.finish();
        if (out.calls.empty()) out.first_call = calls_;
        ++calls_;
        out.calls.push_back(std::move(delta.call));
        complete_ = !call_.parallel_calls;
        break;
    }
  }
}

ChoiceDelta ChatChoice::token(const EngineToken& token) {
  ChoiceDelta out;
  const std::int32_t id = token.token.id;
  ++tokens_;
  ids_.push_back(id);
  if (call_.logprobs || call_.options.return_ids) out.tokens.push_back({.id = id, .logprob = token.token.logprob, .top = token.top, .offset = 0});
  // The end token belongs to the format, and its reader expects it; other stop ids are not part of the reply.
  at_stop_id_ = id != codec_.end_id() && ends_choice(call_.options, id, codec_.end_id());
  if (!at_stop_id_) take(decoder_.feed(id), out);
  return out;
}

ChoiceDelta ChatChoice::end(EngineFinish finish) {
  ChoiceDelta out;
  const bool own_end = finish == EngineFinish::StopToken && !ids_.empty() && ids_.back() == codec_.end_id() && !complete_;
  const bool was_complete = complete_;
  take(decoder_.finish(own_end), out);
  if (!complete_) out.content += stop_.finish();
  if (own_end) codec_.remember(prompt_, ids_);
  out.finish = finish_word(finish, was_complete || complete_);
  if (calls_ > 0 && out.finish == "stop") out.finish = "tool_calls";
  return out;
}

TextChoice::TextChoice(const Tokenizer& tokenizer, const CompletionCall& call, std::vector<std::int32_t> prompt, std::int32_t end_id)
    : tokenizer_(tokenizer), call_(call), prompt_(std::move(prompt)), end_id_(end_id), stop_(call.options.stops) {}

std::size_t TextChoice::count(std::string_view text) {
  const std::size_t before = characters_;
  characters_ += static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  return before;
}

ChoiceDelta TextChoice::prompt(std::span<const float> logprobs, std::span<const TopTokens> top) {
  ChoiceDelta out;
  if (!call_.echo) return out;
  StreamDecoder stream;
  for (std::size_t i = 0; i < prompt_.size(); ++i) {
    const std::string text = tokenizer_.decode_next(stream, prompt_[i], SkipSpecial::Yes);
    const std::size_t offset = count(text);
    out.content += text;
    if (!call_.logprobs && !call_.options.return_ids) continue;
    ShownToken shown{.id = prompt_[i], .logprob = std::nullopt, .top = {}, .offset = offset};
    if (i > 0 && i - 1 < logprobs.size()) shown.logprob = logprobs[i - 1];
    if (i > 0 && i - 1 < top.size()) shown.top = top[i - 1];
    out.tokens.push_back(std::move(shown));
  }
  const std::string rest = stream.finish();
  count(rest);
  out.content += rest;
  return out;
}

ChoiceDelta TextChoice::token(const EngineToken& token) {
  ChoiceDelta out;
  if (call_.no_output) {
    complete_ = true;
    return out;
  }
  const std::int32_t id = token.token.id;
  ++tokens_;
  std::string text;
  if (!ends_choice(call_.options, id, end_id_)) text = tokenizer_.decode_next(stream_, id, SkipSpecial::Yes);
  const std::size_t offset = count(text);
  if (call_.logprobs || call_.options.return_ids) out.tokens.push_back({.id = id, .logprob = token.token.logprob, .top = token.top, .offset = offset});
  out.content = stop_.feed(text);
  complete_ = stop_.stopped();
  return out;
}

ChoiceDelta TextChoice::end(EngineFinish finish) {
  ChoiceDelta out;
  const bool was_complete = complete_;
  if (!complete_) {
    out.content = stop_.feed(stream_.finish());
    out.content += stop_.finish();
  }
  out.finish = call_.no_output ? "length" : finish_word(finish, was_complete);
  return out;
}

}  // namespace gauntlet

#include "cli/token_document.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/chat_markers.h"
#include "core/error.h"

namespace gauntlet {
namespace {

std::int32_t marker_id(const Tokenizer& tokenizer, std::string_view marker) {
  const std::int32_t id = tokenizer.find_id(marker);
  require(id >= 0 && tokenizer.is_marker(id), ErrorKind::Input, fmt::format("the tokenizer lacks the special token {} of DeepSeek's format", marker));
  return id;
}

bool same_pieces(std::span<const TextPiece> a, std::span<const TextPiece> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TextPiece& x, const TextPiece& y) { return x.origin == y.origin && x.text == y.text; });
}

}  // namespace

bool makes_several_calls(std::span<const Message> messages) {
  return std::any_of(messages.begin(), messages.end(), [](const Message& message) { return message.tool_calls.size() > 1; });
}

void mark_learnt(const Tokenizer& tokenizer, std::span<const std::int32_t> ids, std::span<const TextSpan> spans, std::size_t bytes, std::vector<std::uint8_t>& learnt) {
  const std::size_t first = learnt.size();
  learnt.resize(first + ids.size(), 1);
  if (spans.empty()) return;
  std::size_t at = 0;
  auto span = spans.begin();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t end = at + tokenizer.token_bytes(ids[i]).size();
    while (span != spans.end() && span->end <= at) ++span;
    if (span != spans.end() && span->begin < end) learnt[first + i] = 0;
    at = end;
  }
  if (at != bytes) std::fill(learnt.begin() + static_cast<std::ptrdiff_t>(first), learnt.end(), std::uint8_t{0});
}

DocumentEncoder::DocumentEncoder(std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), begin_(marker_id(*tokenizer_, chat_markers::kBos)), end_(marker_id(*tokenizer_, chat_markers::kEos)) {
  const std::int32_t user = marker_id(*tokenizer_, chat_markers::kUser);
  marker_id(*tokenizer_, chat_markers::kAssistant);
  for (const auto& token : tokenizer_->added_tokens()) {
    if (token.id == user) user_splits_ = !token.lstrip && !token.rstrip && !token.normalized;
  }
}

void DocumentEncoder::append_environment(const TrainingPart& part, TokenDocument& out) {
  std::vector<TextPiece> rest = part.pieces;
  if (user_splits_) {
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest[i].origin != Origin::Template) continue;
      const std::size_t at = rest[i].text.find(chat_markers::kUser);
      if (at == std::string::npos) continue;
      std::vector<TextPiece> head(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(i));
      head.push_back({.text = rest[i].text.substr(0, at), .origin = Origin::Template});
      rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(i));
      rest.front().text.erase(0, at);
      if (!same_pieces(head, head_)) {
        head_ids_ = tokenizer_->encode(head).ids;
        head_ = std::move(head);
      }
      out.ids.insert(out.ids.end(), head_ids_.begin(), head_ids_.end());
      break;
    }
  }
  const auto ids = tokenizer_->encode(rest).ids;
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
}

TokenDocument DocumentEncoder::encode(const TrainingText& text) {
  TokenDocument out;
  bool first = true;
  for (const auto& part : text) {
    if (part.agent) {
      const auto ids = tokenizer_->encode(part.pieces).ids;
      std::size_t bytes = 0;
      for (const auto& piece : part.pieces) bytes += piece.text.size();
      mark_learnt(*tokenizer_, ids, part.unlearned, bytes, out.learnt);
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    } else {
      if (first) {
        append_environment(part, out);
      } else {
        const auto ids = tokenizer_->encode(part.pieces).ids;
        out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      }
      out.learnt.resize(out.ids.size(), 0);
    }
    first = false;
  }
  return out;
}

std::vector<TokenDocument> DocumentEncoder::join(std::span<const TokenTrace> traces, const TrainingText& text, std::string& problem) const {
  std::vector<const TrainingPart*> replies;
  for (const auto& part : text) {
    if (part.agent) replies.push_back(&part);
  }
  problem.clear();
  if (replies.size() != traces.size()) problem = "not a token stream for each message";
  std::vector<TokenDocument> out;
  for (std::size_t i = 0; i < traces.size() && problem.empty(); ++i) {
    const TokenTrace& trace = traces[i];
    const bool goes_on = !out.empty() && trace.prompt_ids.size() >= out.back().ids.size() && std::equal(out.back().ids.begin(), out.back().ids.end(), trace.prompt_ids.begin());
    if (!goes_on) out.emplace_back();
    TokenDocument& document = out.back();
    document.ids.insert(document.ids.end(), trace.prompt_ids.begin() + static_cast<std::ptrdiff_t>(document.ids.size()), trace.prompt_ids.end());
    document.learnt.resize(document.ids.size(), 0);
    document.logprobs.resize(document.ids.size(), 0.0f);
    document.recorded.resize(document.ids.size(), 0);
    const auto known = static_cast<std::int32_t>(tokenizer_->vocab_size());
    if (document.ids.empty() || document.ids.front() != begin_ || trace.ids.empty() || trace.ids.back() != end_) problem = "a token stream that does not begin and end as this tokenizer's do";
    const auto foreign = [&](std::int32_t id) { return id < 0 || id >= known; };
    if (std::any_of(document.ids.begin(), document.ids.end(), foreign) || std::any_of(trace.ids.begin(), trace.ids.end(), foreign)) problem = "a token stream that is not this tokenizer's";
    if (trace.logprobs.size() != trace.ids.size()) problem = "a token stream without its log-probabilities";
    if (!problem.empty()) break;
    // Spans are of the text as the format writes it; a model may have sampled the same message in other words, of which then nothing can be said.
    const std::vector<TextSpan>& spans = replies[i]->unlearned;
    const std::string sampled = spans.empty() ? "" : tokenizer_->decode(trace.ids, SkipSpecial::No);
    const bool same = spans.empty() || sampled == replies[i]->text();
    mark_learnt(*tokenizer_, trace.ids, spans, same ? sampled.size() : sampled.size() + 1, document.learnt);
    document.ids.insert(document.ids.end(), trace.ids.begin(), trace.ids.end());
    document.logprobs.insert(document.logprobs.end(), trace.logprobs.begin(), trace.logprobs.end());
    document.recorded.resize(document.ids.size(), 1);
  }
  if (!problem.empty()) out.clear();
  return out;
}

}  // namespace gauntlet

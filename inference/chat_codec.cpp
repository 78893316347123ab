#include "inference/chat_codec.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {

ChatCodec::ChatCodec(const std::string& name, int vocab, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const PromptFormat> format)
    : tokenizer_(std::move(tokenizer)), format_(std::move(format)), end_id_(tokenizer_->find_id(format_->end_of_reply())) {
  require(end_id_ >= 0, ErrorKind::Input, fmt::format("{}: the tokenizer lacks {}, which ends a reply in the {} format", name, format_->end_of_reply(), format_->name()));
  require(static_cast<int>(tokenizer_->vocab_size()) <= vocab, ErrorKind::Input, fmt::format("{}: the tokenizer has {} ids, the model {}", name, tokenizer_->vocab_size(), vocab));
  for (std::size_t id = 0; id < tokenizer_->vocab_size(); ++id) longest_token_ = std::max(longest_token_, tokenizer_->token_bytes(static_cast<std::int32_t>(id)).size());
}

EncodedChat ChatCodec::encode(const ChatRequest& request, const std::function<void(std::size_t least_ids)>& check) {
  const auto pieces = format_->render(request);
  EncodedChat out{.text = MarkedText(pieces), .ids = {}, .smuggled = 0};
  if (check) check(least_ids(out.text.text.size()));
  std::vector<std::size_t> ends;  // places where a reply ends, by the template's own hand
  const std::string end_text = format_->end_of_reply();
  std::size_t at = 0;
  for (const auto& piece : pieces) {
    if (piece.origin == Origin::Template) {
      for (std::size_t found = piece.text.find(end_text); found != std::string::npos; found = piece.text.find(end_text, found + 1)) ends.push_back(at + found + end_text.size());
    }
    at += piece.text.size();
  }
  std::size_t known = 0;
  std::tie(known, out.ids) = memory_.recall(out.text, ends);
  std::vector<TextPiece> rest;
  at = 0;
  for (const auto& piece : pieces) {
    const std::size_t end = at + piece.text.size();
    if (end > known) rest.push_back({.text = piece.text.substr(std::max(known, at) - at), .origin = piece.origin});
    at = end;
  }
  const auto encoded = tokenizer_->encode(rest);
  out.ids.insert(out.ids.end(), encoded.ids.begin(), encoded.ids.end());
  out.smuggled = encoded.smuggled;
  return out;
}

void ChatCodec::remember(const EncodedChat& prompt, std::span<const std::int32_t> reply) {
  std::vector<std::int32_t> ids = prompt.ids;
  ids.insert(ids.end(), reply.begin(), reply.end());
  memory_.remember(prompt.text, tokenizer_->decode(reply, SkipSpecial::No), std::move(ids));
}

std::vector<ReplyDelta> ReplyDecoder::finish(bool complete) {
  auto out = reader_->feed(stream_.finish());
  auto last = reader_->finish(complete);
  out.insert(out.end(), std::make_move_iterator(last.begin()), std::make_move_iterator(last.end()));
  return out;
}

}  // namespace gauntlet

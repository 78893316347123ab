#include "inference/tokenizer.h"

#include <fmt/format.h>

#include <filesystem>
#include <unordered_map>

#include "core/error.h"
#include "inference/tokenizer_json.h"
#include "inference/utf8.h"
#include "inference/vocabulary.h"

namespace gauntlet {

struct Tokenizer::State {
  State(const TokenizerDocument& document, TokenizerSettings settings, const std::string& what)
      : table(build_token_table(document, settings.added, what)),
        pairs(table, build_merge_rules(document, table, what), {settings.ignore_merges, marker_ids(settings.added)}),
        words(settings.splits, what + ": /pre_tokenizer"),
        added(std::move(settings.added)),
        first_pass(tokens_where(added, false)),
        second_pass(tokens_where(added, true)),
        markers(marker_ids(added)) {
    for (std::size_t i = 0; i < added.size(); ++i) {
      added_by_content.emplace(added[i].content, added[i].id);
      if (added[i].special) specials.insert(added[i].id);
    }
  }

  static std::unordered_set<std::int32_t> marker_ids(const std::vector<AddedToken>& tokens) {
    std::unordered_set<std::int32_t> out;
    for (const AddedToken& token : tokens) {
      if (token.marker) out.insert(token.id);
    }
    return out;
  }

  static std::vector<AddedToken> tokens_where(const std::vector<AddedToken>& tokens, bool normalized) {
    std::vector<AddedToken> out;
    for (const AddedToken& token : tokens) {
      if (token.normalized == normalized) out.push_back(token);
    }
    return out;
  }

  TokenTable table;
  BytePairs pairs;
  PreTokenizer words;
  std::vector<AddedToken> added;
  AddedTokenMatcher first_pass, second_pass;
  std::unordered_set<std::int32_t> markers, specials;
  std::unordered_map<std::string_view, std::int32_t> added_by_content;  ///< keys are in `added`
};

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::load(const std::string& path) {
  std::error_code error;
  const std::string file = std::filesystem::is_directory(path, error) ? (std::filesystem::path(path) / "tokenizer.json").string() : path;
  const auto size = std::filesystem::file_size(file, error);
  if (error) fail(ErrorKind::Input, fmt::format("could not open {}: {}", file, error.message()));
  if (size > kLargestTokenizerFile) fail(ErrorKind::Input, fmt::format("{}: has {} bytes; a tokenizer has at most {}", file, size, kLargestTokenizerFile));
  return parse(read_text_file(file), file);
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& what) {
  const TokenizerDocument document = parse_tokenizer_document(json, what);
  return Tokenizer(std::make_unique<const State>(document, read_tokenizer_settings(document.rest, what), what));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  return encode(OriginText(text, special == SpecialTokens::Parse ? Origin::Template : Origin::Data)).ids;
}

Encoding Tokenizer::encode(std::span<const TextPiece> pieces) const { return encode(OriginText(pieces)); }

Encoding Tokenizer::encode(const OriginText& text) const {
  Encoding out;
  const TextSegment whole{0, text.text().size()};
  std::vector<TextSegment> coarse, segments;
  out.smuggled = state_->first_pass.segment(text, whole, coarse);
  for (const TextSegment& segment : coarse) {
    if (segment.id < 0) {
      out.smuggled += state_->second_pass.segment(text, segment, segments);
    } else {
      segments.push_back(segment);
    }
  }
  MatchBudget budget(text.text().size());
  PreTokenizer::Splitter splitter(state_->words, budget);
  std::vector<std::string_view> words;
  for (const TextSegment& segment : segments) {
    if (segment.id >= 0) {
      out.ids.push_back(segment.id);
      continue;
    }
    words.clear();
    splitter.split(text.text().substr(segment.begin, segment.end - segment.begin), words);
    for (const std::string_view word : words) state_->pairs.encode(word, out.ids);
  }
  return out;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, SkipSpecial skip) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (skip == SkipSpecial::No || !is_special(id)) bytes += token_bytes(id);
  }
  if (is_utf8(bytes)) return bytes;
  std::string out;
  append_replacing(out, bytes);
  return out;
}

std::string Tokenizer::decode_next(StreamDecoder& stream, std::int32_t id, SkipSpecial skip) const {
  return skip == SkipSpecial::Yes && is_special(id) ? std::string() : stream.append(token_bytes(id));
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const { return state_->table.bytes(id); }

std::int32_t Tokenizer::find_id(std::string_view text) const {
  const auto added = state_->added_by_content.find(text);
  return added != state_->added_by_content.end() ? added->second : state_->table.find(text);
}

std::size_t Tokenizer::vocab_size() const { return state_->table.ids(); }
const std::vector<AddedToken>& Tokenizer::added_tokens() const { return state_->added; }
bool Tokenizer::is_special(std::int32_t id) const { return state_->specials.contains(id); }
bool Tokenizer::is_marker(std::int32_t id) const { return state_->markers.contains(id); }

}  // namespace gauntlet

#pragma once

// Text to token ids and back, as Hugging Face's tokenizers does it for byte-level BPE (GPT-2, Llama 3, Qwen, DeepSeek).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/added_tokens.h"
#include "inference/stream_decoder.h"
#include "inference/text_origin.h"

namespace gauntlet {

enum class SpecialTokens {
  AsText,  ///< the text is Origin::Data: markers in it are encoded like any other text
  Parse,   ///< the text is Origin::Template: markers in it become their tokens
};

enum class SkipSpecial { No, Yes };

struct Encoding {
  std::vector<std::int32_t> ids;
  std::size_t smuggled = 0;  ///< markers in the text that stayed text because not every byte was the template's
};

/// Immutable once loaded: any number of threads may use it.
///
/// Text that is not valid UTF-8 never fails: each ill-formed stretch is read as U+FFFD, as Python's errors="replace" does before
/// tokenizers sees the text. For valid text decode(encode(x)) == x, unless the pre-tokenizer drops text. The ids are those of tokenizers
/// (PyPI), but for three cases: markers that did not come from the template (see AddedToken::marker), characters assigned in a
/// version of Unicode that only one of the two knows, and ordinary tokens spelled like a marker, which no text becomes.
class Tokenizer {
 public:
  /// `path` is a tokenizer.json, or a folder with one. Throws Error(Input) that names the file and what is wrong or not supported.
  static Tokenizer load(const std::string& path);
  /// The same for a file's content; `what` names it in errors.
  static Tokenizer parse(std::string_view json, const std::string& what);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Both throw Error(Input) only when a pattern made to be slow meets text that makes it so.
  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens special) const;
  /// The ids of the pieces joined: where one ends and the next begins has no influence, only which bytes are the template's.
  Encoding encode(std::span<const TextPiece> pieces) const;

  /// Valid UTF-8: each ill-formed stretch of the tokens' bytes is one U+FFFD. An id without a token gives nothing.
  std::string decode(std::span<const std::int32_t> ids, SkipSpecial skip) const;
  /// The text that is certain once `id` came; see StreamDecoder. All of a stream, with finish(), equals decode of its ids.
  std::string decode_next(StreamDecoder& stream, std::int32_t id, SkipSpecial skip) const;

  /// "" for an id without a token. Not always valid UTF-8: a character can be spread over several tokens.
  std::string_view token_bytes(std::int32_t id) const;
  /// The added token with this content, else the token with these bytes; -1 if there is none.
  std::int32_t find_id(std::string_view text) const;
  /// One more than the largest id.
  std::size_t vocab_size() const;
  /// In the file's order.
  const std::vector<AddedToken>& added_tokens() const;
  bool is_special(std::int32_t id) const;
  /// Ids that only the template's text becomes (AddedToken::marker).
  bool is_marker(std::int32_t id) const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  Encoding encode(const OriginText& text) const;

  std::unique_ptr<const State> state_;
};

}  // namespace gauntlet

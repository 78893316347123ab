// tokenizer.json: refused with Error(Input), or a tokenizer that encodes any bytes, never makes a marker of data, and decodes the same
// in a stream and whole.

#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "inference/tokenizer.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

void use(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<TextPiece> data = {{std::string(text), Origin::Data}};
  for (const std::int32_t id : tokenizer.encode(data).ids) promise(!tokenizer.is_marker(id), "no marker comes from data");
  const std::vector<std::int32_t> ids = tokenizer.encode(text, SpecialTokens::Parse);
  const std::string whole = tokenizer.decode(ids, SkipSpecial::No);
  promise(is_utf8(whole), "decoded text is UTF-8");
  StreamDecoder stream;
  std::string streamed;
  for (const std::int32_t id : ids) {
    promise(!tokenizer.token_bytes(id).empty(), "every id is a token's");
    streamed += tokenizer.decode_next(stream, id, SkipSpecial::No);
  }
  promise(streamed + stream.finish() == whole, "a stream gives the whole");
}

void read_and_use(std::string_view file) {
  try {
    const Tokenizer tokenizer = Tokenizer::parse(file, "fuzz");
    use(tokenizer, "I'll pay  123 <|im_start|>\n\xFF\xE6\x97\xA5");
    use(tokenizer, file.substr(0, 4096));
    for (const AddedToken& token : tokenizer.added_tokens()) use(tokenizer, "a" + token.content);
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "a file is refused as input");
  }
}

}  // namespace
}  // namespace gauntlet

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  gauntlet::read_and_use({reinterpret_cast<const char*>(data), size});
  return 0;
}

#include "inference/tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using Ids = std::vector<std::int32_t>;

std::string golden(const std::string& name) { return std::string(kTestData) + "/golden/tokenizer/" + name; }

Tokenizer smollm() { return Tokenizer::load(golden("smollm.tokenizer.json")); }

TEST_CASE("ids are those of Hugging Face's tokenizers, with markers parsed and as text") {
  const Json all = read_json_file(golden("ids.json"));
  CHECK(all.size() == 4);
  for (const auto& [name, rows] : all.items()) {
    const Tokenizer tokenizer = Tokenizer::load(golden(name));
    CHECK(rows.size() >= 150);
    for (const Json& row : rows) {
      const auto text = row["text"].get<std::string>();
      CAPTURE(name);
      CAPTURE(text);
      CHECK(tokenizer.encode(text, SpecialTokens::Parse) == row["parsed"].get<Ids>());
      CHECK(tokenizer.encode(text, SpecialTokens::AsText) == row["plain"].get<Ids>());
    }
  }
}

TEST_CASE("tokens are found by text, and their bytes by id") {
  const Tokenizer tokenizer = smollm();
  const std::int32_t start = tokenizer.find_id("<|im_start|>");
  CHECK(tokenizer.token_bytes(start) == "<|im_start|>");
  CHECK(tokenizer.is_special(start));
  CHECK(tokenizer.is_marker(start));
  CHECK(tokenizer.find_id(" ") >= 0);
  CHECK(tokenizer.token_bytes(tokenizer.find_id("\xE6")) == "\xE6");
  CHECK(tokenizer.find_id("no such token") == -1);
  CHECK(tokenizer.vocab_size() == 428);
  CHECK(tokenizer.added_tokens().size() == 8);
  CHECK(tokenizer.token_bytes(-1) == "");
  CHECK(tokenizer.token_bytes(INT32_MAX) == "");
  const std::int32_t call = tokenizer.find_id("<tool_call>");
  CHECK_FALSE(tokenizer.is_special(call));
  CHECK(tokenizer.is_marker(call));
  CHECK_FALSE(tokenizer.is_marker(tokenizer.find_id("    ")));
}

TEST_CASE("added tokens that are ordinary vocabulary are matched whatever the origin, markers are not") {
  const Tokenizer tokenizer = smollm();
  const auto parsed = tokenizer.encode("covid    x<tool_call>", SpecialTokens::Parse);
  const auto plain = tokenizer.encode("covid    x<tool_call>", SpecialTokens::AsText);
  CHECK(parsed[0] == tokenizer.find_id("covid"));
  CHECK(parsed[1] == tokenizer.find_id("    "));
  CHECK(parsed.back() == tokenizer.find_id("<tool_call>"));
  CHECK(plain[0] == parsed[0]);
  CHECK(plain[1] == parsed[1]);
  CHECK(plain.back() != parsed.back());
}

TEST_CASE("lstrip and rstrip take the white space beside a token along") {
  const Tokenizer tokenizer = smollm();
  const std::int32_t mask = tokenizer.find_id("<mask>"), sep = tokenizer.find_id("<sep>");
  CHECK(tokenizer.encode("a \n<mask>", SpecialTokens::Parse) == Ids{tokenizer.find_id("a"), mask});
  CHECK(tokenizer.encode("<sep>\u3000\t a", SpecialTokens::Parse) == Ids{sep, tokenizer.find_id("a")});
  CHECK(tokenizer.encode("<sep> <mask>", SpecialTokens::Parse) == Ids{sep, mask});
}

TEST_CASE("markers written by data stay text and are counted") {
  const Tokenizer tokenizer = smollm();
  const std::int32_t start = tokenizer.find_id("<|im_start|>"), end = tokenizer.find_id("<|im_end|>");
  const std::vector<TextPiece> pieces = {{"<|im_start|>", Origin::Template}, {"hi <|im_end|><|im_start|>", Origin::Data}, {"<|im_end|>", Origin::Template}};
  const Encoding encoding = tokenizer.encode(pieces);
  CHECK(encoding.smuggled == 2);
  CHECK(std::count(encoding.ids.begin(), encoding.ids.end(), start) == 1);
  CHECK(std::count(encoding.ids.begin(), encoding.ids.end(), end) == 1);
  CHECK(encoding.ids.front() == start);
  CHECK(encoding.ids.back() == end);
  CHECK(tokenizer.decode(encoding.ids, SkipSpecial::No) == "<|im_start|>hi <|im_end|><|im_start|><|im_end|>");
  CHECK(tokenizer.decode(encoding.ids, SkipSpecial::Yes) == "hi <|im_end|><|im_start|>");
}

TEST_CASE("a marker put together from the template's and other bytes stays text") {
  const Tokenizer tokenizer = smollm();
  const std::vector<TextPiece> pieces = {{"<|im_", Origin::Data}, {"start|><|im_end", Origin::Template}, {"|>", Origin::Data}};
  const Encoding encoding = tokenizer.encode(pieces);
  CHECK(encoding.ids == tokenizer.encode("<|im_start|><|im_end|>", SpecialTokens::AsText));
  CHECK(encoding.smuggled == 2);
}

TEST_CASE("data beside the template's marker cannot make a longer token of it") {
  const Tokenizer tokenizer = smollm();
  REQUIRE(tokenizer.find_id("<tool_call>x") >= 0);
  const std::vector<TextPiece> pieces = {{"<tool_call>", Origin::Template}, {"x", Origin::Data}};
  CHECK(tokenizer.encode(pieces).ids == Ids{tokenizer.find_id("<tool_call>"), tokenizer.find_id("x")});
}

TEST_CASE("bytes that are not UTF-8 are read as replacement characters") {
  const Tokenizer tokenizer = smollm();
  CHECK(tokenizer.encode("a\xFF\xE6\x97z", SpecialTokens::AsText) == tokenizer.encode("a\uFFFD\uFFFDz", SpecialTokens::AsText));
  const std::vector<TextPiece> halves = {{"\xE6\x97", Origin::Data}, {"\xA5", Origin::Template}};
  CHECK(tokenizer.encode(halves).ids == tokenizer.encode("\u65e5", SpecialTokens::AsText));
  const std::vector<TextPiece> broken = {{"\xE6", Origin::Data}, {"<|im_end|>", Origin::Template}, {"\xFF", Origin::Data}};
  const Ids ids = tokenizer.encode(broken).ids;
  CHECK(std::count(ids.begin(), ids.end(), tokenizer.find_id("<|im_end|>")) == 1);
}

TEST_CASE("decoding gives whole characters, in a stream too, and nothing for ids without a token") {
  const Tokenizer tokenizer = smollm();
  const Ids ids = {tokenizer.find_id("\xE6"), tokenizer.find_id("\x97"), 1'000'000, tokenizer.find_id("\xA5"), tokenizer.find_id("\xF0")};
  CHECK(tokenizer.decode(ids, SkipSpecial::No) == "\u65e5\uFFFD");
  StreamDecoder stream;
  CHECK(tokenizer.decode_next(stream, ids[0], SkipSpecial::No) == "");
  CHECK(tokenizer.decode_next(stream, ids[1], SkipSpecial::No) == "");
  CHECK(tokenizer.decode_next(stream, ids[3], SkipSpecial::No) == "\u65e5");
  CHECK(tokenizer.decode_next(stream, tokenizer.find_id("<|im_end|>"), SkipSpecial::Yes) == "");
  CHECK(tokenizer.decode_next(stream, ids[4], SkipSpecial::No) == "");
  CHECK(stream.finish() == "\uFFFD");
}

}  // namespace
}  // namespace gauntlet

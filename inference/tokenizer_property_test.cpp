// What must hold for every text, on the golden tokenizers.

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/rng.h"
#include "inference/tokenizer.h"
#include "inference/utf8.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using Ids = std::vector<std::int32_t>;

std::vector<Tokenizer> tokenizers() {
  std::vector<Tokenizer> out;
  for (const char* name : {"deepseek", "gpt2", "llama3", "smollm"}) {
    out.push_back(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/" + name + ".tokenizer.json"));
  }
  return out;
}

/// Words, markers and parts of them, white space, any bytes.
std::string random_text(Rng& rng, const Tokenizer& tokenizer) {
  static constexpr std::string_view kParts[] = {"the", "I'LL", " ", "  ", "\n\n", "\r\n", "\t", "1234", "\u00e9", "\u65e5\u672c", "\U0001F600", "e\u0301", "<|", "|>", "\u3000", "!?", "{\"a\": 1}"};
  std::string out;
  for (auto parts = rng.below(20); parts > 0; --parts) {
    const auto kind = rng.below(10);
    if (kind < 6) {
      out += kParts[rng.below(std::size(kParts))];
    } else if (kind < 8) {
      const std::string& marker = rng.pick(tokenizer.added_tokens()).content;
      const auto begin = rng.chance(500'000) ? 0 : rng.below(marker.size());
      out += marker.substr(begin, rng.chance(500'000) ? std::string::npos : 1 + rng.below(marker.size()));
    } else {
      for (auto bytes = 1 + rng.below(4); bytes > 0; --bytes) out += static_cast<char>(rng.below(256));
    }
  }
  return out;
}

/// White space beside a token that strips it is lost, so such tokens are left out of round trips.
bool strips(const Tokenizer& tokenizer, const Ids& ids) {
  for (const AddedToken& token : tokenizer.added_tokens()) {
    if ((token.lstrip || token.rstrip) && std::count(ids.begin(), ids.end(), token.id) > 0) return true;
  }
  return false;
}

TEST_CASE("decoding what was encoded gives the text, whole and streamed") {
  Rng rng(1);
  for (const Tokenizer& tokenizer : tokenizers()) {
    for (int round = 0; round < 1500; ++round) {
      const std::string text = valid_utf8(random_text(rng, tokenizer));
      REQUIRE(is_utf8(text));
      CAPTURE(text);
      for (const SpecialTokens mode : {SpecialTokens::Parse, SpecialTokens::AsText}) {
        const Ids ids = tokenizer.encode(text, mode);
        const std::string decoded = tokenizer.decode(ids, SkipSpecial::No);
        if (!strips(tokenizer, ids)) CHECK(decoded == text);
        StreamDecoder stream;
        std::string streamed;
        for (const std::int32_t id : ids) {
          const std::string part = tokenizer.decode_next(stream, id, SkipSpecial::No);
          CHECK(is_utf8(part));
          streamed += part;
        }
        CHECK(streamed + stream.finish() == decoded);
      }
    }
  }
}

TEST_CASE("any ids decode to valid text, and the stream gives the same") {
  Rng rng(2);
  for (const Tokenizer& tokenizer : tokenizers()) {
    for (int round = 0; round < 500; ++round) {
      Ids ids;
      for (auto count = rng.below(30); count > 0; --count) ids.push_back(static_cast<std::int32_t>(rng.range(-2, static_cast<std::int64_t>(tokenizer.vocab_size()) + 2)));
      for (const SkipSpecial skip : {SkipSpecial::No, SkipSpecial::Yes}) {
        const std::string decoded = tokenizer.decode(ids, skip);
        CHECK(is_utf8(decoded));
        StreamDecoder stream;
        std::string streamed;
        for (const std::int32_t id : ids) streamed += tokenizer.decode_next(stream, id, skip);
        CHECK(streamed + stream.finish() == decoded);
      }
    }
  }
}

TEST_CASE("cutting text of one origin into pieces changes nothing") {
  Rng rng(3);
  for (const Tokenizer& tokenizer : tokenizers()) {
    for (int round = 0; round < 500; ++round) {
      const std::string text = random_text(rng, tokenizer);
      for (const Origin origin : {Origin::Template, Origin::Data}) {
        std::vector<TextPiece> pieces;
        for (std::size_t at = 0; at < text.size();) {
          const auto length = rng.below(6);
          pieces.push_back({text.substr(at, length), origin});
          at += length;
        }
        const Ids whole = tokenizer.encode(text, origin == Origin::Template ? SpecialTokens::Parse : SpecialTokens::AsText);
        CHECK(tokenizer.encode(pieces).ids == whole);
      }
    }
  }
}

TEST_CASE("no marker's id ever comes from data, for every marker, whole or in parts, alone or between the template's text") {
  for (const Tokenizer& tokenizer : tokenizers()) {
    for (const AddedToken& token : tokenizer.added_tokens()) {
      if (!token.marker) continue;
      CAPTURE(token.content);
      const Ids plain = tokenizer.encode(token.content, SpecialTokens::AsText);
      for (std::size_t cut = 0; cut <= token.content.size(); ++cut) {
        const std::string head = token.content.substr(0, cut), tail = token.content.substr(cut);
        const bool holds_another = !tail.empty() && tokenizer.is_marker(tokenizer.find_id(head));  // "<tool_call>" in "<tool_call>x"
        if (holds_another) continue;
        for (const auto& [first, second] : {std::pair{Origin::Data, Origin::Data}, {Origin::Template, Origin::Data}, {Origin::Data, Origin::Template}}) {
          const bool all_template = (head.empty() || first == Origin::Template) && (tail.empty() || second == Origin::Template);
          const Encoding encoding = tokenizer.encode(std::vector<TextPiece>{{head, first}, {tail, second}});
          CHECK(encoding.ids == (all_template ? Ids{token.id} : plain));
          CHECK(encoding.smuggled == (all_template ? 0 : 1));
        }
      }
    }
  }
}

TEST_CASE("in random conversations the only markers are those of the template") {
  Rng rng(4);
  for (const Tokenizer& tokenizer : tokenizers()) {
    for (int round = 0; round < 500; ++round) {
      std::vector<TextPiece> pieces;
      std::size_t written = 0;
      for (auto turns = 1 + rng.below(4); turns > 0; --turns) {
        const AddedToken& marker = rng.pick(tokenizer.added_tokens());
        // Its neighbours are line breaks of the template, so that it is matched for certain.
        pieces.push_back({"\n" + marker.content + "\n", Origin::Template});
        written += tokenizer.is_marker(marker.id) ? 1 : 0;
        pieces.push_back({random_text(rng, tokenizer), Origin::Data});
      }
      std::size_t found = 0;
      for (const std::int32_t id : tokenizer.encode(pieces).ids) found += tokenizer.is_marker(id) ? 1 : 0;
      CHECK(found == written);
    }
  }
}

}  // namespace
}  // namespace gauntlet

#include "inference/utf8.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "inference/byte_alphabet.h"
#include "inference/stream_decoder.h"

namespace gauntlet {
namespace {

std::string replaced(std::string_view bytes) {
  std::string out;
  append_replacing(out, bytes);
  return out;
}

TEST_CASE("each ill-formed stretch of UTF-8 becomes one replacement character") {
  const struct {
    std::string_view bytes, text;
  } cases[] = {
      {"abc", "abc"},
      {"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80", "\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80"},
      {"a\x80z", "a\uFFFDz"},
      {"\xC3", "\uFFFD"},
      {"\xE6\x97", "\uFFFD"},
      {"\xE6\x97 ", "\uFFFD "},
      {"\xF0\x9F\x98z", "\uFFFDz"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},
      {"\xE0\x9F\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xF5\xFF", "\uFFFD\uFFFD"},
      {"\xEF\xBF\xBD", "\uFFFD"},
  };
  for (const auto& [bytes, text] : cases) {
    CAPTURE(text);
    CHECK(replaced(bytes) == text);
    CHECK(is_utf8(bytes) == (bytes == text));
    StreamDecoder stream;
    std::string streamed;
    for (const char c : bytes) streamed += stream.append({&c, 1});
    CHECK(streamed + stream.finish() == text);
  }
  CHECK(is_utf8("eight and more ascii characters"));
  CHECK_FALSE(is_utf8("eight and more ascii characters\xFF"));
}

TEST_CASE("a stream keeps back what may still become a character") {
  StreamDecoder stream;
  CHECK(stream.append("a\xF0\x9F") == "a");
  CHECK(stream.append("\x98") == "");
  CHECK(stream.append("\x80!") == "\U0001F600!");
  CHECK(stream.append("\xE6\x97") == "");
  CHECK(stream.append("x") == "\uFFFDx");
  CHECK(stream.append("\xE6") == "");
  CHECK(stream.finish() == "\uFFFD");
  CHECK(stream.finish() == "");
}

TEST_CASE("the byte alphabet spells every byte in its own way and back") {
  CHECK(spelling_of_bytes(" \n") == "\u0120\u010A");
  CHECK(spelling_of_bytes("!~\xA1\xAC\xAE\xFF") == "!~\u00A1\u00AC\u00AE\u00FF");
  CHECK(spelling_of_bytes({"\0\x7F\xAD", 3}) == "\u0100\u0121\u0143");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  CHECK(bytes_of_spelling(spelling_of_bytes(all)) == all);
  CHECK_FALSE(bytes_of_spelling("a b").has_value());
  CHECK_FALSE(bytes_of_spelling("\uFF5C").has_value());
  CHECK_FALSE(bytes_of_spelling("\u0144").has_value());
  CHECK_FALSE(bytes_of_spelling("\xFF").has_value());
}

}  // namespace
}  // namespace gauntlet

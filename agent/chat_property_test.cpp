// Properties over random conversations and texts: round trip, independence of chunks, and an answer to everything.

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/chat_format.h"
#include "agent/chat_stream.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

const std::vector<std::string> kPieces = {"a", "word ", "\n", "\n\n", " ", "<", ">", "\"", "\\", "{\"k\": [1,2]}", "中文", "🙂", "é", "{x}", "%s",
                                          "0", "-1.50", "null", "</", "<｜", "\t", "\x01", "<b>", "function_calls"};

const std::vector<std::string> kMarkup = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>", "｜DSML｜", "\n\n<｜DSML｜function_calls>\n",
                                          "<｜DSML｜function_calls", "</｜DSML｜function_calls>", "<｜DSML｜invoke name=\"f\">\n", "<｜DSML｜invoke name=\"submit\"/>",
                                          "<｜DSML｜invoke", "</｜DSML｜invoke>\n", "<｜DSML｜parameter name=\"k\" string=\"true\">", "<｜DSML｜parameter name=\"n\" string=\"false\">",
                                          "</｜DSML｜parameter>\n", "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>",
                                          "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "\xff", "\xef\xbd"};

std::string random_text(Rng& rng, std::size_t most) {
  std::string out;
  for (std::uint64_t n = rng.below(most + 1); n > 0; --n) out += rng.pick(kPieces);
  return out;
}

Json random_value(Rng& rng, int depth) {
  switch (rng.below(depth > 2 ? 5 : 7)) {
    case 0: return random_text(rng, 5);
    case 1: return rng.range(-1'000'000, 1'000'000);
    case 2: return static_cast<double>(rng.range(-1'000'000, 1'000'000)) / 1024.0;
    case 3: return rng.chance(500'000);
    case 4: return nullptr;
    case 5: return Json::array({random_value(rng, depth + 1), random_value(rng, depth + 1)});
    default: return {{"k" + random_text(rng, 1), random_value(rng, depth + 1)}};
  }
}

/// A message that the model could have written: its own markup does not stand in its texts.
Message random_message(Rng& rng, ThinkingMode mode) {
  Message message;
  message.role = Role::Assistant;
  message.content = random_text(rng, 8);
  if (mode == ThinkingMode::Thinking) message.reasoning = "r" + random_text(rng, 8);
  for (std::uint64_t calls = rng.below(4); calls > 0; --calls) {
    Json arguments = Json::object();
    for (std::uint64_t n = rng.below(4); n > 0; --n) arguments["key " + std::to_string(n)] = random_value(rng, 0);
    message.tool_calls.push_back({.id = {}, .name = "tool_" + std::to_string(calls), .arguments = dump_json(arguments)});
  }
  return message;
}

std::string encode_answer(const Message& message, ThinkingMode mode) {
  ChatPrompt prompt;
  prompt.mode = mode;
  prompt.context = Json::parse(R"([{"role": "user", "content": "q"}])");
  prompt.messages = Json::array({chat_message_json(message)});
  const ChatEncoding encoding = encode_chat(prompt);
  REQUIRE_FALSE(encoding.error.has_value());
  return encoding.text();
}

Json with_values(const Message& message) {
  Json value = chat_message_json(message);
  for (Json& call : value["tool_calls"]) call["function"]["arguments"] = Json::parse(call["function"]["arguments"].get<std::string>());
  return value;
}

/// The message by deltas, fed with cuts after the given numbers of bytes.
Message stream_in_pieces(const std::string& text, ThinkingMode mode, const std::vector<std::size_t>& cuts) {
  ChatStream stream(mode);
  Message joined;
  joined.role = Role::Assistant;
  const auto add = [&](const std::vector<ChatDelta>& deltas) {
    for (const ChatDelta& delta : deltas) {
      if (delta.kind == ChatDelta::Kind::Reasoning) joined.reasoning += delta.text;
      if (delta.kind == ChatDelta::Kind::Content) joined.content += delta.text;
      if (delta.kind == ChatDelta::Kind::Call) joined.tool_calls.push_back(delta.call);
    }
  };
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    add(stream.feed(std::string_view(text).substr(from, cut - from)));
    from = cut;
  }
  add(stream.feed(std::string_view(text).substr(from)));
  add(stream.finish());
  CHECK((joined == stream.message()));
  return joined;
}

std::string random_markup(Rng& rng) {
  std::string out;
  for (std::uint64_t n = rng.below(24); n > 0; --n) out += rng.chance(650'000) ? rng.pick(kMarkup) : rng.pick(kPieces);
  return out;
}

std::string mutated(Rng& rng, std::string text) {
  for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
    const std::size_t at = rng.below(text.size() + 1);
    const std::size_t length = std::min<std::size_t>(rng.below(12), text.size() - at);
    switch (rng.below(4)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, rng.pick(kMarkup)); break;
      case 2: text.insert(at, rng.pick(kPieces)); break;
      default: if (at < text.size()) text[at] = static_cast<char>(rng.below(256)); break;
    }
  }
  return text;
}

ThinkingMode random_mode(Rng& rng) { return rng.chance(500'000) ? ThinkingMode::Thinking : ThinkingMode::Chat; }

}  // namespace

TEST_CASE("what is encoded is parsed back, strictly and leniently, over 2,000 random messages") {
  Rng rng(20'260'101);
  for (int i = 0; i < 2'000; ++i) {
    const ThinkingMode mode = random_mode(rng);
    const Message message = random_message(rng, mode);
    const std::string text = encode_answer(message, mode);
    CAPTURE(text);
    const ChatParse strict = parse_chat(text, mode);
    REQUIRE_FALSE(strict.error.has_value());
    CHECK(with_values(strict.message) == with_values(message));
    // Encoding what was parsed gives the same text again.
    CHECK(encode_answer(strict.message, mode) == text);
    const ChatParse lenient = parse_chat_lenient(text, mode);
    CHECK(lenient.problems.empty());
    CHECK(dump_json(chat_message_json(lenient.message)) == dump_json(chat_message_json(strict.message)));
  }
}

TEST_CASE("every cut of a text in two, and every text byte by byte, gives the message of the whole") {
  Rng rng(7);
  for (int i = 0; i < 150; ++i) {
    const ThinkingMode mode = random_mode(rng);
    const std::string text = i % 2 == 0 ? random_markup(rng) : mutated(rng, encode_answer(random_message(rng, mode), mode));
    const Message whole = parse_chat_lenient(text, mode).message;
    CAPTURE(text);
    std::vector<std::size_t> each;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      each.push_back(cut);
      REQUIRE((stream_in_pieces(text, mode, {cut}) == whole));
    }
    REQUIRE((stream_in_pieces(text, mode, each) == whole));
  }
}

TEST_CASE("10,000 mutated texts are all answered, and random chunks never change the answer") {
  Rng rng(99);
  for (int i = 0; i < 10'000; ++i) {
    const ThinkingMode mode = random_mode(rng);
    const std::string text = i % 3 == 0 ? random_markup(rng) : mutated(rng, encode_answer(random_message(rng, mode), mode));
    CAPTURE(text);
    const ChatParse strict = parse_chat(text, mode);
    if (strict.error) CHECK_FALSE(strict.error->message.empty());
    const ChatParse lenient = parse_chat_lenient(text, mode);
    CHECK_FALSE(lenient.error.has_value());
    for (const ToolCall& call : lenient.message.tool_calls) {
      CHECK_FALSE(call.name.empty());
      CHECK(Json::parse(call.arguments, nullptr, false).is_object());
    }
    std::vector<std::size_t> cuts;
    for (std::size_t at = rng.below(9); at < text.size(); at += 1 + rng.below(9)) cuts.push_back(at);
    CHECK((stream_in_pieces(text, mode, cuts) == lenient.message));
  }
}

TEST_CASE("hostile repetition is read in one pass") {
  for (const std::string& piece : kMarkup) {
    std::string text;
    while (text.size() < 300'000) text += piece;
    CHECK_FALSE(parse_chat_lenient(text, ThinkingMode::Chat).error.has_value());
    parse_chat(text, ThinkingMode::Chat);
  }
}

}  // namespace gauntlet

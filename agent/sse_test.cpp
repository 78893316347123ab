#include "agent/sse.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"

namespace gauntlet {
namespace {

std::vector<std::string> events_of(std::string_view text, std::size_t piece_size) {
  std::vector<std::string> events;
  const auto collect = [&](std::string_view data) { events.emplace_back(data); };
  SseParser parser(1000);
  for (std::size_t at = 0; at < text.size(); at += piece_size) parser.feed(text.substr(at, piece_size), collect);
  parser.finish(collect);
  return events;
}

}  // namespace

TEST_CASE("events are the same however the stream is cut into pieces") {
  const std::string text =
      "\xEF\xBB\xBF: a comment\r\ndata: one\r\n\r\nevent: x\rdata:two\rdata: three\r\rid: 7\n\ndata\n\ndata: [DONE]";
  const std::vector<std::string> expected = {"one", "two\nthree", "", "[DONE]"};
  for (std::size_t size = 1; size <= text.size(); ++size) {
    CAPTURE(size);
    CHECK(events_of(text, size) == expected);
  }
}

TEST_CASE("only one leading space of the data is dropped") {
  CHECK(events_of("data:   x \n\n", 100) == std::vector<std::string>{"  x "});
}

TEST_CASE("a field whose name only begins with data is not data") { CHECK(events_of("database: x\n\n", 100).empty()); }

TEST_CASE("a line or an event longer than allowed is refused") {
  const auto ignore = [](std::string_view) {};
  SseParser line(10);
  CHECK_THROWS_AS(line.feed("data: 12345", ignore), Error);
  SseParser event(10);
  event.feed("data: 1234\n", ignore);
  event.feed("data: 123\n", ignore);
  CHECK_THROWS_AS(event.feed("data: 12\n", ignore), Error);
}

}  // namespace gauntlet

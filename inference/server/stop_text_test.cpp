#include "inference/server/stop_text.h"

#include <doctest/doctest.h>

#include "core/rng.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

struct Read {
  std::string text;
  bool stopped = false;

  bool operator==(const Read&) const = default;
};

Read read(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopText stop(stops);
  std::string text;
  for (const auto& piece : pieces) text += stop.feed(piece);
  text += stop.finish();
  return {text, stop.stopped()};
}

TEST_CASE("text ends before the stop string that is complete first") {
  CHECK(read({"END"}, {"one END two END"}) == Read{"one ", true});
  CHECK(read({"END"}, {"one E", "N", "D two"}) == Read{"one ", true});
  CHECK(read({"END"}, {"one EN"}) == Read{"one EN", false});
  CHECK(read({"abc", "b"}, {"xabc"}) == Read{"xa", true});
  CHECK(read({"bc", "abc"}, {"xabc"}) == Read{"x", true});
  CHECK(read({}, {"all", " of it"}) == Read{"all of it", false});
}

TEST_CASE("only what could begin a stop string is held back") {
  StopText stop({"\n\nHuman:"});
  CHECK(stop.feed("hello\n") == "hello");
  CHECK(stop.feed("world") == "\nworld");
  CHECK(stop.feed("\n\nHu") == "");
  CHECK(stop.feed("h") == "\n\nHuh");
  CHECK(stop.feed("\n\nHuman:") == "");
  CHECK(stop.stopped());
  CHECK(stop.feed("more") == "");
  CHECK(stop.finish() == "");
}

TEST_CASE("any division into pieces of whole characters gives the same whole characters") {
  Rng rng(3);
  const std::vector<std::string> alphabet = {"a", "b", "é", "ê", "€", "😀"};
  const auto random = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += rng.pick(alphabet);
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t i = 0; i < 1 + rng.below(3); ++i) stops.push_back(random(1 + rng.below(4)));
    std::vector<std::string> pieces;
    std::string whole;
    for (std::size_t i = 0; i < 8; ++i) {
      pieces.push_back(random(rng.below(4)));
      whole += pieces.back();
    }
    const Read expected = read(stops, {whole});
    CHECK(read(stops, pieces) == expected);
    stopped += expected.stopped ? 1 : 0;
    StopText stop(stops);
    for (const auto& piece : pieces) CHECK(is_utf8(stop.feed(piece)));
  }
  CHECK(stopped > 500);
}

}  // namespace
}  // namespace gauntlet

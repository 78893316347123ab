// A stream of server-sent events: the first byte is the length of pieces. Any division of the bytes gives the same events.

#include "agent/sse.h"

#include <vector>

#include "check.h"
#include "core/error.h"

namespace gauntlet {

namespace {

struct Outcome {
  std::vector<std::string> events;
  bool refused = false;

  bool operator==(const Outcome&) const = default;
};

Outcome read(std::string_view bytes, std::size_t piece) {
  Outcome outcome;
  SseParser parser(64);
  const auto keep = [&](std::string_view event) { outcome.events.emplace_back(event); };
  try {
    for (std::size_t at = 0; at < bytes.size(); at += piece) parser.feed(bytes.substr(at, piece), keep);
    parser.finish(keep);
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "an event that is too long is an input error");
    outcome.refused = true;
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = read(bytes, size);
  promise(read(bytes, 1 + data[0] % 32) == whole, "pieces give the same events as the whole stream");
  for (const auto& event : whole.events) promise(event.size() <= 64, "no event is longer than allowed");
  return 0;
}

}  // namespace gauntlet

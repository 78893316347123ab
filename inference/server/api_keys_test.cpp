#include "inference/server/api_keys.h"

#include <doctest/doctest.h>

#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

TEST_CASE("each of several keys is accepted whole, and nothing else is") {
  const auto keys = ApiKeys::from_text("first-key-1234, second-key-5678\n", "KEYS");
  CHECK(keys.accepts("first-key-1234"));
  CHECK(keys.accepts("second-key-5678"));
  for (const char* wrong : {"", "first-key-123", "first-key-12345", "FIRST-KEY-1234", "first-key-1234, second-key-5678", "other-key-0000"}) CHECK_FALSE(keys.accepts(wrong));
  CHECK(keys.accepts_header("Bearer first-key-1234"));
  CHECK(keys.accepts_header("bearer second-key-5678 "));
  for (const char* wrong : {"", "Bearer", "Bearer ", "first-key-1234", "Basic first-key-1234", "Bearer first-key-123"}) CHECK_FALSE(keys.accepts_header(wrong));
  CHECK_FALSE(ApiKeys().accepts(""));
}

TEST_CASE("a key file has one key a line, and may have comments") {
  const sample::ScratchFolder folder;
  const auto path = folder.write("keys", "# for the team\n\n  alpha-alpha  \r\nbeta-beta-beta\n");
  auto keys = ApiKeys::from_file(path);
  CHECK(keys.accepts("alpha-alpha"));
  CHECK(keys.accepts("beta-beta-beta"));
  CHECK_FALSE(keys.accepts("# for the team"));
  keys.add(ApiKeys::from_text("gamma-gamma", "KEYS"));
  CHECK(keys.accepts("gamma-gamma"));
}

TEST_CASE("unusable keys are refused without being quoted") {
  const sample::ScratchFolder folder;
  CHECK(sample::error_of([&] { ApiKeys::from_file(folder.write("empty", "# none\n")); }, folder.path()) == "DIR/empty: found no key; accepted: one a line");
  CHECK(sample::error_of([&] { ApiKeys::from_file(folder.write("short", "good-enough\nsecret\n")); }, folder.path()) == "DIR/short: key 2 is not usable; accepted: 8 or more visible ASCII characters");
  CHECK(sample::error_of([&] { ApiKeys::from_file(folder.write("space", "two words of it\n")); }, folder.path()) == "DIR/space: key 1 is not usable; accepted: 8 or more visible ASCII characters");
  CHECK(sample::error_of([] { ApiKeys::from_text(" , ", "KEYS"); }) == "KEYS: found no key; accepted: keys separated by commas or spaces");
  CHECK_FALSE(sample::error_of([&] { ApiKeys::from_file(folder.file("missing")); }).empty());
}

}  // namespace
}  // namespace gauntlet

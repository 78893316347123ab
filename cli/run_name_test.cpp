#include "cli/run_name.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "datasets/sample_store.h"

namespace gauntlet {
namespace {

using sample::contains;
using sample::error_of;

TEST_CASE("names of runs are any text on one line; what drives a terminal is refused, and the refusal does not print it") {
  for (const std::string name : {"", "oracle-1a2b3c4d", "my run", "1", "früh", "模型", "a/b:c"}) {
    CAPTURE(name);
    CHECK(error_of([&] { check_run_name(name); }) == "");
  }
  for (const std::string name : {"a\nb", "a\tb", "\x1b[31mred", "bell\x07", "\x7f", "\xc2\x9b""31m", "\xff"}) {
    const std::string message = error_of([&] { check_run_name(name); });
    CAPTURE(message);
    CHECK(contains(message, "--run: found \""));
    CHECK(contains(message, "accepted: a name on one line, in UTF-8"));
    CHECK(message.find_first_of("\n\t\x1b\x07\x7f") == std::string::npos);
  }
}

TEST_CASE("words of suggested commands are quoted where a shell would read them otherwise") {
  CHECK(shell_word("t.db") == "t.db");
  CHECK(shell_word("/tmp/a-b_c.db") == "/tmp/a-b_c.db");
  CHECK(shell_word("my store.db") == "'my store.db'");
  CHECK(shell_word("it's") == "'it'\\''s'");
  CHECK(shell_word("$HOME") == "'$HOME'");
  CHECK(shell_word("~/t.db") == "'~/t.db'");
  CHECK(shell_word("") == "''");
  CHECK(run_hint("my store.db", "1") == "run 1: gauntlet report --db 'my store.db' --run 1, gauntlet show --db 'my store.db' --run 1");
}

}  // namespace
}  // namespace gauntlet

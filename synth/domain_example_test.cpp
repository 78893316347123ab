// The example of docs/domains.md is complete: it parses, and certified tasks come out of it.

#include <doctest/doctest.h>

#include "synth/synthesize.h"
#include "test_paths.h"

namespace gauntlet {

namespace {

Json documented_example() {
  const std::string page = read_text_file(std::string(kTestData) + "/../docs/domains.md");
  const std::string fence = "```json\n";
  const std::size_t begin = page.find(fence) + fence.size();
  return parse_json(page.substr(begin, page.find("```", begin) - begin), "docs/domains.md");
}

}  // namespace

TEST_CASE("the documented example makes certified tasks") {
  SynthRequest request{
      .spec = std::make_shared<const EnvSpec>(parse_env_spec(documented_example(), "docs/domains.md")), .count = 20, .seed = 1};
  request.difficulty.level = 1;
  const CancelFlag never{false};
  const SynthReport report = synthesize(
      request,
      [](const Task& task) {
        CHECK(task.environment == "gifts");
        CHECK(task.certificate["true_negative_rate"] == 1.0);
        CHECK(task.certificate["minimal_tool_calls"].get<int>() >= 4);
        CHECK(task.prompt.find("I need two presents from one shop for a ") == 0);
      },
      never);
  CHECK(report.made == 20);
}

}  // namespace gauntlet

// Tool calls as a model writes them: the first line names the tool, the rest is its arguments. Any bytes get an answer, which is JSON.

#include <memory>

#include "check.h"
#include "envs/session.h"

namespace gauntlet {

namespace {

struct Environment {
  std::shared_ptr<EnvRuntime> runtime;
  std::shared_ptr<const World> world;

  Environment() {
    const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("bookings"));
    runtime = std::make_shared<EnvRuntime>(spec);
    world = build_world(*spec, {.seed = 1});
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const Environment environment;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = std::min(text.find('\n'), text.size());
  const std::string_view tool = text.substr(0, line_end);
  const std::string_view arguments = text.substr(std::min(line_end + 1, text.size()));
  Session session(environment.runtime, environment.world);
  const std::string before = session.state_fingerprint();
  for (int repeat = 0; repeat < 2; ++repeat) {
    const ToolOutcome outcome = session.call(tool, arguments);
    const Json result = parse_json(outcome.content, "outcome");
    promise(valid_utf8(outcome.content) == outcome.content, "an outcome is valid UTF-8");
    if (outcome.is_error) {
      promise(!result.at("error").at("code").get<std::string>().empty() && !result.at("error").at("message").get<std::string>().empty(),
              "a refusal has a code and a message");
      promise(repeat > 0 || session.state_fingerprint() == before, "a refused call changes nothing");
    }
    promise(outcome.ends_episode == session.answer().has_value() || repeat > 0, "only a submission ends the episode");
  }
  return 0;
}

}  // namespace gauntlet

// One episode in a few lines: make a task, let a scripted model play it, and look at the verdict.
//   example_scripted_episode examples/library.json

#include <cstdio>

#include "agent/rollout.h"
#include "synth/synthesize.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

/// Looks around once, then hands in the answer it was given.
class ScriptedModel : public ChatModel {
 public:
  ScriptedModel(std::string look, const EnvSpec& spec, const Json& answer)
      : look_{.id = "call_0", .name = std::move(look), .arguments = "{}"},
        submit_{.id = "call_1", .name = spec.submit_tool, .arguments = dump_json(Json::object({{spec.submit_argument, dump_json(answer)}}))} {}

  ChatReply complete(const ChatRequest& request, const CancelFlag&) override {
    const bool first = request.messages.back().role == Role::User;
    ChatReply reply;
    reply.message.role = Role::Assistant;
    reply.message.reasoning = first ? "What is there?" : "I have seen enough.";
    reply.message.tool_calls = {first ? look_ : submit_};
    reply.finish = FinishReason::ToolCalls;
    return reply;
  }
  Json describe() const override { return {{"kind", "scripted"}}; }

 private:
  ToolCall look_, submit_;
};

void play(const Task& task, const std::shared_ptr<const EnvSpec>& spec, const Json& answer) {
  const auto world = build_world(*spec, task.world);
  const CompiledProblem problem(parse_problem(task.problem, ""), *world);
  ScriptedModel model("list_branches", *spec, answer);
  EpisodeSetup setup{.session = Session(std::make_shared<EnvRuntime>(spec), world), .user_prompt = task.prompt, .tools = std::make_shared<const std::vector<ToolSpec>>(spec->tool_specs())};
  setup.judge = [&](const std::optional<std::string>& given) { return Verifier(problem, *spec, std::nullopt).verify(given); };
  const Episode episode = run_episode(model, std::move(setup), CancelFlag{false});
  std::printf("%d messages, %d tool calls, value %.0f: %s\n", episode.steps, episode.tool_calls, episode.score.value, episode.score.summary.c_str());
  for (const auto& part : episode.score.components) std::printf("  %s %s: %s\n", part.holds ? "holds" : "fails", part.constraint.c_str(), part.explanation.c_str());
}

}  // namespace
}  // namespace gauntlet

int main(int argc, char** argv) {
  const auto spec = std::make_shared<const gauntlet::EnvSpec>(gauntlet::load_env_spec(argc > 1 ? argv[1] : "examples/library.json"));
  gauntlet::synthesize({.spec = spec, .count = 1, .seed = 1, .difficulty = {.level = 1, .ranges = {}}}, [&](const gauntlet::Task& task) {
    gauntlet::Json answer = task.certificate.at("oracle_answer");
    gauntlet::play(task, spec, answer);
    std::swap(answer[0], answer[1]);  // the right books in the wrong places
    gauntlet::play(task, spec, answer);
  }, gauntlet::CancelFlag{false});
}

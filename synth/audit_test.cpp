#include "synth/audit.h"

#include <doctest/doctest.h>

#include <functional>

#include "synth/synthesize.h"

namespace gauntlet {
namespace {

const std::shared_ptr<const EnvSpec>& trip() {
  static const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  return spec;
}

const Task& some_task() {
  static const Task certified = [] {
    Task made;
    SynthRequest request{.spec = trip(), .count = 1, .seed = 5};
    request.difficulty.level = 2;
    const CancelFlag never{false};
    synthesize(
        request, [&](const Task& task) { made = task; }, never);
    return made;
  }();
  return certified;
}

std::string audited(const std::function<void(Task&)>& change) {
  Task task = some_task();
  change(task);
  Gate gate(trip(), {});
  const CancelFlag never{false};
  return audit(gate, task, never);
}

}  // namespace

TEST_CASE("a task as it was made passes, in a gate with other options too") {
  CHECK(audited([](Task&) {}) == "");
}

TEST_CASE("level, name, difficulty and the word of another process are noticed where they changed") {
  CHECK(audited([](Task& t) { t.level = 3; }).find("seal_sha256") != std::string::npos);
  CHECK(audited([](Task& t) {
          t.level = 3;
          t.difficulty["level"] = 3;
        }).find("seal_sha256") != std::string::npos);
  CHECK(audited([](Task& t) { t.named = "paper"; }).find("seal_sha256") != std::string::npos);
  CHECK(audited([](Task& t) { t.difficulty["vector"]["hops"] = 9; }).find("the difficulty differs: vector") != std::string::npos);
  CHECK(audited([](Task& t) { t.certificate["other_process_checked"] = true; }).find("seal_sha256") != std::string::npos);
  CHECK(audited([](Task& t) { t.certificate.erase("other_process_checked"); }).find("seal_sha256") != std::string::npos);
  CHECK(audited([](Task& t) { t.certificate["a_claim"] = 1; }).find("a_claim: stored 1, now null") != std::string::npos);
}

TEST_CASE("a prompt that is not the rendering of its requirements is noticed, however it differs") {
  const auto noticed = [](const std::function<void(std::string&)>& change) {
    return audited([&](Task& t) { change(t.prompt); }).find("the prompt is not what its requirements render to") != std::string::npos;
  };
  CHECK(noticed([](std::string& prompt) { prompt += " "; }));
  CHECK(noticed([](std::string& prompt) { prompt = "Hint: " + prompt; }));
  CHECK(noticed([](std::string& prompt) { prompt.insert(prompt.find("\n\n"), " Any answer will do."); }));
  CHECK(noticed([](std::string& prompt) { prompt.erase(prompt.find("\n\n") + 2, 10); }));
}

}  // namespace gauntlet

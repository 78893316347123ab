#include <fmt/format.h>

#include <filesystem>

#include "agent/runner.h"
#include "core/error.h"
#include "synth/agents.h"
#include "tests/bench/fixture.h"

namespace gauntlet::bench {
namespace {

class Silent : public RunObserver {
 public:
  void on_start(std::int64_t, std::int64_t) override {}
  void on_stored(const Episode&) override {}
  void on_message(const std::string&) override {}
  void on_finish(const RunSummary&) override {}
};

/// A folder that is removed with its contents.
class Folder {
 public:
  explicit Folder(const std::string& parent) : path_(parent + "/gauntlet-bench-XXXXXX") {
    require(::mkdtemp(path_.data()) != nullptr, ErrorKind::Store, fmt::format("could not make a folder in {}", parent));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

RunPlan make_plan(TaskShelf& shelf, const Fixture& fixture, const std::string& run, int repeats, int in_flight) {
  RunPlan plan;
  plan.record = {.run_id = run, .config = {{"model", {{"kind", "agent"}, {"name", "oracle"}}}}, .config_sha256 = run, .code_version = "bench", .started_unix_ms = 0};
  for (const auto& task : fixture.tasks) {
    for (int sample = 0; sample < repeats; ++sample) plan.work.push_back({.task_id = task->task.task_id, .sample = sample});
  }
  plan.in_flight = in_flight;
  plan.prepare = [&shelf](const Store::Slot& slot, int) {
    // Everything comes from the store, as in a run from the command line.
    const auto ready = shelf.task(slot.task_id);
    const std::uint64_t seed = Rng(1).split(slot.task_id).split(static_cast<std::uint64_t>(slot.sample)).next();
    PreparedEpisode prepared{.setup = {.session = Session(ready->environment->runtime, ready->world)},
                             .own_model = make_agent("oracle", ready->environment->planner, ready->problem.problem(), seed)};
    prepared.setup.system_prompt = default_system_prompt(*ready->environment->spec);
    prepared.setup.user_prompt = ready->task.prompt;
    prepared.setup.tools = ready->environment->tools;
    prepared.setup.judge = [ready](const std::optional<std::string>& answer) { return ready->judge(answer); };
    prepared.setup.seed = seed;
    return prepared;
  };
  return plan;
}

}  // namespace

std::vector<Figure> bench_episodes(const Settings& settings) {
  const Fixture fixture = make_fixture(settings, settings.quick ? 4 : 250);
  const int repeats = settings.quick ? 1 : 4;
  const Folder folder(settings.folder);
  const std::string path = folder.file("episodes.db");
  Store store(path, StoreMode::Create);
  store.put_environment(fixture.spec->name, fixture.spec->sha256, fixture.spec->source);
  std::vector<Task> tasks;
  for (const auto& task : fixture.tasks) tasks.push_back(task->task);
  store.put_tasks(tasks);
  TaskShelf shelf(path);
  Silent observer;
  const CancelFlag never{false};
  int run = 0;
  Figure stored{.name = "episodes.stored", .title = "episodes of the oracle, judged and stored durably", .unit = "episodes/s", .target = 500, .threads = settings.threads};
  stored.note = fmt::format("{} threads, {} tasks x {}, synchronous=EXTRA", settings.threads, tasks.size(), repeats);
  stored.samples = repeat(settings.repeats, [&] {
    const RunPlan plan = make_plan(shelf, fixture, fmt::format("run-{}", run++), repeats, settings.threads);
    const RunSummary summary = run_all(plan, store, observer, never);
    require(summary.passed == summary.requested, ErrorKind::Internal, "an oracle episode did not pass");
    return static_cast<double>(summary.completed);
  });

  // What the parts cost on one core, to see which one to work on.
  std::vector<Episode> episodes;
  const auto play_all = [&] {
    episodes.clear();
    for (const auto& task : fixture.tasks) {
      const auto model = make_agent("oracle", fixture.environment->planner, task->problem.problem(), 1);
      episodes.push_back(run_episode(*model, make_setup(fixture, *task, 1), never));
    }
    return static_cast<double>(episodes.size());
  };
  Figure played{.name = "episodes.played", .title = "of that, playing and judging, one core, nothing stored", .unit = "episodes/s"};
  played.samples = repeat(settings.repeats, play_all);
  Figure written{.name = "episodes.written", .title = "of that, storing alone", .unit = "episodes/s"};
  written.samples = repeat(settings.repeats, [&] {
    const std::string id = fmt::format("write-{}", run++);
    store.put_run({.run_id = id, .config = Json::object(), .config_sha256 = id, .code_version = "bench", .started_unix_ms = 0, .requested = static_cast<std::int64_t>(episodes.size())});
    for (auto& episode : episodes) episode.run_id = id;
    store.put_episodes(episodes);
    return static_cast<double>(episodes.size());
  });
  return {stored, played, written};
}

}  // namespace gauntlet::bench

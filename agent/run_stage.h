#pragma once

// Test support: runs over a store of small tasks, whose model is a function of slot and attempt.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/runner.h"
#include "agent/scripted_model.h"
#include "agent/trip_stage.h"
#include "core/rng.h"
#include "datasets/sample_store.h"

namespace gauntlet {

class WatchingObserver : public RunObserver {
 public:
  void on_start(std::int64_t requested, std::int64_t done) override {
    started = requested;
    before = done;
  }
  void on_stored(const Episode& episode) override {
    stored.push_back({.task_id = episode.task_id, .sample = episode.sample});
    if (each) each(episode);
  }
  void on_message(const std::string& message) override {
    messages.push_back(message);
    if (told) told();
  }
  void on_finish(const RunSummary& summary) override { finished = summary; }
  void on_tick() override {
    if (tick) tick();
  }

  std::int64_t started = -1, before = -1;
  std::vector<Store::Slot> stored;
  std::vector<std::string> messages;
  std::function<void(const Episode&)> each;
  std::function<void()> told, tick;
  RunSummary finished;
};

/// A store of tasks t1 … tN and a plan that plays each with `play` (given the slot and the attempt).
struct RunStage {
  using Play = std::function<ChatReply(const Store::Slot&, int attempt, const ChatRequest&, const CancelFlag&)>;

  explicit RunStage(int tasks, int repeats = 1) : store(sample::store(folder.file("s.db"), tasks)) {
    plan.record = sample::run("run", 0);
    for (int t = 1; t <= tasks; ++t) {
      for (int s = 0; s < repeats; ++s) plan.work.push_back({.task_id = "t" + std::to_string(t), .sample = s});
    }
    plan.prepare = [this](const Store::Slot& slot, int attempt) {
      ++prepared;
      EpisodeSetup setup = stage.setup();
      setup.seed = Rng(7).split(slot.task_id).split(static_cast<std::uint64_t>(slot.sample)).next();
      auto model = std::make_unique<ScriptedModel>([this, slot, attempt](const ChatRequest& request, const CancelFlag& stop) { return play(slot, attempt, request, stop); });
      return PreparedEpisode{.setup = std::move(setup), .own_model = std::move(model)};
    };
  }

  RunSummary run() {
    prepared = 0;
    watching.stored.clear();
    return run_all(plan, store, watching, cancel);
  }

  /// Everything of the latest attempts but times, by slot.
  std::map<Store::Slot, std::string> contents() const {
    std::map<Store::Slot, std::string> out;
    store.for_each_episode({.run_id = "run"}, [&](const StoredEpisode& stored) {
      const Episode& episode = stored.episode;
      Json text = {{"stop", stop_reason_name(episode.stop)}, {"seed", episode.seed}, {"score", to_json(episode.score)}, {"steps", episode.steps}};
      for (const auto& message : episode.messages) text["messages"].push_back(to_json(message));
      out.emplace(Store::Slot{.task_id = episode.task_id, .sample = episode.sample}, dump_json(text));
    });
    return out;
  }

  sample::TemporaryFolder folder;
  Store store;
  TripStage stage;
  RunPlan plan;
  WatchingObserver watching;
  CancelFlag cancel{false};
  std::atomic<int> prepared{0};
  Play play = [](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag&) { return calls({submit(slot.sample % 2 == 0 ? "right" : "wrong")}); };
};

inline bool balances(const RunSummary& summary) { return summary.requested == summary.completed_before + summary.completed + summary.faults + summary.cancelled; }

}  // namespace gauntlet

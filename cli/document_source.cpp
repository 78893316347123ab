#include "cli/document_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "synth/seed_ranges.h"

namespace gauntlet {
namespace {

Json text_document(const TrainingText& text, int level, ThinkingMode mode) {
  Json pieces = Json::array();
  for (const auto& part : text) pieces.push_back({{"text", valid_utf8(part.text())}, {"agent", part.agent}});
  return {{"pieces", std::move(pieces)}, {"level", level}, {"mode", mode == ThinkingMode::Chat ? "chat" : "thinking"}};
}

/// Adds documents to what one index gives, or counts why not.
class Finisher {
 public:
  explicit Finisher(DocumentStyle style) : style_(std::move(style)) {
    if (style_.tokenizer) encoder_.emplace(style_.tokenizer);
  }

  void finish(const TrainingText& text, std::span<const Message> messages, int level, ThinkingMode mode, MadeDocuments& out) {
    if (!encoder_) {
      out.documents.push_back({.tokens = {}, .line = dump_json(text_document(text, level, mode)), .level = level, .mode = mode});
    } else {
      add(encoder_->encode(text), messages, level, mode, out);
    }
  }
  void finish_recorded(const Episode& episode, const TrainingText& text, int level, ThinkingMode mode, MadeDocuments& out) {
    std::string problem;
    for (auto& document : encoder_->join(episode.tokens, text, problem)) add(std::move(document), episode.messages, level, mode, out);
    if (!problem.empty()) ++out.dropped[problem];
  }
  bool tokenises() const { return encoder_.has_value(); }

 private:
  void add(TokenDocument tokens, std::span<const Message> messages, int level, ThinkingMode mode, MadeDocuments& out) {
    if (static_cast<std::int64_t>(tokens.ids.size()) > style_.max_tokens) {
      ++out.dropped[fmt::format("level {}: longer than --max-tokens", level)];
      return;
    }
    tokens.several_calls = makes_several_calls(messages);
    out.documents.push_back({.tokens = std::move(tokens), .line = "", .level = level, .mode = mode});
  }

  DocumentStyle style_;
  std::optional<DocumentEncoder> encoder_;
};

class OracleMaker : public DocumentMaker {
 public:
  OracleMaker(const TrajectorySource& source, DocumentStyle style) : source_(source), writer_(source.tools()), finisher_(std::move(style)) {}

  MadeDocuments make(std::int64_t index, const CancelFlag& cancel) override {
    MadeDocuments out;
    TrajectorySource::Outcome outcome = source_.make(static_cast<std::uint64_t>(index), cancel);
    out.cancelled = outcome.cancelled;
    out.dropped = std::move(outcome.dropped);
    if (out.cancelled || !outcome.trajectory) return out;
    const Trajectory& trajectory = *outcome.trajectory;
    out.task_id = trajectory.task_id;
    finisher_.finish(writer_.write(trajectory.messages, trajectory.mode), trajectory.messages, trajectory.level, trajectory.mode, out);
    return out;
  }

 private:
  const TrajectorySource& source_;
  TrainingTextWriter writer_;
  Finisher finisher_;
};

class OracleSource : public DocumentSource {
 public:
  OracleSource(TrajectoryRequest request, DocumentStyle style) : request_(request), source_(std::move(request)), style_(std::move(style)) {}

  std::unique_ptr<DocumentMaker> make_maker() const override { return std::make_unique<OracleMaker>(source_, style_); }
  std::int64_t size() const override { return -1; }
  bool distinct_tasks() const override { return true; }
  Json describe() const override {
    Json levels = Json::object();
    for (const auto& [level, weight] : request_.levels) levels[std::to_string(level)] = weight / 1000.0;
    return {{"source", "oracle"},
            {"expert", request_.expert == Expert::Tutor ? "tutor" : "oracle"},
            {"environment", request_.spec->name},
            {"env_sha256", request_.spec->sha256},
            {"seed", request_.seed},
            {"stream", "training"},
            {"levels", levels},
            {"modes", {{"thinking", request_.thinking_weight / 1000.0}, {"chat", request_.chat_weight / 1000.0}}},
            {"excluded", request_.excluded.size()}};
  }

 private:
  TrajectoryRequest request_;
  TrajectorySource source_;
  DocumentStyle style_;
};

struct ChosenEpisode {
  std::int64_t episode_id = 0;
  std::string env_sha256;
  int level = 0;
  ThinkingMode mode = ThinkingMode::Thinking;
  std::string refused;  ///< why it is left out without being read
};

/// By env_sha256.
using Writers = std::map<std::string, TrainingTextWriter>;

class EpisodeMaker : public DocumentMaker {
 public:
  EpisodeMaker(const std::string& store, const std::vector<ChosenEpisode>& chosen, const Writers& writers, DocumentStyle style)
      : store_(store, StoreMode::ReadOnly), chosen_(chosen), writers_(writers), finisher_(std::move(style)) {}

  MadeDocuments make(std::int64_t index, const CancelFlag&) override {
    MadeDocuments out;
    const ChosenEpisode& chosen = chosen_[static_cast<std::size_t>(index)];
    if (!chosen.refused.empty()) {
      ++out.dropped[chosen.refused];
      return out;
    }
    const Episode episode = store_.find_episode(chosen.episode_id).value().episode;
    out.task_id = episode.task_id;
    try {
      const TrainingText text = writers_.at(chosen.env_sha256).write(episode.messages, chosen.mode);
      const bool recorded = std::any_of(episode.tokens.begin(), episode.tokens.end(), [](const TokenTrace& trace) { return !trace.ids.empty(); });
      if (recorded && finisher_.tokenises()) {
        finisher_.finish_recorded(episode, text, chosen.level, chosen.mode, out);
      } else {
        finisher_.finish(text, episode.messages, chosen.level, chosen.mode, out);
      }
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Usage) throw;
      ++out.dropped["cannot be written in DeepSeek's format"];
    }
    return out;
  }

 private:
  Store store_;
  const std::vector<ChosenEpisode>& chosen_;
  const Writers& writers_;
  Finisher finisher_;
};

class EpisodeSource : public DocumentSource {
 public:
  EpisodeSource(EpisodeChoice choice, DocumentStyle style) : choice_(std::move(choice)), style_(std::move(style)) {
    const Store store(choice_.store, StoreMode::ReadOnly);
    if (!choice_.run.empty()) get_run(store, choice_.run);
    TaskShelf shelf(choice_.store);
    for (const auto& [sha256, info] : shelf.infos()) writers_.emplace(sha256, TrainingTextWriter(info.tools));
    std::map<std::string, std::string> env_of_task;
    for (const RunRecord& run : store.list_runs()) {
      if (!choice_.run.empty() && run.run_id != choice_.run) continue;
      const ThinkingMode mode = run.config.value("mode", "thinking") == "chat" ? ThinkingMode::Chat : ThinkingMode::Thinking;
      store.for_each_outcome(run.run_id, [&](const Outcome& outcome) {
        if (!choice_.environment.empty() && outcome.environment != choice_.environment) return;
        if (choice_.level >= 0 && outcome.level != choice_.level) return;
        auto [known, is_new] = env_of_task.try_emplace(outcome.task_id);
        if (is_new) known->second = store.find_task(outcome.task_id).value().env_sha256;
        const std::string refused = !outcome.value ? "not scored" : *outcome.value < choice_.min_score ? "below the least score" : "";
        chosen_.push_back({.episode_id = outcome.episode_id, .env_sha256 = known->second, .level = outcome.level, .mode = mode, .refused = refused});
      });
    }
    require(!chosen_.empty(), ErrorKind::Usage, fmt::format("could not export from {}: no episode of {} matches", choice_.store, choice_.run.empty() ? "any run" : fmt::format("run \"{}\"", choice_.run)));
  }

  std::unique_ptr<DocumentMaker> make_maker() const override { return std::make_unique<EpisodeMaker>(choice_.store, chosen_, writers_, style_); }
  std::int64_t size() const override { return static_cast<std::int64_t>(chosen_.size()); }
  bool distinct_tasks() const override { return false; }
  Json describe() const override { return {{"source", "episodes"}, {"run", choice_.run}, {"environment", choice_.environment}, {"level", choice_.level}, {"min_score", choice_.min_score}}; }

 private:
  EpisodeChoice choice_;
  DocumentStyle style_;
  Writers writers_;
  std::vector<ChosenEpisode> chosen_;
};

}  // namespace

std::unique_ptr<DocumentSource> make_oracle_source(TrajectoryRequest request, DocumentStyle style) { return std::make_unique<OracleSource>(std::move(request), std::move(style)); }

std::unique_ptr<DocumentSource> make_episode_source(EpisodeChoice choice, DocumentStyle style) { return std::make_unique<EpisodeSource>(std::move(choice), std::move(style)); }

}  // namespace gauntlet

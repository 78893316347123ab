#pragma once

// Test support: a device on which replies are as written. Its cache holds, for each position, where in which script it is, so that shared prefixes
// and forks work as with a model; after a preemption a reply would begin anew.

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "inference/backend.h"
#include "inference/tokenizer.h"

namespace gauntlet {

struct ScriptedReply {
  std::string text;      ///< with the format's markers; its end token follows by itself
  bool endless = false;  ///< the text again and again
};

class ScriptedBackend : public Backend {
 public:
  /// Sees the text of a chat prompt, up to where the reply begins.
  using Script = std::function<ScriptedReply(const std::string& prompt)>;

  ScriptedBackend(std::shared_ptr<const Tokenizer> tokenizer, int pages, Script script)
      : tokenizer_(std::move(tokenizer)), script_(std::move(script)), begin_(tokenizer_->find_id("<｜Assistant｜>")), end_(tokenizer_->find_id("<｜end▁of▁sentence｜>")), pages_(pages), cells_(static_cast<std::size_t>(pages) * kPageTokens) {
    config_.vocab = static_cast<int>(tokenizer_->vocab_size());
    config_.max_positions = pages * kPageTokens;
  }

  const ModelConfig& config() const override { return config_; }
  CacheSize cache() const override { return {.pages = pages_, .page_bytes = 1}; }
  int max_tokens() const override { return 1024; }

  std::span<const float> forward(std::span<const SequenceStep> steps) override {
    wait_while_held();
    rows_.clear();
    for (const auto& step : steps) {
      for (std::size_t i = 0; i < step.ids.size(); ++i) {
        const std::size_t position = static_cast<std::size_t>(step.start) + i;
        const Cell before = position == 0 ? Cell{} : at(step, position - 1);
        Cell& cell = at(step, position);
        // Whatever the script did not say itself is part of a prompt.
        const bool as_written = before.script >= 0 && step.ids[i] == next(before);
        cell = {.id = step.ids[i], .chat = before.chat || step.ids[i] == begin_, .script = as_written ? before.script : -1, .offset = as_written ? before.offset + 1 : 0};
        if (step.logits == LogitsOf::None || (step.logits == LogitsOf::Last && i + 1 < step.ids.size())) continue;
        if (cell.chat && cell.script < 0) {
          cell.script = static_cast<int>(scripts_.size());
          scripts_.push_back(make_script(step, position));
        }
        add_row(cell);
      }
    }
    return rows_;
  }

  void copy_page(std::int32_t from, std::int32_t to) override {
    for (int i = 0; i < kPageTokens; ++i) cells_[static_cast<std::size_t>(to * kPageTokens + i)] = cells_[static_cast<std::size_t>(from * kPageTokens + i)];
  }
  void record_selections(Selections*) override {}
  std::string describe() const override { return "scripted"; }

  /// No pass begins until the hold is given up.
  void hold(bool on) {
    {
      const std::lock_guard lock(mutex_);
      held_ = on;
    }
    changed_.notify_all();
  }

 private:
  /// What the cache keeps of a position.
  struct Cell {
    std::int32_t id = -1;
    bool chat = false;        ///< the marker that begins a reply has been seen
    int script = -1;
    std::size_t offset = 0;   ///< of the script's next token
  };
  struct Written {
    std::vector<std::int32_t> ids;
    bool endless = false;
  };

  Cell& at(const SequenceStep& step, std::size_t position) { return cells_[static_cast<std::size_t>(step.pages[position / kPageTokens]) * kPageTokens + position % kPageTokens]; }

  Written make_script(const SequenceStep& step, std::size_t position) {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i <= position; ++i) ids.push_back(at(step, i).id);
    const ScriptedReply reply = script_(tokenizer_->decode(ids, SkipSpecial::No));
    Written out{.ids = tokenizer_->encode(reply.text, SpecialTokens::Parse), .endless = reply.endless};
    if (!out.endless) out.ids.push_back(end_);
    return out;
  }

  /// After a prompt that is no chat, the last token again and again.
  std::int32_t next(const Cell& cell) const {
    if (cell.script < 0) return cell.id;
    const Written& script = scripts_[static_cast<std::size_t>(cell.script)];
    if (script.endless) return script.ids[cell.offset % script.ids.size()];
    return cell.offset < script.ids.size() ? script.ids[cell.offset] : end_;
  }

  void add_row(const Cell& cell) {
    const std::size_t begin = rows_.size();
    for (int id = 0; id < config_.vocab; ++id) rows_.push_back(-0.1f * static_cast<float>(id % 7));
    rows_[begin + static_cast<std::size_t>(next(cell))] = 30.0f;
  }

  void wait_while_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_; });
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  Script script_;
  std::int32_t begin_, end_;
  int pages_;
  ModelConfig config_;
  std::vector<Cell> cells_;
  std::vector<Written> scripts_;
  std::vector<float> rows_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
};

}  // namespace gauntlet

#pragma once

// For tests: keeps all that an engine tells about one request.

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "inference/scheduler.h"

namespace gauntlet {

class RecordingListener : public EngineListener {
 public:
  struct Sample {
    std::vector<std::int32_t> ids;
    std::vector<float> logprobs;
    std::vector<std::vector<std::pair<std::int32_t, float>>> top;
    bool finished = false;
    EngineFinish finish = EngineFinish::Failed;
    int cached = 0;
    std::string failure;
  };

  void on_prompt(const std::vector<float>& logprobs, const std::vector<TopTokens>& top) override {
    const std::lock_guard lock(mutex_);
    prompt_ = logprobs;
    prompt_top_ = top;
  }
  bool on_token(const EngineToken& token) override {
    const std::lock_guard lock(mutex_);
    Sample& sample = samples_[token.index];
    sample.ids.push_back(token.token.id);
    sample.logprobs.push_back(token.token.logprob);
    sample.top.push_back(token.top);
    return stop_after == 0 || static_cast<int>(sample.ids.size()) < stop_after;
  }
  void on_finish(int index, EngineFinish finish, int cached, const std::string& failure) override {
    const std::lock_guard lock(mutex_);
    Sample& sample = samples_[index];
    sample.finished = true;
    sample.finish = finish;
    sample.cached = cached;
    sample.failure = failure;
    ++finished_;
    changed_.notify_all();
  }

  /// Blocks until so many samples have ended.
  void wait(int samples = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ >= samples; });
  }
  Sample sample(int index = 0) {
    const std::lock_guard lock(mutex_);
    return samples_[index];
  }
  std::vector<float> prompt() {
    const std::lock_guard lock(mutex_);
    return prompt_;
  }

  std::vector<TopTokens> prompt_top() {
    const std::lock_guard lock(mutex_);
    return prompt_top_;
  }

  int stop_after = 0;  ///< set before use; 0: never

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Sample> samples_;
  std::vector<float> prompt_;
  std::vector<TopTokens> prompt_top_;
  int finished_ = 0;
};

}  // namespace gauntlet

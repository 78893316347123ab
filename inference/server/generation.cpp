#include "inference/server/generation.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>

namespace gauntlet {

struct Generation::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<GenerationEvent> events;
  std::set<int> stopped;

  void add(GenerationEvent event) {
    {
      const std::lock_guard lock(mutex);
      events.push_back(std::move(event));
    }
    changed.notify_one();
  }
};

class Generation::Listener : public EngineListener {
 public:
  Listener(std::shared_ptr<Queue> queue, int first) : queue_(std::move(queue)), first_(first) {}

  void on_prompt(const std::vector<float>& logprobs, const std::vector<TopTokens>& top) override {
    queue_->add({.kind = GenerationEvent::Kind::Prompt, .choice = first_, .token = {}, .prompt_logprobs = logprobs, .prompt_top = top, .failure = {}});
  }
  bool on_token(const EngineToken& token) override {
    const int choice = first_ + token.index;
    {
      const std::lock_guard lock(queue_->mutex);
      if (queue_->stopped.contains(choice)) return false;
    }
    queue_->add({.kind = GenerationEvent::Kind::Token, .choice = choice, .token = token, .prompt_logprobs = {}, .prompt_top = {}, .failure = {}});
    return true;
  }
  void on_finish(int index, EngineFinish finish, int cached, const std::string& failure) override {
    queue_->add({.kind = GenerationEvent::Kind::End, .choice = first_ + index, .token = {}, .prompt_logprobs = {}, .prompt_top = {}, .finish = finish, .cached = cached, .failure = failure});
  }

 private:
  std::shared_ptr<Queue> queue_;
  int first_;
};

Generation::Generation(std::shared_ptr<Engine> engine) : engine_(std::move(engine)), queue_(std::make_shared<Queue>()) {}

Generation::~Generation() {
  for (const auto& part : parts_) {
    if (std::find(part.running.begin(), part.running.end(), 1) != part.running.end()) engine_->cancel(part.number);
  }
}

void Generation::submit(EngineRequest request, int first_choice) {
  Part part{.number = 0, .first = first_choice, .running = std::vector<char>(static_cast<std::size_t>(request.samples), 1)};
  request.listener = std::make_shared<Listener>(queue_, first_choice);
  part.number = engine_->submit(std::move(request));
  parts_.push_back(std::move(part));
}

Generation::Part& Generation::part_of(int choice) {
  return *std::find_if(parts_.begin(), parts_.end(), [&](const Part& part) { return choice >= part.first && choice < part.first + static_cast<int>(part.running.size()); });
}

std::vector<GenerationEvent> Generation::wait(std::chrono::milliseconds most) {
  std::vector<GenerationEvent> out;
  {
    std::unique_lock lock(queue_->mutex);
    queue_->changed.wait_for(lock, most, [&] { return !queue_->events.empty(); });
    out.swap(queue_->events);
  }
  for (const auto& event : out) {
    if (event.kind != GenerationEvent::Kind::End) continue;
    Part& part = part_of(event.choice);
    part.running[static_cast<std::size_t>(event.choice - part.first)] = 0;
  }
  return out;
}

void Generation::stop(int choice) {
  Part& part = part_of(choice);
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->stopped.insert(choice);
    for (int i = 0; i < static_cast<int>(part.running.size()); ++i) {
      if (part.running[static_cast<std::size_t>(i)] != 0 && !queue_->stopped.contains(part.first + i)) return;
    }
  }
  // Nobody waits for any of its samples: it ends at once, not with the next token.
  engine_->cancel(part.number);
}

}  // namespace gauntlet

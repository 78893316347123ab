#include "inference/engine.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gauntlet {

Engine::Engine(std::unique_ptr<Backend> backend, const EngineOptions& options) : backend_(std::move(backend)), options_(options), scheduler_(*backend_, options) {
  stats_ = scheduler_.stats();
  thread_ = std::jthread([this] { loop(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
}

std::uint64_t Engine::submit(EngineRequest request) {
  scheduler_.check(request);  // reads only what never changes
  const std::lock_guard lock(mutex_);
  require(static_cast<int>(incoming_.size()) + stats_.waiting < options_.max_waiting, ErrorKind::Infrastructure, fmt::format("the engine has {} requests waiting; try again later", options_.max_waiting));
  incoming_.emplace_back(next_, std::move(request));
  changed_.notify_all();
  return next_++;
}

void Engine::cancel(std::uint64_t request) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(request);
  changed_.notify_all();
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || !incoming_.empty() || !cancelled_.empty() || !scheduler_.idle(); });
    if (closing_) break;
    auto incoming = std::exchange(incoming_, {});
    const auto cancelled = std::exchange(cancelled_, {});
    lock.unlock();
    for (auto& [number, request] : incoming) scheduler_.add(number, std::move(request));
    for (const auto number : cancelled) scheduler_.cancel(number);
    try {
      scheduler_.step();
    } catch (const std::exception& error) {
      scheduler_.fail_all(fmt::format("the engine failed: {}", error.what()));
    }
    const EngineStats now = scheduler_.stats();
    lock.lock();
    stats_ = now;
  }
  auto incoming = std::exchange(incoming_, {});
  lock.unlock();
  for (auto& [number, request] : incoming) scheduler_.add(number, std::move(request));
  scheduler_.fail_all("the engine was closed");
}

}  // namespace gauntlet

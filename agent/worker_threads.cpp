#include "agent/worker_threads.h"

namespace gauntlet {
namespace {

struct Attributes {
  pthread_attr_t value;
  bool usable = false;

  Attributes() { usable = pthread_attr_init(&value) == 0 && pthread_attr_setstacksize(&value, WorkerThreads::kStackBytes) == 0; }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { pthread_attr_destroy(&value); }
};

void* run_body(void* argument) noexcept {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

WorkerThreads::~WorkerThreads() { join(); }

bool WorkerThreads::start(std::function<void()> body) {
  const Attributes attributes;
  if (!attributes.usable) return false;
  auto owned = std::make_unique<std::function<void()>>(std::move(body));
  threads_.push_back({});  // First, because it may throw.
  if (pthread_create(&threads_.back(), &attributes.value, run_body, owned.get()) != 0) {
    threads_.pop_back();
    return false;
  }
  static_cast<void>(owned.release());  // The thread owns it now.
  return true;
}

void WorkerThreads::join() {
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  threads_.clear();
}

}  // namespace gauntlet

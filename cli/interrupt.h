#pragma once

// Ctrl-C and SIGTERM as a flag: the first asks for a clean stop, the second ends the program at once.

#include <atomic>
#include <thread>

#include "core/chat_model.h"

namespace gauntlet {

/// Make it before any other thread, since it blocks the signals in the calling thread and those inherit that. `flag` must outlive it.
class InterruptWatch {
 public:
  explicit InterruptWatch(CancelFlag& flag);

 private:
  std::jthread waiter_;
};

}  // namespace gauntlet

#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "cli/output.h"

namespace gauntlet {
namespace {

constexpr int kExitInterrupted = 130;  // what shells report for SIGINT

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

InterruptWatch::InterruptWatch(CancelFlag& flag) {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A reader or endpoint that went away, and a file that may not grow, are errors of the write.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  waiter_ = std::jthread([&flag](const std::stop_token& stop) {
    const sigset_t waited = stop_signals();
    const timespec period{.tv_sec = 0, .tv_nsec = 100'000'000};
    while (!stop.stop_requested()) {
      if (sigtimedwait(&waited, nullptr, &period) < 0) continue;
      if (flag.exchange(true)) _exit(kExitInterrupted);
      write_note("\nstopping: what is finished is kept; press Ctrl-C again to leave at once");
    }
  });
}

}  // namespace gauntlet

#pragma once

// How much memory clients may take with what they send, all together.

#include <atomic>
#include <cstddef>

namespace gauntlet {

/// Bytes of bodies, over all requests whose answers are not over yet. Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(std::size_t most) : most_(most) {}

  /// What one request holds of it, until destroyed. `budget` must outlive it.
  class Share {
   public:
    explicit Share(BodyBudget& budget) : budget_(budget) {}
    ~Share() { budget_.held_ -= held_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    /// False, and nothing is taken, when there is not so much left.
    bool take(std::size_t bytes) {
      if (budget_.held_.fetch_add(bytes) + bytes > budget_.most_) {
        budget_.held_ -= bytes;
        return false;
      }
      held_ += bytes;
      return true;
    }

   private:
    BodyBudget& budget_;
    std::size_t held_ = 0;
  };

 private:
  std::size_t most_;
  std::atomic<std::size_t> held_ = 0;
};

}  // namespace gauntlet

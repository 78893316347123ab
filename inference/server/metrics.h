#pragma once

// What the server has done, in Prometheus's text format.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "inference/scheduler.h"

namespace gauntlet {

/// Counts of values at most each bound.
struct Histogram {
  static constexpr std::array<double, 14> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

  std::array<std::int64_t, kBounds.size()> buckets{};
  std::int64_t count = 0;
  double sum = 0;

  void add(double value);
};

/// Thread-safe.
class ServerMetrics {
 public:
  /// `endpoint` is one of the server's own paths, never what a client made up.
  void count_request(const std::string& endpoint, int status);
  void add_first_token(double seconds);
  void add_duration(double seconds);
  void count_left_client() { ++left_clients_; }
  void count_smuggled(std::size_t markers) { smuggled_ += static_cast<std::int64_t>(markers); }

  std::atomic<int> connections = 0;
  std::atomic<int> active_requests = 0;

  std::string text(const EngineStats& engine) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::int64_t> requests_;
  Histogram first_token_, duration_;
  std::atomic<std::int64_t> left_clients_ = 0, smuggled_ = 0;
};

}  // namespace gauntlet

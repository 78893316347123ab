#include "inference/server/metrics.h"

#include <doctest/doctest.h>

#include <sstream>

namespace gauntlet {
namespace {

TEST_CASE("metrics are Prometheus text: every value has its help and its type, and histograms add up") {
  ServerMetrics metrics;
  metrics.count_request("/v1/chat/completions", 200);
  metrics.count_request("/v1/chat/completions", 200);
  metrics.count_request("/v1/chat/completions", 400);
  metrics.add_first_token(0.02);
  metrics.add_first_token(0.2);
  metrics.add_first_token(1000);
  metrics.connections = 3;
  const std::string text = metrics.text({.requests = 7, .sampled_tokens = 11, .running = 2});
  for (const char* line : {"gauntlet_http_requests_total{endpoint=\"/v1/chat/completions\",status=\"200\"} 2\n", "gauntlet_http_requests_total{endpoint=\"/v1/chat/completions\",status=\"400\"} 1\n",
                           "gauntlet_connections 3\n", "gauntlet_generated_tokens_total 11\n", "gauntlet_sequences_running 2\n", "gauntlet_time_to_first_token_seconds_bucket{le=\"0.01\"} 0\n",
                           "gauntlet_time_to_first_token_seconds_bucket{le=\"0.025\"} 1\n", "gauntlet_time_to_first_token_seconds_bucket{le=\"300\"} 2\n",
                           "gauntlet_time_to_first_token_seconds_bucket{le=\"+Inf\"} 3\n", "gauntlet_time_to_first_token_seconds_count 3\n"}) {
    CHECK_MESSAGE(text.find(line) != std::string::npos, line);
  }
  std::istringstream lines(text);
  std::string named;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) named = line.substr(7, line.find(' ', 7) - 7);
    if (line.front() != '#') CHECK(line.starts_with(named));
  }
}

}  // namespace
}  // namespace gauntlet

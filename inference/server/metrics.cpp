#include "inference/server/metrics.h"

#include <fmt/format.h>

namespace gauntlet {
namespace {

class Page {
 public:
  template <class Value>
  void counter(const char* name, const char* help, Value value) {
    one(name, help, "counter", value);
  }
  template <class Value>
  void gauge(const char* name, const char* help, Value value) {
    one(name, help, "gauge", value);
  }
  void head(const char* name, const char* help, const char* type) { text += fmt::format("# HELP gauntlet_{0} {1}\n# TYPE gauntlet_{0} {2}\n", name, help, type); }
  void histogram(const char* name, const char* help, const Histogram& values) {
    head(name, help, "histogram");
    std::int64_t below = 0;
    for (std::size_t i = 0; i < values.buckets.size(); ++i) {
      below += values.buckets[i];
      text += fmt::format("gauntlet_{}_bucket{{le=\"{}\"}} {}\n", name, Histogram::kBounds[i], below);
    }
    text += fmt::format("gauntlet_{0}_bucket{{le=\"+Inf\"}} {1}\ngauntlet_{0}_sum {2}\ngauntlet_{0}_count {1}\n", name, values.count, values.sum);
  }

  std::string text;

 private:
  template <class Value>
  void one(const char* name, const char* help, const char* type, Value value) {
    head(name, help, type);
    text += fmt::format("gauntlet_{} {}\n", name, value);
  }
};

}  // namespace

void Histogram::add(double value) {
  ++count;
  sum += value;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    if (value > kBounds[i]) continue;
    ++buckets[i];
    return;
  }
}

void ServerMetrics::count_request(const std::string& endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{endpoint, status}];
}

void ServerMetrics::add_first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.add(seconds);
}

void ServerMetrics::add_duration(double seconds) {
  const std::lock_guard lock(mutex_);
  duration_.add(seconds);
}

std::string ServerMetrics::text(const EngineStats& engine) const {
  Page page;
  const std::lock_guard lock(mutex_);
  page.head("http_requests_total", "Requests answered, by endpoint and status", "counter");
  for (const auto& [key, count] : requests_) page.text += fmt::format("gauntlet_http_requests_total{{endpoint=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
  page.gauge("connections", "Open connections", connections.load());
  page.gauge("active_requests", "Completions that are being answered", active_requests.load());
  page.counter("clients_left_total", "Clients that closed their connection before the end of the answer", left_clients_.load());
  page.counter("smuggled_markers_total", "Special tokens spelled out in the text of messages, which stayed text", smuggled_.load());
  page.histogram("time_to_first_token_seconds", "From the request to its first token", first_token_);
  page.histogram("request_seconds", "From the request to the end of its answer", duration_);
  page.counter("prompt_tokens_total", "Tokens of prompts", engine.prompt_tokens);
  page.counter("cached_prompt_tokens_total", "Tokens of prompts that were found in the cache", engine.cached_tokens);
  page.counter("generated_tokens_total", "Tokens sampled", engine.sampled_tokens);
  page.counter("sequences_total", "Prompts taken", engine.requests);
  page.counter("sequences_finished_total", "Samples that ended", engine.finished);
  page.counter("preemptions_total", "Sequences that gave their pages up for others", engine.preemptions);
  page.counter("passes_total", "Forward passes", engine.passes);
  page.gauge("sequences_running", "Sequences in the batch", engine.running);
  page.gauge("sequences_waiting", "Sequences that wait for room", engine.waiting);
  page.gauge("cache_pages_used", "Pages of the cache in use", engine.pages_in_use);
  page.gauge("cache_pages", "Pages of the cache", engine.pages);
  return page.text;
}

}  // namespace gauntlet

#include "agent/scripted_endpoint.h"

#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <httplib.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace gauntlet {

struct ScriptedEndpoint::Server {
  std::vector<ScriptedAnswer> answers;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::vector<SeenRequest> seen;
  bool released = false;
  httplib::Server http;
  int port = 0;
  std::thread thread;

  ScriptedAnswer next(const httplib::Request& request) {
    const std::lock_guard lock(mutex);
    const ScriptedAnswer answer = answers[std::min(seen.size(), answers.size() - 1)];
    seen.push_back(
        {request.method, request.path, request.body, request.get_header_value("Authorization"), request.remote_port});
    changed.notify_all();
    return answer;
  }

  void wait_for_release() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return released; });
  }

  void answer(const httplib::Request& request, httplib::Response& response) {
    const ScriptedAnswer answer = next(request);
    if (answer.hold && answer.pieces.empty()) wait_for_release();
    response.status = answer.status;
    for (const auto& [name, value] : answer.headers) response.set_header(name, value);
    response.set_chunked_content_provider(answer.content_type, [this, answer](std::size_t, httplib::DataSink& sink) {
      for (const auto& piece : answer.pieces) {
        if (!sink.write(piece.data(), piece.size())) return false;
      }
      if (answer.hold) wait_for_release();
      if (answer.cut) return false;
      sink.done();
      return true;
    });
  }
};

ScriptedEndpoint::ScriptedEndpoint(std::vector<ScriptedAnswer> answers) : server_(std::make_unique<Server>()) {
  Server& server = *server_;
  server.answers = std::move(answers);
  server.http.set_keep_alive_timeout(1);
  server.http.set_tcp_nodelay(true);
  const auto handler = [&server](const httplib::Request& request, httplib::Response& response) {
    server.answer(request, response);
  };
  server.http.Get(".*", handler);
  server.http.Post(".*", handler);
  server.port = server.http.bind_to_any_port("127.0.0.1");
  server.thread = std::thread([&server] { server.http.listen_after_bind(); });
  while (!server.http.is_running()) std::this_thread::yield();
}

ScriptedEndpoint::~ScriptedEndpoint() {
  {
    const std::lock_guard lock(server_->mutex);
    server_->released = true;
  }
  server_->changed.notify_all();
  server_->http.stop();
  server_->thread.join();
}

int ScriptedEndpoint::port() const { return server_->port; }

std::string ScriptedEndpoint::base_url() const { return "http://127.0.0.1:" + std::to_string(server_->port); }

std::vector<SeenRequest> ScriptedEndpoint::seen() const {
  const std::lock_guard lock(server_->mutex);
  return server_->seen;
}

void ScriptedEndpoint::wait_until_seen(std::size_t requests) const {
  std::unique_lock lock(server_->mutex);
  server_->changed.wait(lock, [&] { return server_->seen.size() >= requests; });
}

}  // namespace gauntlet

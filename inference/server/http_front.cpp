#include "inference/server/http_front.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <thread>

#include "core/error.h"
#include "inference/server/body_budget.h"
#include "inference/server/growing_threads.h"
#include "inference/server/http_connection.h"

namespace gauntlet {
namespace {

constexpr int kBacklog = 1024;                                ///< cpp-httplib asks for 5, which a burst of clients overflows
constexpr std::size_t kRefusingThreads = 16;                  ///< beyond those of connections, to tell clients that there are too many
constexpr auto kThreadIdle = std::chrono::milliseconds(5'000);
constexpr auto kStopPoll = std::chrono::milliseconds(5);
constexpr auto kRebindPoll = std::chrono::milliseconds(100);
constexpr auto kLinger = std::chrono::milliseconds(2'000);
constexpr auto kRefusalLinger = std::chrono::milliseconds(100);
constexpr std::size_t kKeepAliveRequests = 1'000'000;
constexpr int kClientLeft = 499;                              ///< nobody reads it; the metrics tell these apart
constexpr const char* kJson = "application/json";

struct Route {
  const char* method;
  const char* path;
};
constexpr std::array<Route, 5> kRoutes = {{{"POST", "/v1/chat/completions"}, {"POST", "/v1/completions"}, {"GET", "/v1/models"}, {"GET", "/health"}, {"GET", "/metrics"}}};
constexpr std::string_view kModelPrefix = "/v1/models/";

/// The endpoint's own path, or "other": what clients make up is no label of a metric.
std::string endpoint_of(const std::string& path) {
  if (path.starts_with(kModelPrefix)) return "/v1/models";
  for (const auto& route : kRoutes) {
    if (path == route.path) return path;
  }
  return "other";
}

void answer_error(httplib::Response& response, const ApiError& error) {
  response.status = error.status;
  if (error.status == 429 || error.status == 503) response.set_header("Retry-After", "1");
  response.set_content(dump_json(to_json(error)), kJson);
}

/// "[::1]:8000" and "localhost:8000" without the port.
std::string host_name(const std::string& host) {
  if (host.starts_with("[")) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

/// Types are words without case; parameters may follow.
bool is_json_type(const std::string& header) {
  std::string type = header.substr(0, header.find_first_of("; \t"));
  for (char& c : type) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return type == kJson;
}

class QueueOfThreads : public httplib::TaskQueue {
 public:
  explicit QueueOfThreads(std::size_t most) : threads_(most, kThreadIdle) {}
  /// Without any thread the job runs here and now, where process_and_close_socket() knows it and refuses the client.
  void enqueue(std::function<void()> job) override {
    if (!threads_.run(job)) job();
  }
  void shutdown() override { threads_.finish(); }

 private:
  GrowingThreads threads_;
};

}  // namespace

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  in_addr v4{};
  return ::inet_pton(AF_INET, host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/// cpp-httplib parses requests and writes responses; connections, limits and threads are ours.
class HttpFront::Server : public httplib::Server {
 public:
  Server(HttpOptions options, ModelService& service) : options_(std::move(options)), service_(service), limits_(service.options().limits), stop_event_(::eventfd(0, EFD_CLOEXEC)) {
    require(stop_event_ >= 0, ErrorKind::Infrastructure, "could not make an event descriptor");
    new_task_queue = [this] { return new QueueOfThreads(limits_.connections + kRefusingThreads); };  // owned by cpp-httplib
    set_payload_max_length(limits_.body_bytes);
    set_tcp_nodelay(true);
    // Only what the Keep-Alive header says; connections are kept by serve().
    set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(limits_.idle_time).count());
    set_keep_alive_max_count(kKeepAliveRequests);
    // Its default lets a second server share the port, and the kernel then deals connections out to both.
    set_socket_options([](socket_t socket) {
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) { return guard(request, response); });
    for (const char* path : {kRoutes[0].path, kRoutes[1].path}) {
      Post(path, [this](const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& read) { post(request, response, read); });
    }
    set_exception_handler([](const httplib::Request&, httplib::Response& response, const std::exception_ptr& thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const ApiRefusal& refused) {
        answer_error(response, refused.error());
      } catch (const std::exception& error) {
        answer_error(response, server_error(error.what()));
      }
    });
    // What cpp-httplib refuses itself has no body.
    set_error_handler(Handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) answer_error(response, {.status = response.status, .message = "the request is not valid HTTP, too large, or took too long"});
    }));
    // Not as its logger, which runs when the client has the answer already.
    set_post_routing_handler([this](const httplib::Request& request, httplib::Response& response) { service_.metrics().count_request(endpoint_of(request.path), response.status); });
  }
  ~Server() override { ::close(stop_event_); }

  void start() {
    port_ = options_.port == 0 ? bind_to_any_port(options_.host) : bind_to_port(options_.host, options_.port) ? options_.port : -1;
    require(port_ > 0, ErrorKind::Infrastructure, fmt::format("could not listen on {} port {}: {}", options_.host, options_.port, std::strerror(errno)));
    ::listen(svr_sock_, kBacklog);
    thread_ = std::jthread([this] { accept_until_stopped(); });
    while (!is_running()) std::this_thread::yield();
  }

  void shut_down() {
    if (!thread_.joinable()) return;
    service_.drain();
    const std::uint64_t one = 1;
    static_cast<void>(!::write(stop_event_, &one, sizeof one));
    // Again and again, because it does nothing in the moments in which the socket is being made anew.
    while (!ended_.load()) {
      if (is_running() && svr_sock_ != INVALID_SOCKET) stop();
      std::this_thread::sleep_for(kStopPoll);
    }
    thread_.join();
  }

  const HttpOptions& options() const { return options_; }
  int port() const { return port_; }

 private:
  void accept_until_stopped() {
    accepting_ = std::this_thread::get_id();
    while (true) {
      listen_after_bind();
      // Version 0.11 gives up when accept() fails once, if only because a client broke off before it was taken.
      while (!service_.draining() && !bind_to_port(options_.host, port_)) std::this_thread::sleep_for(kRebindPoll);
      if (service_.draining()) break;
      ::listen(svr_sock_, kBacklog);
    }
    ended_ = true;
  }

  bool process_and_close_socket(socket_t socket) override {
    std::atomic<int>& open = service_.metrics().connections;
    const auto connections = static_cast<std::size_t>(++open);
    HttpConnection connection(socket, stop_event_, [this] { return service_.end(); }, limits_);
    if (connections > limits_.connections || std::this_thread::get_id() == accepting_) {
      refuse(connection);
    } else {
      serve(connection);
    }
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    --open;
    return true;
  }

  void refuse(HttpConnection& connection) {
    const std::string body = dump_json(to_json(overloaded_error("too many connections; try again later")));
    connection.httplib::Stream::write(fmt::format("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}", kJson, body.size(), body));
    connection.linger(kRefusalLinger);
  }

  void serve(HttpConnection& connection) {
    auto patience = limits_.header_time;
    while (connection.await_request(patience)) {
      patience = limits_.idle_time;
      connection.begin_request();
      // Idle connections give way when there are many.
      const bool crowded = static_cast<std::size_t>(service_.metrics().connections.load()) > limits_.connections * 3 / 4;
      bool closed = false, counted_body = true;
      std::uint64_t length = 0;
      const auto prepare = [&](httplib::Request& request) {
        counted_body = !request.has_header("Transfer-Encoding");
        length = request.get_header_value<std::uint64_t>("Content-Length");
        // Answers are short or streams: no ranges of them, no compression.
        request.ranges.clear();
        request.headers.erase("Range");
        request.headers.erase("Accept-Encoding");
        // Version 0.11 gives a handler no way to its connection; this member is for clients alone, and serves.
        request.progress = [&connection](std::uint64_t, std::uint64_t) { return connection.present(); };
      };
      const bool good = process_request(connection, crowded || service_.draining(), closed, prepare);
      const bool body_read = counted_body && connection.body_bytes() == length;
      if (!body_read || !good) connection.linger(kLinger);
      if (!body_read || !good || closed || crowded || service_.draining()) return;
    }
  }

  HandlerResponse guard(const httplib::Request& request, httplib::Response& response) {
    try {
      check(request);
    } catch (const ApiRefusal& refused) {
      if (refused.error().status == 401) response.set_header("WWW-Authenticate", "Bearer");
      answer_error(response, refused.error());
      return HandlerResponse::Handled;
    }
    if (request.method == "POST") return HandlerResponse::Unhandled;
    get(request, response);
    return HandlerResponse::Handled;
  }

  /// Everything that can be said before the body is read. Refuses what it does not know; health alone needs no key.
  void check(const httplib::Request& request) const {
    if (request.path != "/health" && !options_.keys.empty() && !options_.keys.accepts_header(request.get_header_value("Authorization"))) {
      const bool shown_one = request.has_header("Authorization");
      throw ApiRefusal({.status = 401, .message = shown_one ? "the API key is not valid" : "an API key is required: Authorization: Bearer KEY", .code = "invalid_api_key"});
    }
    if (options_.keys.empty()) check_neighbour(request);
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    const bool one_model = request.path.starts_with(kModelPrefix);
    const char* expected = one_model ? "GET" : nullptr;
    for (const auto& route : kRoutes) {
      if (request.path == route.path) expected = route.method;
    }
    if (expected == nullptr) throw ApiRefusal(not_found_error(fmt::format("unknown path {}", shown(Json(request.path)))));
    if (method != expected) throw ApiRefusal({.status = 405, .message = fmt::format("{} is not accepted here; accepted: {}", shown(Json(request.method)), expected), .code = "method_not_allowed"});
    if (method == "POST") check_body_headers(request);
  }

  /// Without a key, a web page that the user happens to visit must not reach the model: not under a name of its own that leads here, and not
  /// as a request from elsewhere.
  void check_neighbour(const httplib::Request& request) const {
    const std::string host = request.get_header_value("Host");
    if (!host.empty() && !is_loopback(host_name(host))) throw ApiRefusal({.status = 403, .message = "without a key this server answers to localhost alone", .code = "forbidden_host"});
    const std::string origin = request.get_header_value("Origin");
    const auto scheme = origin.find("://");
    if (!origin.empty() && (scheme == std::string::npos || !is_loopback(host_name(origin.substr(scheme + 3))))) throw ApiRefusal({.status = 403, .message = "without a key this server takes no requests from other origins", .code = "forbidden_origin"});
  }

  void check_body_headers(const httplib::Request& request) const {
    if (service_.draining()) throw ApiRefusal(overloaded_error("the server is being stopped"));
    if (!is_json_type(request.get_header_value("Content-Type"))) throw ApiRefusal({.status = 415, .message = "the body must be JSON, with Content-Type: application/json", .code = "unsupported_media_type"});
    if (request.has_header("Content-Encoding")) throw ApiRefusal({.status = 415, .message = "compressed bodies are not accepted", .code = "unsupported_media_type"});
    const bool length = request.has_header("Content-Length"), chunked = request.has_header("Transfer-Encoding");
    if (length == chunked || request.get_header_value_count("Content-Length") > 1) throw ApiRefusal({.status = 411, .message = "the body needs either one Content-Length or chunks", .code = "length_required"});
    if (!length) return;
    const std::string digits = request.get_header_value("Content-Length");
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) throw ApiRefusal({.status = 400, .message = "Content-Length is not a number"});
    if (digits.size() > 18 || std::stoull(digits) > limits_.body_bytes) throw ApiRefusal(too_large());
  }

  ApiError too_large() const { return {.status = 413, .message = fmt::format("the body is larger than {} bytes", limits_.body_bytes), .code = "request_too_large"}; }

  void get(const httplib::Request& request, httplib::Response& response) const {
    response.status = 200;
    if (request.path == "/health") {
      const bool stopping = service_.draining();
      response.status = stopping ? 503 : 200;
      response.set_content(stopping ? R"({"status":"stopping"})" : R"({"status":"ok"})", kJson);
    } else if (request.path == "/metrics") {
      response.set_content(service_.metrics_text(), "text/plain; version=0.0.4");
    } else if (request.path == "/v1/models") {
      response.set_content(dump_json(service_.models()), kJson);
    } else {
      try {
        response.set_content(dump_json(service_.model(request.path.substr(kModelPrefix.size()))), kJson);
      } catch (const ApiRefusal& refused) {
        answer_error(response, refused.error());
      }
    }
  }

  void post(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& read) {
    std::string body;
    // As long as there is an answer to come the conversation is in memory, in one form or another.
    const auto share = std::make_shared<BodyBudget::Share>(bodies_);
    bool large = false, crowded = false;
    const bool complete = read([&](const char* data, std::size_t size) {
      large = body.size() + size > limits_.body_bytes;
      crowded = !large && !share->take(size);
      if (!large && !crowded) body.append(data, size);
      return !large && !crowded;
    });
    if (large) throw ApiRefusal(too_large());
    if (crowded) throw ApiRefusal(overloaded_error("the requests in work are too large together; try again later"));
    if (!complete && service_.draining()) throw ApiRefusal(overloaded_error("the server is being stopped"));
    if (!complete) throw ApiRefusal({.status = 400, .message = "the body did not arrive whole, or not in time"});
    const auto answer = request.path == kRoutes[0].path ? service_.chat(body) : service_.complete(body);
    body = std::string();
    const Presence present = [progress = request.progress] { return progress(0, 0); };
    response.set_header("X-Request-Id", answer->id());
    response.status = 200;
    if (!answer->streams()) {
      response.set_content(answer->whole(present), kJson);
      if (response.body.empty()) response.status = kClientLeft;
      return;
    }
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider("text/event-stream", [answer, present, share](std::size_t, httplib::DataSink& sink) {
      if (!answer->stream([&](std::string_view bytes) { return sink.write(bytes.data(), bytes.size()); }, present)) return false;
      sink.done();
      return true;
    });
  }

  HttpOptions options_;
  ModelService& service_;
  const ServerLimits& limits_;
  BodyBudget bodies_{limits_.bodies_bytes};
  int stop_event_;
  int port_ = -1;
  std::thread::id accepting_;  ///< written before there is any connection
  std::atomic<bool> ended_ = false;
  std::jthread thread_;
};

HttpFront::HttpFront(HttpOptions options, ModelService& service) {
  require(!options.keys.empty() || is_loopback(options.host), ErrorKind::Usage,
          fmt::format("{} can be reached from other machines: give a key, or listen on 127.0.0.1, ::1 or localhost", options.host));
  require(options.port >= 0 && options.port <= 65535, ErrorKind::Usage, fmt::format("port: found {}; accepted: 0 (any) to 65535", options.port));
  server_ = std::make_unique<Server>(std::move(options), service);
  server_->start();
}

HttpFront::~HttpFront() { stop(); }
int HttpFront::port() const { return server_->port(); }

std::string HttpFront::address() const {
  const std::string& host = server_->options().host;
  return fmt::format("http://{}:{}", host.find(':') == std::string::npos ? host : "[" + host + "]", server_->port());
}

void HttpFront::stop() { server_->shut_down(); }

}  // namespace gauntlet

#pragma once

// One HTTP endpoint with pooled keep-alive connections, whose calls can be broken off at any moment.
// Covered by openai_model_test.cpp.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/endpoint_url.h"
#include "core/chat_model.h"

namespace gauntlet {

struct HttpLimits {
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds read_timeout{600'000};  ///< between two pieces of a reply, and for the first one
  std::size_t max_body_bytes = std::size_t{64} << 20;
};

struct HttpCall {
  std::string method;
  std::string path;  ///< from the root of the host
  std::string body;  ///< sent as application/json if not empty
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

struct HttpHead {
  int status = 0;  ///< 0: no response came
  std::string content_type;
  std::string retry_after;
  std::string location;
};

/// How a call ended; everything but Complete leaves the body cut off where it was.
enum class HttpEnd { Complete, ConnectFailed, Broken, ReadTimeout, DeadlinePassed, Cancelled, BodyTooLong };

struct HttpResult {
  HttpEnd end = HttpEnd::Complete;
  HttpHead head;
  std::string detail;  ///< of ConnectFailed: host, port and what is wrong; of Broken: the library's word for it
};

/// Thread-safe; each call has a connection of its own. The process must ignore SIGPIPE, which a broken connection raises.
class HttpEndpoint {
 public:
  using OnBody = std::function<void(const HttpHead& head, std::string_view bytes)>;

  HttpEndpoint(EndpointUrl url, HttpLimits limits);
  ~HttpEndpoint();
  HttpEndpoint(const HttpEndpoint&) = delete;
  HttpEndpoint& operator=(const HttpEndpoint&) = delete;

  /// Blocks until the response is complete, the deadline passes or `cancel` is set (seen within some 20 ms, except while the
  /// name is being resolved). `on_body` is called in this thread; what it throws comes out of here. Redirects are not followed.
  HttpResult exchange(const HttpCall& call, const CancelFlag& cancel, const OnBody& on_body);

 private:
  class Connection;
  std::unique_ptr<Connection> take_connection();
  void give_back(std::unique_ptr<Connection> connection);

  struct Pool;
  EndpointUrl url_;
  HttpLimits limits_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace gauntlet

#include "agent/http_exchange.h"

// The layouts of httplib's classes depend on these, and Debian's library is built with all three.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <thread>

#include "agent/connect_failure.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kWatchInterval{20};
constexpr std::chrono::milliseconds kLookLimit{1000};  ///< to find out why a connection failed

/// A second descriptor of the socket in use, so that another thread can shut the connection down while httplib is connecting,
/// reading or writing, without ever touching a descriptor that httplib has closed and the system has given to someone else.
class SocketHold {
 public:
  ~SocketHold() { drop(); }

  void hold(int socket) {
    const std::lock_guard lock(mutex_);
    drop();
    socket_ = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  }
  void shut_down() {
    const std::lock_guard lock(mutex_);
    if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
  }

 private:
  void drop() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  std::mutex mutex_;
  int socket_ = -1;
};

/// One thread that breaks off the calls of an endpoint whose deadline passes or whose caller gives up, however many there are. It tries
/// again until a call is forgotten, because a socket may be opened after the first time.
class Watcher {
 public:
  struct Call {
    SocketHold& socket;
    Clock::time_point deadline;
    const CancelFlag& cancel;
  };

  /// Watches while it lives.
  class Guard {
   public:
    Guard(Watcher& watcher, Call call) : watcher_(watcher) {
      const std::lock_guard lock(watcher_.mutex_);
      place_ = watcher_.calls_.insert(watcher_.calls_.end(), call);
      watcher_.wake_.notify_one();
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      const std::lock_guard lock(watcher_.mutex_);
      watcher_.calls_.erase(place_);
    }

   private:
    Watcher& watcher_;
    std::list<Call>::iterator place_;
  };

 private:
  void watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return !calls_.empty(); })) {
      const auto now = Clock::now();
      for (const Call& call : calls_) {
        if (call.cancel.load() || now >= call.deadline) call.socket.shut_down();
      }
      wake_.wait_for(lock, stop, kWatchInterval, [] { return false; });
    }
  }

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::list<Call> calls_;
  std::jthread thread_{[this](const std::stop_token& stop) { watch(stop); }};  // Last: it is joined before what it uses goes.
};

/// Takes the body in and remembers why it stopped.
struct BodySink {
  const HttpEndpoint::OnBody& on_body;
  std::size_t max_bytes;
  HttpHead head;
  std::size_t size = 0;
  bool too_long = false;
  Clock::time_point last_read = Clock::now();
  std::exception_ptr failure;

  bool on_head(const httplib::Response& response) {
    head = {.status = response.status,
            .content_type = response.get_header_value("Content-Type"),
            .retry_after = response.get_header_value("Retry-After"),
            .location = response.get_header_value("Location")};
    last_read = Clock::now();
    return true;
  }
  bool on_bytes(const char* bytes, std::size_t count) {
    last_read = Clock::now();
    size += count;
    too_long = size > max_bytes;
    if (too_long) return false;
    try {
      on_body(head, {bytes, count});
    } catch (...) {
      failure = std::current_exception();  // httplib is not written to be thrown through.
    }
    return failure == nullptr;
  }
};

httplib::Request make_request(const HttpCall& call, BodySink& sink) {
  httplib::Request request;
  request.method = call.method;
  request.path = call.path;
  for (const auto& [name, value] : call.headers) request.headers.emplace(name, value);
  if (!call.body.empty()) request.headers.emplace("Content-Type", "application/json");
  request.body = call.body;
  request.response_handler = [&sink](const httplib::Response& response) { return sink.on_head(response); };
  request.content_receiver = [&sink](const char* bytes, std::size_t count, std::uint64_t, std::uint64_t) {
    return sink.on_bytes(bytes, count);
  };
  return request;
}

bool is_connect_error(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
    case httplib::Error::BindIPAddress:
    case httplib::Error::SSLConnection:
    case httplib::Error::SSLLoadingCerts:
    case httplib::Error::SSLServerVerification:
      return true;
    default:
      return false;
  }
}

/// httplib has one word for a name that is not known, a port where nobody listens, and a network that is not there.
std::string connect_problem(httplib::Error error, const EndpointUrl& url, const HttpLimits& limits) {
  if (error == httplib::Error::Connection) return why_not_connected(url.host, url.port, kLookLimit);
  const std::chrono::duration<double> waited = limits.connect_timeout;
  const std::string words = error == httplib::Error::ConnectionTimeout ? fmt::format("no answer within {:g} s", waited.count()) : httplib::to_string(error);
  return fmt::format("{} port {}: {}", url.host, url.port, words);
}

}  // namespace

class HttpEndpoint::Connection {
 public:
  explicit Connection(const EndpointUrl& url) {
    if (url.tls) {
      client_ = std::make_unique<httplib::SSLClient>(url.host, url.port);
    } else {
      client_ = std::make_unique<httplib::ClientImpl>(url.host, url.port);
    }
    client_->set_keep_alive(true);
    client_->set_tcp_nodelay(true);
    client_->set_socket_options([this](socket_t socket) { socket_.hold(socket); });
  }

  httplib::ClientImpl& client() { return *client_; }
  SocketHold& socket() { return socket_; }

 private:
  SocketHold socket_;
  std::unique_ptr<httplib::ClientImpl> client_;
};

struct HttpEndpoint::Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Connection>> idle;
  Watcher watcher;
};

HttpEndpoint::HttpEndpoint(EndpointUrl url, HttpLimits limits)
    : url_(std::move(url)), limits_(limits), pool_(std::make_unique<Pool>()) {}

HttpEndpoint::~HttpEndpoint() = default;

std::unique_ptr<HttpEndpoint::Connection> HttpEndpoint::take_connection() {
  {
    const std::lock_guard lock(pool_->mutex);
    if (!pool_->idle.empty()) {
      auto connection = std::move(pool_->idle.back());
      pool_->idle.pop_back();
      return connection;
    }
  }
  return std::make_unique<Connection>(url_);
}

void HttpEndpoint::give_back(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(pool_->mutex);
  pool_->idle.push_back(std::move(connection));
}

HttpResult HttpEndpoint::exchange(const HttpCall& call, const CancelFlag& cancel, const OnBody& on_body) {
  if (cancel.load()) return {.end = HttpEnd::Cancelled};
  if (Clock::now() >= call.deadline) return {.end = HttpEnd::DeadlinePassed};

  auto connection = take_connection();
  connection->client().set_connection_timeout(limits_.connect_timeout);
  connection->client().set_read_timeout(limits_.read_timeout);
  connection->client().set_write_timeout(limits_.read_timeout);

  BodySink sink{.on_body = on_body, .max_bytes = limits_.max_body_bytes};
  httplib::Request request = make_request(call, sink);
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  bool sent = false;
  {
    const Watcher::Guard guard(pool_->watcher, {.socket = connection->socket(), .deadline = call.deadline, .cancel = cancel});
    sent = connection->client().send(request, response, error);
  }
  if (sink.failure) std::rethrow_exception(sink.failure);
  HttpResult result{.head = sink.head, .detail = httplib::to_string(error)};
  if (sent) {
    give_back(std::move(connection));
  } else if (sink.too_long) {
    result.end = HttpEnd::BodyTooLong;
  } else if (cancel.load()) {
    result.end = HttpEnd::Cancelled;
  } else if (Clock::now() >= call.deadline) {
    result.end = HttpEnd::DeadlinePassed;
  } else if (is_connect_error(error)) {
    result.end = HttpEnd::ConnectFailed;
    result.detail = connect_problem(error, url_, limits_);
  } else {
    result.end = Clock::now() - sink.last_read >= limits_.read_timeout ? HttpEnd::ReadTimeout : HttpEnd::Broken;
  }
  return result;
}

}  // namespace gauntlet

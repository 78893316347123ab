#include "inference/server/http_connection.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gauntlet {
namespace {

/// Beyond the end, for telling a client that is slow to read that it has come.
constexpr std::chrono::milliseconds kLastWords{500};

constexpr std::size_t kReadBytes = 16384;

/// Rounded up: a wait that ends just before its time would be taken for one that ended by it.
std::chrono::milliseconds until(std::chrono::steady_clock::time_point deadline) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()), std::chrono::milliseconds(0));
}

using NameOf = int (*)(int, sockaddr*, socklen_t*);

void address(int socket, NameOf name_of, std::string& ip, int& port) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  auto* const generic = reinterpret_cast<sockaddr*>(&storage);
  if (name_of(socket, generic, &length) != 0) return;
  if (::getnameinfo(generic, length, host.data(), host.size(), service.data(), service.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) return;
  ip = host.data();
  port = std::atoi(service.data());
}

}  // namespace

int HttpConnection::wait(short wanted, Clock::time_point deadline, AtStop at_stop) const {
  while (true) {
    const Clock::time_point end = end_();
    const bool stopping = end != Clock::time_point::max();
    std::array<pollfd, 2> descriptors = {{{.fd = socket_, .events = wanted, .revents = 0}, {.fd = stop_, .events = POLLIN, .revents = 0}}};
    // What is there already is taken even now.
    const Clock::time_point until_when = !stopping ? deadline : at_stop == AtStop::GiveUp ? Clock::now() : std::min(deadline, end + kLastWords);
    const int found = ::poll(descriptors.data(), stopping ? 1 : 2, static_cast<int>(until(until_when).count()));
    if (found < 0 && errno == EINTR) continue;
    if (found <= 0) return 0;
    if (descriptors[0].revents != 0) return descriptors[0].revents;
    if (end_() == Clock::time_point::max()) return 0;  // told to stop without an end
  }
}

bool HttpConnection::await_request(std::chrono::milliseconds most) {
  if (at_ < buffer_.size()) return true;
  return fill(Clock::now() + most, AtStop::GiveUp);
}

void HttpConnection::begin_request() {
  in_body_ = false;
  read_ = 0;
  line_ = 0;
  any_line_ = false;
  deadline_ = Clock::now() + limits_.header_time;
}

bool HttpConnection::fill(Clock::time_point deadline, AtStop at_stop) {
  if ((wait(POLLIN, deadline, at_stop) & (POLLIN | POLLHUP)) == 0) return false;
  buffer_.resize(kReadBytes);
  ssize_t got = 0;
  do {
    got = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  at_ = 0;
  return got > 0;
}

/// The empty line after the headers begins the body.
void HttpConnection::watch_headers(char c) {
  if (c != '\n') {
    if (c != '\r') ++line_;
    return;
  }
  if (line_ == 0 && any_line_) {
    in_body_ = true;
    read_ = 0;
    deadline_ = Clock::now() + limits_.body_time;
  }
  any_line_ = any_line_ || line_ > 0;
  line_ = 0;
}

ssize_t HttpConnection::read(char* out, std::size_t size) {
  // A chunked body has more bytes than its content; the content itself is counted where it is gathered.
  const std::uint64_t most = in_body_ ? 2 * std::uint64_t{limits_.body_bytes} + kReadBytes : limits_.header_bytes;
  if (read_ >= most) return -1;
  // A request that is not here when the server is told to stop would be refused anyway.
  if (at_ == buffer_.size() && !fill(deadline_, AtStop::GiveUp)) return -1;
  // Headers are read byte by byte, so that where they end is seen in time.
  const std::size_t count = std::min(buffer_.size() - at_, in_body_ ? size : std::size_t{1});
  std::memcpy(out, buffer_.data() + at_, count);
  at_ += count;
  read_ += count;
  if (!in_body_) watch_headers(*out);
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* data, std::size_t size) {
  const auto deadline = Clock::now() + limits_.write_time;
  while (true) {
    const ssize_t sent = ::send(socket_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    if (until(deadline).count() == 0 || (wait(POLLOUT, deadline, AtStop::UntilEnd) & POLLOUT) == 0) return -1;
  }
}

bool HttpConnection::present() const { return (wait(POLLRDHUP, Clock::now(), AtStop::UntilEnd) & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0; }

void HttpConnection::linger(std::chrono::milliseconds most) {
  const auto deadline = Clock::now() + most;
  ::shutdown(socket_, SHUT_WR);
  while (until(deadline).count() > 0 && fill(deadline, AtStop::UntilEnd)) {
  }
}

bool HttpConnection::is_readable() const { return at_ < buffer_.size() || wait(POLLIN, deadline_, AtStop::GiveUp) != 0; }
bool HttpConnection::is_writable() const { return (wait(POLLOUT, Clock::now() + limits_.write_time, AtStop::UntilEnd) & POLLOUT) != 0 && present(); }
void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const { address(socket_, ::getpeername, ip, port); }
void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const { address(socket_, ::getsockname, ip, port); }

}  // namespace gauntlet

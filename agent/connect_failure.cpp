#include "agent/connect_failure.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace gauntlet {
namespace {

/// 0: connected; else an errno.
int connect_once(const addrinfo& address, std::chrono::milliseconds limit) {
  const int socket = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
  if (socket < 0) return errno;
  int error = ::connect(socket, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd wait{.fd = socket, .events = POLLOUT, .revents = 0};
    socklen_t size = sizeof error;
    const int ready = ::poll(&wait, 1, static_cast<int>(limit.count()));
    if (ready == 0) error = ETIMEDOUT;
    if (ready < 0 || (ready > 0 && ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0)) error = errno;
  }
  ::close(socket);
  return error;
}

std::string text_of(int error) { return std::generic_category().message(error); }

}  // namespace

std::string why_not_connected(const std::string& host, int port, std::chrono::milliseconds limit) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int problem = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &list);
  if (problem != 0) return fmt::format("the name of the host {} could not be looked up: {}", host, problem == EAI_SYSTEM ? text_of(errno) : ::gai_strerror(problem));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(list, &::freeaddrinfo);
  int error = 0;
  for (const addrinfo* address = list; address != nullptr; address = address->ai_next) {
    error = connect_once(*address, limit);
    if (error == 0) return fmt::format("{} port {}: it failed once and can be reached now", host, port);
  }
  return fmt::format("{} port {}: {}", host, port, text_of(error));
}

}  // namespace gauntlet

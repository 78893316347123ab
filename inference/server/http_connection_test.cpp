#include "inference/server/http_connection.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A connection whose other side the test holds, and a server that can be told to stop.
struct Line {
  Line() { REQUIRE(stop_event >= 0); }
  ~Line() {
    for (const int descriptor : {sockets[0], sockets[1], stop_event}) ::close(descriptor);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void stop(milliseconds drain) {
    end = Clock::now() + drain;
    const std::uint64_t one = 1;
    REQUIRE(::write(stop_event, &one, sizeof one) == sizeof one);
  }
  /// Writes until no more goes in.
  void fill() {
    const std::string piece(4096, 'x');
    while (::send(sockets[0], piece.data(), piece.size(), MSG_DONTWAIT) > 0) {
    }
  }

  static std::array<int, 2> pair() {
    std::array<int, 2> out{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.data()) == 0);
    return out;
  }

  std::array<int, 2> sockets = pair();
  int stop_event = ::eventfd(0, EFD_CLOEXEC);
  std::atomic<Clock::time_point> end = Clock::time_point::max();
  ServerLimits limits;
  HttpConnection connection{sockets[0], stop_event, [this] { return end.load(); }, limits};
};

TEST_CASE("a write to a client that takes nothing ends with the time to finish, not with its own") {
  Line line;
  line.fill();
  std::atomic<bool> writing = false;
  ssize_t written = 0;
  const auto begin = Clock::now();
  {
    const std::jthread writer([&] {
      writing = true;
      written = line.connection.write("more", 4);
    });
    while (!writing.load()) std::this_thread::yield();
    line.stop(milliseconds(50));
  }
  CHECK(written == -1);
  CHECK(Clock::now() - begin >= milliseconds(50));
  CHECK(Clock::now() - begin < seconds(10));
}

TEST_CASE("while there is time to finish, a client that takes its answer gets it") {
  Line line;
  line.fill();
  line.stop(seconds(20));
  std::atomic<ssize_t> written = 0;
  {
    const std::jthread writer([&] { written = line.connection.write("more", 4); });
    std::array<char, 65536> buffer{};
    while (written.load() == 0) ::recv(line.sockets[1], buffer.data(), buffer.size(), MSG_DONTWAIT);
  }
  CHECK(written == 4);
}

TEST_CASE("a request that is not whole when the server is told to stop is given up, and what has come is read") {
  Line line;
  line.connection.begin_request();
  REQUIRE(::send(line.sockets[1], "GET", 3, 0) == 3);
  std::string got;
  const auto begin = Clock::now();
  {
    const std::jthread reader([&] {
      char c = 0;
      while (line.connection.read(&c, 1) == 1) got += c;
    });
    line.stop(seconds(60));
  }
  CHECK(got == "GET");
  CHECK(Clock::now() - begin < seconds(9));  // headers have ten
  CHECK_FALSE(line.connection.await_request(seconds(60)));
  REQUIRE(::send(line.sockets[1], "P", 1, 0) == 1);
  CHECK(line.connection.await_request(seconds(60)));
}

TEST_CASE("lingering ends with the time to finish") {
  Line line;
  line.stop(milliseconds(0));
  const auto begin = Clock::now();
  line.connection.linger(seconds(60));
  CHECK(Clock::now() - begin < seconds(10));
}

}  // namespace
}  // namespace gauntlet

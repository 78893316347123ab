#pragma once

// One client's socket as cpp-httplib reads and writes it, with the limits that version 0.11 does not keep: of a request's headers and body in
// bytes and in time, counted over all reads, so that neither endless lines nor a byte now and then hold a thread for long.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

// As Debian's library is built: these change the layout of its types.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <httplib.h>

#include "inference/server/limits.h"

namespace gauntlet {

class HttpConnection : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;
  /// When whatever still goes on must end: max() unless the server is being stopped.
  using EndOfAll = std::function<Clock::time_point()>;

  /// Does not own the socket. `stop` is a descriptor that becomes readable when the server is being stopped; by then `end` must know the end.
  HttpConnection(int socket, int stop, EndOfAll end, const ServerLimits& limits) : socket_(socket), stop_(stop), end_(std::move(end)), limits_(limits) {}

  /// Waits for the first byte of a request. False when none came in `most`, the client left, or the server is being stopped.
  bool await_request(std::chrono::milliseconds most);
  void begin_request();
  /// Bytes of the body that have been read.
  std::uint64_t body_bytes() const { return in_body_ ? read_ : 0; }

  /// Whether the client is there: it has not closed its side.
  bool present() const;
  /// Tells the client that no more comes, and reads what it still sends for a moment: closing at once would take the last answer away from it.
  void linger(std::chrono::milliseconds most);

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* out, std::size_t size) override;
  ssize_t write(const char* data, std::size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  /// What a wait does when the server is told to stop.
  enum class AtStop { GiveUp, UntilEnd };

  /// The socket's events; 0 when none of those that were wanted came in time.
  int wait(short wanted, Clock::time_point deadline, AtStop at_stop) const;
  bool fill(Clock::time_point deadline, AtStop at_stop);
  void watch_headers(char c);

  int socket_, stop_;
  EndOfAll end_;
  const ServerLimits& limits_;
  std::string buffer_;
  std::size_t at_ = 0;
  bool in_body_ = false;
  std::uint64_t read_ = 0;       ///< of the headers, then of the body
  std::size_t line_ = 0;         ///< characters of the header line so far
  bool any_line_ = false;
  Clock::time_point deadline_;
};

}  // namespace gauntlet

#pragma once

// Every limit on what clients may ask of the server, in one place.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace gauntlet {

struct ServerLimits {
  // Of a request's bytes, kept by the HTTP front.
  std::size_t header_bytes = std::size_t{64} << 10;  ///< request line and headers together
  std::size_t body_bytes = std::size_t{16} << 20;
  std::size_t bodies_bytes = std::size_t{256} << 20; ///< of all requests in work together; beyond: 503
  std::chrono::milliseconds header_time{10'000};     ///< from the first byte to the end of the headers
  std::chrono::milliseconds body_time{60'000};
  std::chrono::milliseconds write_time{30'000};      ///< a client that takes nothing for so long has left
  std::chrono::milliseconds idle_time{30'000};       ///< of a connection between two requests
  std::size_t connections = 512;

  // Of a request's content.
  int json_depth = 64;
  std::size_t messages = 4096;
  std::size_t content_parts = 4096;    ///< of one message
  std::size_t tools = 512;
  std::size_t stop_strings = 16;
  std::size_t stop_bytes = 256;        ///< of one stop string
  std::size_t stop_ids = 64;
  int samples = 16;                    ///< n
  std::size_t prompts = 256;           ///< of one text completion
  int choices = 512;                   ///< prompts times n
  int top_logprobs = 20;

  // Of the work.
  int waiting = 1024;                                ///< requests that wait for the engine; beyond: 429
  std::chrono::milliseconds presence_check{200};     ///< how often a waiting request looks whether its client is still there
  std::chrono::milliseconds silence{15'000};         ///< a stream with nothing to say sends a comment so often
  std::chrono::milliseconds drain{10'000};           ///< running requests have so long to finish once the server is told to stop
};

}  // namespace gauntlet

#pragma once

// For tests: an HTTP server on the loopback interface that answers as it is told.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gauntlet {

struct ScriptedAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::string> pieces;  ///< of the body, each sent as a chunk of its own
  std::vector<std::pair<std::string, std::string>> headers;
  bool cut = false;   ///< breaks the connection after the pieces
  bool hold = false;  ///< stays silent after the pieces until the endpoint is destroyed
};

struct SeenRequest {
  std::string method;
  std::string path;
  std::string body;
  std::string authorization;
  int remote_port = 0;  ///< tells connections apart
};

/// Gives the answers in order, the last one again and again. Destroy its clients first.
class ScriptedEndpoint {
 public:
  explicit ScriptedEndpoint(std::vector<ScriptedAnswer> answers);
  ~ScriptedEndpoint();
  ScriptedEndpoint(const ScriptedEndpoint&) = delete;
  ScriptedEndpoint& operator=(const ScriptedEndpoint&) = delete;

  int port() const;
  std::string base_url() const;  ///< "http://127.0.0.1:PORT"
  std::vector<SeenRequest> seen() const;
  void wait_until_seen(std::size_t requests) const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace gauntlet

#pragma once

// The service over HTTP. Loopback by default; anywhere else only with a key.

#include <memory>
#include <string>

#include "inference/server/api_keys.h"
#include "inference/server/model_service.h"

namespace gauntlet {

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 0;    ///< 0: any that is free
  ApiKeys keys;    ///< none: every request is taken
};

/// Serves from its construction to its destruction, on threads of its own.
class HttpFront {
 public:
  /// Throws Error(Usage) for a host beyond this machine without a key, and Error(Infrastructure) if the address cannot be had.
  HttpFront(HttpOptions options, ModelService& service);
  /// As stop().
  ~HttpFront();
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  int port() const;
  /// "http://127.0.0.1:8000"
  std::string address() const;
  /// Takes no more requests, and gives those that run the service's time to finish before they are cancelled.
  void stop();

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

/// Names and addresses that only this machine reaches.
bool is_loopback(const std::string& host);

}  // namespace gauntlet

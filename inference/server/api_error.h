#pragma once

// Refusals and failures as OpenAI's API words them.

#include <stdexcept>
#include <string>

#include "core/json.h"

namespace gauntlet {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;  ///< the member that is wrong; empty: null on the wire
  std::string code;   ///< empty: null on the wire
};

/// {"error": {"message", "type", "param", "code"}}
Json to_json(const ApiError& error);

/// Ends the work on one request; caught once for each request.
class ApiRefusal : public std::runtime_error {
 public:
  explicit ApiRefusal(ApiError error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const ApiError& error() const { return error_; }

 private:
  ApiError error_;
};

/// 400 with the member that is wrong.
[[noreturn]] void refuse_member(const std::string& param, const std::string& message, const std::string& code = "");

ApiError not_found_error(const std::string& message, const std::string& code = "");
ApiError overloaded_error(const std::string& message);     ///< 503
ApiError rate_limit_error(const std::string& message);     ///< 429
ApiError server_error(const std::string& message);         ///< 500

}  // namespace gauntlet

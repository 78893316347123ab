#pragma once

// Why one attempt at an endpoint brought no reply, and whether another may.

#include <chrono>
#include <string>
#include <string_view>

#include "agent/http_exchange.h"
#include "agent/openai_wire.h"
#include "core/chat_model.h"

namespace gauntlet {

struct Failure {
  FaultClass fault = FaultClass::Protocol;
  std::string message;
  bool retry = false;
  double retry_after_s = -1;
  bool empty_stream = false;
  std::string context_refusal;  ///< of ContextLength: all that the endpoint said
};

inline constexpr std::size_t kExcerptBytes = 200;

/// What is shown of a body, in quotation marks and on one line.
std::string excerpt(std::string_view body, std::size_t most = kExcerptBytes);
bool is_html(const HttpHead& head, std::string_view body);

/// `where` names the request in each message. Of a reply with another status than 200:
Failure status_failure(const std::string& where, const HttpHead& head, const std::string& body);
/// Of a call that did not complete:
Failure end_failure(const std::string& where, const HttpResult& result);
/// Of an error that came with status 200, in a body or in the middle of a stream:
Failure wire_failure(const std::string& where, const WireError& error);

/// Seconds to wait by a Retry-After header (a number or an HTTP date); -1 if there is none or it makes no sense.
double retry_after_seconds(const std::string& header, std::chrono::system_clock::time_point now);

}  // namespace gauntlet

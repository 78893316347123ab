#include "agent/endpoint_failure.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Of an endpoint that refuses a long context: the numbers come after some words.
constexpr std::size_t kRefusalBytes = 600;

}  // namespace

std::string excerpt(std::string_view body, std::size_t most) {
  if (body.empty()) return "an empty body";
  std::string text = valid_utf8(body.substr(0, most));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return fmt::format("\"{}{}\"", text, body.size() > most ? "…" : "");
}

bool is_html(const HttpHead& head, std::string_view body) {
  const std::size_t start = body.find_first_not_of(" \t\r\n");
  return head.content_type.starts_with("text/html") || (start != std::string_view::npos && body[start] == '<');
}

Failure status_failure(const std::string& where, const HttpHead& head, const std::string& body) {
  const auto with_excerpt = [&](std::size_t most) { return fmt::format("{}: found status {} with {}", where, head.status, excerpt(body, most)); };
  const std::string found = with_excerpt(kExcerptBytes);
  bool context_length = false;
  try {
    if (const auto error = find_wire_error(parse_json(body, "the error"))) context_length = error->context_length;
  } catch (const Error&) {
    // An error page need not be JSON; the status says enough.
  }
  if (context_length) {
    return {.fault = FaultClass::ContextLength, .message = with_excerpt(kRefusalBytes) + "; accepted: a prompt that fits the model's context", .context_refusal = body};
  }
  const double wait = retry_after_seconds(head.retry_after, std::chrono::system_clock::now());
  if (head.status == 429) return {FaultClass::RateLimited, found + "; accepted: status 200", true, wait};
  if (head.status >= 500 || head.status == 408) return {FaultClass::Server, found + "; accepted: status 200", true, wait};
  if (head.status >= 400) {
    return {FaultClass::Rejected, found + "; check the address, the API key, the model's name and the options"};
  }
  return {FaultClass::Protocol, fmt::format("{}{}; accepted: status 200 (redirects are not followed)", found,
                                            head.location.empty() ? "" : ", redirected to " + head.location)};
}

Failure end_failure(const std::string& where, const HttpResult& result) {
  switch (result.end) {
    case HttpEnd::ConnectFailed:
      return {FaultClass::Connection,
              fmt::format("{}: could not connect ({}); accepted: a running endpoint at this address", where, result.detail),
              true};
    case HttpEnd::ReadTimeout:
      return {FaultClass::Timeout, where + ": the endpoint sent nothing within the read timeout", true};
    case HttpEnd::DeadlinePassed:
      return {FaultClass::Timeout, where + ": the deadline passed before the reply was complete"};
    case HttpEnd::Cancelled:
      return {FaultClass::Cancelled, where + ": cancelled by the caller"};
    case HttpEnd::BodyTooLong:
      return {FaultClass::Protocol, where + ": the reply is longer than the client accepts"};
    case HttpEnd::Broken:
    case HttpEnd::Complete:
      break;
  }
  if (result.head.status == 0) {
    return {FaultClass::Connection, fmt::format("{}: the connection broke before a reply ({})", where, result.detail), true};
  }
  return {FaultClass::Protocol, where + ": the reply was cut off; accepted: a whole reply", true};
}

Failure wire_failure(const std::string& where, const WireError& error) {
  const std::size_t most = error.context_length ? kRefusalBytes : kExcerptBytes;
  const std::string found = fmt::format("{}: found the error {} (code \"{}\")", where, excerpt(error.message, most), error.code);
  if (error.context_length) return {.fault = FaultClass::ContextLength, .message = found, .context_refusal = error.message};
  if (error.code == "429" || error.code.starts_with("rate_limit")) return {FaultClass::RateLimited, found, true};
  const bool refused = (error.code.size() == 3 && error.code[0] == '4') || error.code.starts_with("invalid_request");
  return {refused ? FaultClass::Rejected : FaultClass::Server, found, !refused};
}

double retry_after_seconds(const std::string& header, std::chrono::system_clock::time_point now) {
  if (header.empty()) return -1;
  double seconds = -1;
  const auto [end, error] = std::from_chars(header.data(), header.data() + header.size(), seconds);
  if (error == std::errc{} && end == header.data() + header.size())
    return std::isfinite(seconds) && seconds >= 0 ? seconds : -1;
  std::tm date{};
  std::istringstream text(header);
  text.imbue(std::locale::classic());
  text >> std::get_time(&date, "%a, %d %b %Y %H:%M:%S GMT");
  if (text.fail()) return -1;
  const std::time_t at = ::timegm(&date);
  return std::max(0.0, std::difftime(at, std::chrono::system_clock::to_time_t(now)));
}

}  // namespace gauntlet

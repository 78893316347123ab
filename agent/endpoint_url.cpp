#include "agent/endpoint_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::string_view kAccepted =
    "accepted: http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], for example http://127.0.0.1:8000/v1";

/// The address is shown only where it cannot carry a password.
[[noreturn]] void refuse(std::string_view address, std::string_view found) {
  const bool may_be_secret = address.find_first_of("@?") != std::string_view::npos;
  fail(ErrorKind::Usage, fmt::format("could not use {} as the endpoint's address: {}; {}",
                                     may_be_secret ? "the text given" : fmt::format("\"{}\"", address), found, kAccepted));
}

}  // namespace

std::string EndpointUrl::text() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}{}", tls ? "https" : "http", bracketed ? "[" : "", host, bracketed ? "]" : "", port, path);
}

EndpointUrl parse_endpoint_url(std::string_view address) {
  EndpointUrl url;
  std::string_view rest = address;
  if (rest.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    refuse(address, "it does not begin with http:// or https://");
  }
  if (rest.find_first_of("?#") != std::string_view::npos) refuse(address, "it has a query or a fragment");
  if (std::any_of(rest.begin(), rest.end(), [](unsigned char c) { return c <= ' ' || c == 0x7F; })) {
    refuse(address, "it has a space or a control character");
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  std::string_view path = rest.substr(slash);
  if (authority.find('@') != std::string_view::npos) refuse(address, "it has a user name or password");

  std::size_t host_end = authority.find(':');
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) refuse(address, "the bracket of its host is not closed");
    url.host = authority.substr(1, bracket - 1);
    host_end = bracket + 1;
  } else {
    url.host = authority.substr(0, host_end);
  }
  if (url.host.empty()) refuse(address, "it names no host");
  if (host_end < authority.size()) {
    const std::string_view port = authority.substr(host_end + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (authority[host_end] != ':' || error != std::errc{} || end != port.data() + port.size() || url.port < 1 ||
        url.port > 65535) {
      refuse(address, fmt::format("\"{}\" is not a port", port));
    }
  }
  while (path.ends_with('/')) path.remove_suffix(1);
  url.path = path.empty() ? "/v1" : std::string(path);
  return url;
}

}  // namespace gauntlet

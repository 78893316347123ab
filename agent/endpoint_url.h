#pragma once

#include <string>
#include <string_view>

namespace gauntlet {

struct EndpointUrl {
  bool tls = false;
  std::string host;  ///< without the brackets of an IPv6 address
  int port = 80;
  std::string path;  ///< prefix of every request, no slash at the end; "/v1" where the address names none

  /// The address in full, as shown in messages and recorded with runs.
  std::string text() const;
};

/// Accepts http:// and https:// with an optional port and path. A user name, password, query or fragment is refused: addresses
/// are recorded, so a secret must not be part of one. Throws Error(Usage).
EndpointUrl parse_endpoint_url(std::string_view address);

}  // namespace gauntlet

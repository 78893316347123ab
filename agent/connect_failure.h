#pragma once

// Why a host cannot be reached, which httplib does not tell.

#include <chrono>
#include <string>

namespace gauntlet {

/// "localhost port 9: Connection refused", or that the name is not known. Looks the name up and tries to connect once more, for at most
/// `limit` at each address.
std::string why_not_connected(const std::string& host, int port, std::chrono::milliseconds limit);

}  // namespace gauntlet

#include "agent/endpoint_url.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {

TEST_CASE("an endpoint's address gets /v1 only where it names no path") {
  CHECK(parse_endpoint_url("http://127.0.0.1:8000").text() == "http://127.0.0.1:8000/v1");
  CHECK(parse_endpoint_url("http://127.0.0.1:8000/").text() == "http://127.0.0.1:8000/v1");
  CHECK(parse_endpoint_url("http://127.0.0.1:8000/v1/").text() == "http://127.0.0.1:8000/v1");
  CHECK(parse_endpoint_url("https://openrouter.ai/api/v1").text() == "https://openrouter.ai:443/api/v1");
  CHECK(parse_endpoint_url("http://localhost").port == 80);
}

TEST_CASE("an IPv6 address is taken in brackets") {
  const EndpointUrl url = parse_endpoint_url("http://[::1]:8080/v1");
  CHECK(url.host == "::1");
  CHECK(url.port == 8080);
  CHECK(url.text() == "http://[::1]:8080/v1");
}

TEST_CASE("addresses that cannot be used are refused") {
  for (const char* address :
       {"", "localhost:8000", "ftp://host", "http://", "http://:80", "http://host:", "http://host:0", "http://host:65536",
        "http://host:8a", "http://[::1", "http://[::1]x", "http://host/v1?key=1", "http://host/ v1", "http://a\r\nb"}) {
    CAPTURE(address);
    CHECK_THROWS_AS(parse_endpoint_url(address), Error);
  }
}

TEST_CASE("the message about an address with a password does not show it") {
  try {
    parse_endpoint_url("http://me:hunter2@host/v1");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("hunter2") == std::string::npos);
    CHECK(std::string(error.what()).find("password") != std::string::npos);
    CHECK(error.kind() == ErrorKind::Usage);
  }
}

}  // namespace gauntlet

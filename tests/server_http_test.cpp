// The server as HTTP clients of all kinds meet it: keys, limits, clients that leave, wait, dawdle or lie.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <latch>
#include <thread>

#include "core/error.h"
#include "inference/sample_checkpoint.h"
#include "tests/server_stage.h"

namespace gauntlet {
namespace {

using sample::always;
using sample::ask;
using sample::endless;
using sample::ServerSetting;
using sample::ServerStage;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A client that says exactly what it is told.
class RawClient {
 public:
  explicit RawClient(int port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("could not connect");
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { leave(); }

  /// False when the server has closed.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Reads until `text` has come (true), or the server closed or 20 seconds passed.
  bool read_until(std::string_view text) {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    // Only what is new is searched: a client that reads a fast stream must not be slower than it.
    for (std::size_t from = 0; seen.find(text, from) == std::string::npos;) {
      from = seen.size() - std::min(seen.size(), text.size());
      if (std::chrono::steady_clock::now() > end || !read_more(milliseconds(200))) return seen.find(text, from) != std::string::npos;
    }
    return true;
  }
  /// Reads until the server closes.
  std::string read_all() {
    read_until("\r\n\r\n\r\nnever");
    return seen;
  }
  void leave() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  std::string seen;

 private:
  bool read_more(milliseconds most) {
    pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(most.count())) == 0) return true;
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (got > 0) seen.append(buffer.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  int socket_;
};

std::string http(const std::string& path, const std::string& body, const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

std::string stream_request(const std::string& text) {
  Json body = ask(text);
  body["stream"] = true;
  return http("/v1/chat/completions", dump_json(body));
}

ServerSetting keyed() { return {.service = {.name = "tiny"}, .http = {.keys = ApiKeys::from_text("first-key-1,second-key-2", "KEYS")}}; }

TEST_CASE("with a key every path but health asks for it, whatever the method") {
  const ServerStage stage(always("</think>ok"), keyed());
  for (const char* path : {"/v1/models", "/v1/models/tiny", "/metrics", "/", "/nothing", "/v1/chat/completions", "/v1/completions", "//v1/models", "/v1/../v1/models", "/health/"}) {
    CAPTURE(path);
    for (const httplib::Headers& headers : {httplib::Headers{}, {{"Authorization", "Bearer wrong-key-1"}}, {{"Authorization", "Bearer first-key"}}, {{"Authorization", "first-key-1"}}, {{"X-Api-Key", "first-key-1"}}}) {
      const auto got = stage.get(path, headers), posted = stage.post(path, ask("hi"), headers);
      CHECK(got.status == 401);
      CHECK(posted.status == 401);
      CHECK(posted.code() == "\"invalid_api_key\"");
      CHECK(got.body.find("first-key") == std::string::npos);
    }
  }
  CHECK(stage.get("/health").status == 200);
  for (const char* key : {"first-key-1", "second-key-2"}) {
    const httplib::Headers headers = {{"Authorization", "Bearer " + std::string(key)}};
    CHECK(stage.get("/v1/models", headers).status == 200);
    CHECK(stage.post("/v1/chat/completions", ask("hi"), headers).status == 200);
  }
  CHECK(stage.get("/metrics", {{"Authorization", "Bearer first-key-1"}}).body.find("first-key-1") == std::string::npos);
}

TEST_CASE("without a key only this machine's own addresses are listened on") {
  const ServerStage stage(always("</think>ok"));
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "example.com", "", "127.0.0.1.example.com", "localhost.example.com"}) {
    CAPTURE(host);
    CHECK(sample::error_of([&] { HttpFront({.host = host}, *stage.service); }).find("give a key") != std::string::npos);
  }
  for (const char* host : {"127.0.0.1", "localhost", "127.8.9.10", "::1"}) CHECK(is_loopback(host));
  const HttpFront beyond({.host = "0.0.0.0", .keys = ApiKeys::from_text("first-key-1", "KEYS")}, *stage.service);
  CHECK(beyond.port() > 0);
  CHECK(sample::error_of([&] { HttpFront({.port = stage.front->port()}, *stage.service); }).find("could not listen") != std::string::npos);
}

TEST_CASE("without a key, web pages of other origins and names that lead here are refused") {
  const ServerStage stage(always("</think>ok"));
  for (const httplib::Headers& headers : {httplib::Headers{{"Host", "evil.example"}}, {{"Host", "localhost.evil.example:80"}}, {{"Origin", "https://evil.example"}}, {{"Origin", "null"}}}) {
    CHECK(stage.post("/v1/chat/completions", ask("hi"), headers).status == 403);
    CHECK(stage.get("/v1/models", headers).status == 403);
  }
  CHECK(stage.get("/v1/models", {{"Host", "localhost:1"}, {"Origin", "http://localhost:3000"}}).status == 200);
  CHECK(stage.get("/v1/models", {{"Host", "[::1]:1"}}).status == 200);
}

TEST_CASE("unknown paths, other methods and bodies that are not JSON get errors in the API's form") {
  const ServerStage stage(always("</think>ok"));
  CHECK(stage.get("/nothing").status == 404);
  CHECK(stage.get("/v1/chat/completions").status == 405);
  CHECK(stage.get("/v1/chat/completions").code() == "\"method_not_allowed\"");
  CHECK(stage.post("/v1/models", ask("hi")).status == 405);
  CHECK(stage.post_text("/v1/chat/completions", "{\"messages\": ").status == 400);
  CHECK(stage.post_text("/v1/chat/completions", "").status == 400);
  CHECK(stage.post_text("/v1/chat/completions", "[1]").status == 400);
  CHECK(stage.post_text("/v1/chat/completions", std::string(100'000, '[')).status == 400);
  CHECK(stage.post_text("/v1/chat/completions", dump_json(ask("hi")), {}, "text/plain").status == 415);
  CHECK(stage.post_text("/v1/chat/completions", "a=b", {}, "application/x-www-form-urlencoded").status == 415);
  CHECK(stage.post_text("/v1/chat/completions", "x", {}, "multipart/form-data; boundary=x").status == 415);
  CHECK(stage.post("/v1/chat/completions", ask("hi"), {{"Content-Encoding", "gzip"}}).status == 415);
  CHECK(stage.post_text("/v1/chat/completions", dump_json(ask("hi")), {}, "application/json; charset=utf-8").status == 200);
  CHECK(stage.post_text("/v1/chat/completions", dump_json(ask("hi")), {}, "Application/JSON;charset=utf-8").status == 200);
  CHECK(stage.post_text("/v1/chat/completions", dump_json(ask("hi")), {}, "application/jsonl").status == 415);
  for (const char* text : {"GARBAGE\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n", "GET /health HTTP/1.1\r\nNo colon here\r\n\r\n"}) {
    RawClient client(stage.front->port());
    client.send(text);
    client.read_until("\r\n\r\n");
  }
  CHECK(stage.get("/health").status == 200);
}

TEST_CASE("a body beyond the limit is refused, announced, in chunks, or endless") {
  ServerSetting setting;
  setting.service.limits.body_bytes = 10'000;
  const ServerStage stage(always("</think>ok"), setting);
  const auto large = stage.chat(ask(std::string(20'000, 'x')));
  CHECK(large.status == 413);
  CHECK(large.code() == "\"request_too_large\"");
  for (const char* length : {"-1", "99999999999999999999", "10001", "1e3", "0x10"}) {
    RawClient client(stage.front->port());
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " + std::string(length) + "\r\n\r\n{}");
    CHECK(client.read_until("\r\n\r\n"));
    CHECK((client.seen.starts_with("HTTP/1.1 413") || client.seen.starts_with("HTTP/1.1 400")));
  }
  const std::string head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawClient good(stage.front->port());
  const std::string body = dump_json(ask("hi"));
  good.send(head + "5\r\n" + body.substr(0, 5) + "\r\n");
  char length[16];
  std::snprintf(length, sizeof length, "%zx", body.size() - 5);
  good.send(std::string(length) + "\r\n" + body.substr(5) + "\r\n0\r\n\r\n");
  CHECK(good.read_until("\r\n\r\n"));
  CHECK(good.seen.starts_with("HTTP/1.1 200"));
  RawClient endless_one(stage.front->port());
  endless_one.send(head);
  for (int i = 0; i < 1000 && endless_one.send("400\r\n" + std::string(1024, 'x') + "\r\n"); ++i) {
  }
  CHECK(endless_one.read_until("HTTP/1.1 413"));
  RawClient both(stage.front->port());
  both.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}");
  CHECK(both.read_until("HTTP/1.1 411"));
  CHECK(stage.get("/health").status == 200);
}

TEST_CASE("headers without end and requests that trickle in are given up") {
  ServerSetting setting;
  setting.service.limits.header_bytes = 20'000;
  setting.service.limits.header_time = milliseconds(150);
  setting.service.limits.body_time = milliseconds(150);
  setting.service.limits.idle_time = milliseconds(150);
  const ServerStage stage(always("</think>ok"), setting);
  RawClient long_line(stage.front->port());
  long_line.send("GET /health HTTP/1.1\r\nX: ");
  for (int i = 0; i < 100 && long_line.send(std::string(1000, 'x')); ++i) {
  }
  CHECK_FALSE(long_line.read_until("200 OK"));
  RawClient many(stage.front->port());
  many.send("GET /health HTTP/1.1\r\n");
  for (int i = 0; i < 10'000 && many.send("X-Header: value\r\n"); ++i) {
  }
  CHECK_FALSE(many.read_until("200 OK"));
  RawClient slow_headers(stage.front->port()), slow_body(stage.front->port()), idle(stage.front->port());
  slow_headers.send("GET /health HT");
  slow_body.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  const auto begin = std::chrono::steady_clock::now();
  slow_headers.read_all();
  CHECK(slow_body.read_until("HTTP/1.1 400"));
  idle.read_all();
  CHECK(std::chrono::steady_clock::now() - begin < seconds(10));
  CHECK(stage.get("/health").status == 200);
}

TEST_CASE("one connection serves one request after another, also when they come together") {
  const ServerStage stage(always("</think>ok"));
  RawClient client(stage.front->port());
  const std::string health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string chat = http("/v1/chat/completions", dump_json(ask("hi")));
  client.send(health + chat + health + "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string all = client.read_all();
  std::size_t answers = 0;
  for (auto at = all.find("HTTP/1.1 200"); at != std::string::npos; at = all.find("HTTP/1.1 200", at + 1)) ++answers;
  CHECK(answers == 4);
}

TEST_CASE("a client that leaves frees its sequence within a second, streaming or not") {
  const ServerStage stage(endless("word "), {.service = {.name = "tiny"}, .pages = 40'000});
  {
    RawClient streaming(stage.front->port());
    streaming.send(stream_request("hi"));
    REQUIRE(streaming.read_until("reasoning_content"));
    CHECK(stage.engine->stats().running == 1);
  }
  CHECK(stage.idle_within(seconds(1)));
  stage.device->hold(true);
  RawClient waiting(stage.front->port());
  waiting.send(http("/v1/chat/completions", dump_json(ask("hi"))));
  const auto arrived = [&] { return stage.service->metrics().active_requests == 1; };
  while (!arrived()) std::this_thread::yield();
  waiting.leave();
  while (stage.service->metrics().active_requests > 0) std::this_thread::yield();
  stage.device->hold(false);
  CHECK(stage.idle_within(seconds(1)));
  CHECK(stage.get("/metrics").body.find("gauntlet_clients_left_total 2\n") != std::string::npos);
}

TEST_CASE("hundreds of clients that wait or do not read keep nobody else waiting") {
  const ServerStage stage([](const std::string& prompt) { return ScriptedReply{.text = "</think>ok", .endless = prompt.find("forever") != std::string::npos}; }, {.service = {.name = "tiny"}, .pages = 40'000});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 270; ++i) {
    clients.push_back(std::make_unique<RawClient>(stage.front->port()));
    if (i % 3 == 0) clients.back()->send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n");  // never ends its headers
  }
  for (int i = 0; i < 30; ++i) {
    clients.push_back(std::make_unique<RawClient>(stage.front->port(), 4096));
    clients.back()->send(stream_request("forever"));  // never reads
  }
  while (stage.service->metrics().active_requests < 30) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(stage.get("/health").status == 200);
    CHECK(std::chrono::steady_clock::now() - begin < seconds(2));
    CHECK(stage.chat(ask("hi")).status == 200);
  }
  CHECK(stage.service->metrics().connections >= 300);
  clients.clear();
  CHECK(stage.idle_within(seconds(2)));
}

TEST_CASE("beyond its connections the server says so, and serves again when some are gone") {
  ServerSetting setting;
  setting.service.limits.connections = 4;
  const ServerStage stage(endless("word "), setting);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(stage.front->port()));
    clients.back()->send(stream_request("hi"));
    REQUIRE(clients.back()->read_until("200 OK"));
  }
  RawClient fifth(stage.front->port());
  CHECK(fifth.read_until("HTTP/1.1 503"));
  CHECK(fifth.read_until("overloaded"));
  clients.clear();
  while (stage.service->metrics().connections > 1) std::this_thread::yield();
  CHECK(stage.get("/health").status == 200);
}

TEST_CASE("requests that are too large together are told to come back, until the answers to some are over") {
  ServerSetting setting;
  setting.service.limits.bodies_bytes = 10'000;
  setting.pages = 40'000;
  const ServerStage stage([](const std::string& prompt) { return ScriptedReply{.text = "</think>word ", .endless = prompt.find("forever") != std::string::npos}; }, setting);
  const std::string large(6'000, 'x');
  {
    RawClient streaming(stage.front->port());
    streaming.send(stream_request("forever " + large));
    REQUIRE(streaming.read_until("200 OK"));
    const auto refused = stage.chat(ask(large));
    CHECK(refused.status == 503);
    CHECK(refused.code() == "\"overloaded\"");
    CHECK(stage.chat(ask("small")).status == 200);
    CHECK(stage.chat(ask("small")).status == 200);
  }
  while (stage.service->metrics().connections > 0) std::this_thread::yield();
  CHECK(stage.chat(ask(large)).status == 200);
  CHECK(stage.chat(ask(large)).status == 200);
}

/// The socket on which this process listens at `port`.
int listening_socket(int port) {
  for (int fd = 3; fd < 1024; ++fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    sockaddr_in address{};
    socklen_t length = sizeof address;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 && ntohs(address.sin_port) == port) return fd;
  }
  return -1;
}

TEST_CASE("a failure to take one connection does not end the server") {
  const ServerStage stage(always("</think>ok"));
  const int socket = listening_socket(stage.front->port());
  REQUIRE(socket >= 0);
  ::shutdown(socket, SHUT_RDWR);  // accept() fails now
  const auto answers = [&] {
    try {
      return stage.get("/health").status == 200;
    } catch (const std::runtime_error&) {
      return false;
    }
  };
  const auto end = std::chrono::steady_clock::now() + seconds(10);
  bool served = false;
  while (!served && std::chrono::steady_clock::now() < end) served = answers();
  CHECK(served);
}

TEST_CASE("too many waiting requests are told to come back") {
  ServerSetting setting;
  setting.service.limits.waiting = 2;
  setting.engine = {.max_running = 1};
  const ServerStage stage(endless("word "), setting);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(stage.front->port()));
    clients.back()->send(stream_request("hi"));
    while (stage.engine->stats().running + stage.engine->stats().waiting < i + 1) std::this_thread::yield();
  }
  const auto refused = stage.chat(ask("hi"));
  CHECK(refused.status == 429);
  CHECK(refused.code() == "\"rate_limit_exceeded\"");
}

TEST_CASE("told to stop, the server lets what runs finish, and cancels what takes too long") {
  ServerSetting setting;
  setting.service.limits.drain = milliseconds(400);
  setting.pages = 40'000;
  ServerStage stage([](const std::string& prompt) { return ScriptedReply{.text = "</think>word ", .endless = prompt.find("forever") != std::string::npos}; }, setting);
  RawClient forever(stage.front->port()), idle(stage.front->port()), kept(stage.front->port());
  forever.send(stream_request("forever"));
  REQUIRE(forever.read_until("content"));
  kept.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  REQUIRE(kept.read_until("ok"));
  stage.device->hold(true);
  RawClient quick(stage.front->port());
  quick.send(http("/v1/chat/completions", dump_json(ask("hi"))));
  while (stage.service->metrics().active_requests < 2) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  std::jthread stopping([&] { stage.front->stop(); });
  while (!stage.service->draining()) std::this_thread::yield();
  stage.device->hold(false);
  CHECK(quick.read_until("\"finish_reason\":\"stop\""));
  CHECK(forever.read_until("the server is being stopped"));
  CHECK(forever.read_until("[DONE]"));
  stopping.join();
  CHECK(std::chrono::steady_clock::now() - begin < seconds(5));
  CHECK_THROWS(RawClient(stage.front->port()));
  CHECK(stage.idle_within(seconds(1)));
}

TEST_CASE("a client that is still sending its request does not hold up a server that is told to stop") {
  ServerSetting setting;
  setting.service.limits.drain = milliseconds(300);
  ServerStage stage(always("</think>ok"), setting);
  RawClient body(stage.front->port()), headers(stage.front->port());
  body.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  headers.send("GET /health HT");
  while (stage.service->metrics().connections < 2) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  stage.front->stop();
  CHECK(std::chrono::steady_clock::now() - begin < seconds(8));  // headers have 10 seconds, a body 60
  CHECK(headers.read_all().find("200 OK") == std::string::npos);
}

}  // namespace
}  // namespace gauntlet

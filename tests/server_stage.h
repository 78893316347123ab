#pragma once

// Test support: a whole server on the loopback interface whose model says what the test wrote.

#include <memory>
#include <string>
#include <vector>

#include "agent/deepseek_format.h"
#include "inference/server/http_connection.h"
#include "inference/server/http_front.h"
#include "tests/scripted_backend.h"
#include "test_paths.h"

namespace gauntlet::sample {

struct HttpReply {
  int status = 0;
  std::string type, body;

  Json json() const { return parse_json(body, "the answer"); }
  std::string code() const { return dump_json(json().at("error").at("code")); }
  /// The data of the events but for the last, which must be [DONE].
  std::vector<Json> events() const {
    std::vector<Json> out;
    bool done = false;
    for (std::size_t at = 0; at < body.size();) {
      const std::size_t end = body.find("\n\n", at);
      const std::string event = body.substr(at, end - at);
      at = end == std::string::npos ? body.size() : end + 2;
      if (event.starts_with(":")) continue;
      if (done || !event.starts_with("data: ")) throw std::runtime_error("not an event: " + event);
      done = event == "data: [DONE]";
      if (!done) out.push_back(parse_json(event.substr(6), "an event"));
    }
    if (!done) throw std::runtime_error("the stream ended without [DONE]");
    return out;
  }
};

/// What a stream says of one choice, joined.
struct JoinedChoice {
  std::string role, content, reasoning, finish;
  Json calls = Json::array();
  std::size_t chunks = 0;
};

inline JoinedChoice join(const std::vector<Json>& events, int index = 0) {
  JoinedChoice out;
  for (const auto& event : events) {
    for (const auto& choice : event.at("choices")) {
      if (choice.at("index") != index) continue;
      ++out.chunks;
      const Json& delta = choice.at("delta");
      out.role += delta.value("role", "");
      out.content += delta.value("content", "");
      out.reasoning += delta.value("reasoning_content", "");
      if (delta.contains("tool_calls")) {
        for (const auto& call : delta.at("tool_calls")) out.calls.push_back(call);
      }
      if (!choice.at("finish_reason").is_null()) out.finish += choice.at("finish_reason").get<std::string>();
    }
  }
  return out;
}

inline std::shared_ptr<const Tokenizer> golden_tokenizer() { return std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json")); }

struct ServerSetting {
  ServiceOptions service = {.name = "tiny"};
  HttpOptions http;
  int pages = 4000;
  EngineOptions engine;
};

class ServerStage {
 public:
  explicit ServerStage(ScriptedBackend::Script script, ServerSetting setting = {}) {
    auto backend = std::make_unique<ScriptedBackend>(tokenizer, setting.pages, std::move(script));
    device = backend.get();
    open(std::move(backend), std::move(setting));
  }
  /// Any model behind it.
  ServerStage(std::unique_ptr<Backend> backend, ServerSetting setting) { open(std::move(backend), std::move(setting)); }

  HttpReply post(const std::string& path, const Json& body, const httplib::Headers& headers = {}) const { return post_text(path, dump_json(body), headers); }
  HttpReply post_text(const std::string& path, const std::string& body, const httplib::Headers& headers = {}, const std::string& type = "application/json") const {
    httplib::Client client("127.0.0.1", front->port());
    client.set_read_timeout(30);
    return reply(client.Post(path, headers, body, type));
  }
  HttpReply get(const std::string& path, const httplib::Headers& headers = {}) const {
    httplib::Client client("127.0.0.1", front->port());
    return reply(client.Get(path, headers));
  }
  HttpReply chat(const Json& body) const { return post("/v1/chat/completions", body); }
  HttpReply complete(const Json& body) const { return post("/v1/completions", body); }

  /// Whether no sequence is in the engine any more within `most`.
  bool idle_within(std::chrono::milliseconds most) const {
    const auto end = std::chrono::steady_clock::now() + most;
    while (std::chrono::steady_clock::now() < end) {
      if (engine->stats().running == 0 && engine->stats().waiting == 0) return true;
      std::this_thread::yield();
    }
    return false;
  }

  std::shared_ptr<const Tokenizer> tokenizer = golden_tokenizer();
  ScriptedBackend* device = nullptr;  ///< the engine's
  std::shared_ptr<Engine> engine;
  std::shared_ptr<ChatCodec> codec;
  std::unique_ptr<ModelService> service;
  std::unique_ptr<HttpFront> front;

 private:
  void open(std::unique_ptr<Backend> backend, ServerSetting setting) {
    engine = std::make_shared<Engine>(std::move(backend), setting.engine);
    codec = std::make_shared<ChatCodec>("tiny", engine->config().vocab, tokenizer, std::make_shared<const DeepseekFormat>());
    service = std::make_unique<ModelService>(std::move(setting.service), engine, codec);
    front = std::make_unique<HttpFront>(std::move(setting.http), *service);
  }
  static HttpReply reply(const httplib::Result& result) {
    if (!result) throw std::runtime_error("no answer: " + httplib::to_string(result.error()));
    return {.status = result->status, .type = result->get_header_value("Content-Type"), .body = result->body};
  }
};

inline Json user(const std::string& text) { return {{"role", "user"}, {"content", text}}; }
inline Json ask(const std::string& text) { return {{"model", "tiny"}, {"messages", Json::array({user(text)})}}; }
/// The same text whatever is asked.
inline ScriptedBackend::Script always(const std::string& text) {
  return [text](const std::string&) { return ScriptedReply{.text = text}; };
}
inline ScriptedBackend::Script endless(const std::string& text) {
  return [text](const std::string&) { return ScriptedReply{.text = text, .endless = true}; };
}

/// A call in DeepSeek's words.
inline std::string dsml_call(const std::string& name, const std::string& parameter, const std::string& value) {
  return "<｜DSML｜invoke name=\"" + name + "\">\n<｜DSML｜parameter name=\"" + parameter + "\" string=\"true\">" + value + "</｜DSML｜parameter>\n</｜DSML｜invoke>\n";
}
inline std::string dsml_calls(const std::string& calls) { return "\n\n<｜DSML｜function_calls>\n" + calls + "</｜DSML｜function_calls>"; }

inline Json weather_tool(const std::string& name = "get_weather") {
  return {{"type", "function"}, {"function", {{"name", name}, {"description", "Weather of a city"}, {"parameters", {{"type", "object"}, {"properties", {{"city", {{"type", "string"}}}}}, {"required", {"city"}}}}}}};
}

}  // namespace gauntlet::sample

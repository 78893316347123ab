// For tests/server_peer_test.py: a server whose replies are written, for as long as its standard input is open.

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/server_stage.h"

namespace gauntlet {
namespace {

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const auto at = text.rfind(begin);
  if (at == std::string::npos) return "";
  const auto from = at + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

/// Calls the weather tool when asked for the weather, answers from its result, and otherwise says the question again.
ScriptedReply weather_agent(const std::string& prompt) {
  const std::string question = between(prompt, "<｜User｜>", "<｜Assistant｜>");
  // Some harnesses write results as user messages of their own kind.
  const std::string observed = between(question, "Observation:\n", "\n");
  const std::string result = observed.empty() ? between(prompt, "<result>", "</result>") : observed;
  if (question.find("forever") != std::string::npos) return {.text = "</think>word ", .endless = true};
  if (!result.empty()) {
    const std::string answer = "It is " + result + ".";
    const bool has_final = prompt.find("\"final_answer\"") != std::string::npos;
    return {.text = "Now I know.</think>" + (has_final ? "" : answer) + (has_final ? sample::dsml_calls(sample::dsml_call("final_answer", "answer", answer)) : "")};
  }
  if (question.find("weather") != std::string::npos && prompt.find("get_weather") != std::string::npos) {
    return {.text = "I need the tool.</think>Let me look." + sample::dsml_calls(sample::dsml_call("get_weather", "city", "Paris"))};
  }
  return {.text = "A question.</think>You said: " + question};
}

TEST_CASE("a server with written replies answers another program's clients while a folder is named") {
  const char* folder = std::getenv("GAUNTLET_SERVER_PEER");
  if (folder == nullptr) {
    MESSAGE("skipped: GAUNTLET_SERVER_PEER names no folder");
    return;
  }
  // A reply as written needs no constraint to be a call.
  const auto unconstrained = [](const ConstraintWish&) { return std::unique_ptr<TokenConstraint>(); };
  const sample::ServerStage stage(weather_agent, {.service = {.name = "scripted", .constraints = unconstrained}, .http = {.keys = ApiKeys::from_text("peer-test-key", "KEYS")}, .pages = 40'000});
  const std::string path = std::string(folder) + "/address";
  std::ofstream(path + ".part") << stage.front->address();
  std::rename((path + ".part").c_str(), path.c_str());
  while (std::getchar() != EOF) {
  }
}

}  // namespace
}  // namespace gauntlet

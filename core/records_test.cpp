#include <doctest/doctest.h>

#include "core/episode.h"
#include "core/error.h"
#include "core/task.h"

using gauntlet::Json;

TEST_CASE("a message survives the trip through OpenAI's form") {
  gauntlet::Message message{.role = gauntlet::Role::Assistant, .content = "hi", .reasoning = "because", .tool_calls = {}, .tool_call_id = "", .tool_name = ""};
  message.tool_calls.push_back({.id = "call_0", .name = "f", .arguments = "{\"x\": 1"});
  const Json json = gauntlet::to_json(message);
  CHECK(json["tool_calls"][0]["function"]["arguments"] == "{\"x\": 1");
  CHECK(gauntlet::message_from_json(json, "") == message);
  CHECK(gauntlet::message_from_json(gauntlet::parse_json(R"({"role":"user","content":null})", "t"), "").content.empty());
}

TEST_CASE("unknown roles and stop reasons are named with the accepted ones") {
  CHECK_THROWS_WITH_AS(gauntlet::parse_role("bot"), "unknown role \"bot\"; accepted: system, developer, user, assistant, tool",
                       gauntlet::Error);
  for (int i = 0; i < 12; ++i) {
    const auto reason = static_cast<gauntlet::StopReason>(i);
    CHECK(gauntlet::parse_stop_reason(gauntlet::stop_reason_name(reason)) == reason);
  }
}

TEST_CASE("a world's 64-bit seed is kept exactly") {
  const gauntlet::WorldKey key{.seed = 0xfedcba9876543210ULL, .parameters = Json::object(), .edits = Json::array()};
  CHECK(gauntlet::world_key_from_json(gauntlet::to_json(key), "").seed == key.seed);
  Json bad = gauntlet::to_json(key);
  bad["seed"] = "12x";
  CHECK_THROWS_WITH_AS(gauntlet::world_key_from_json(bad, "/world"), "/world/seed: expected up to 16 hex digits, found \"12x\"",
                       gauntlet::Error);
}

TEST_CASE("an unscored score has no value in JSON") {
  gauntlet::Score score;
  score.unscored_reason = "model_fault: connection refused";
  const Json json = gauntlet::to_json(score);
  CHECK_FALSE(json.contains("value"));
  CHECK(gauntlet::score_from_json(json, "").unscored_reason == score.unscored_reason);
}

TEST_CASE("a task survives the trip through JSON and refuses unknown members") {
  gauntlet::Task task;
  task.task_id = "trip_planning-0123456789abcdef";
  task.environment = "trip_planning";
  task.level = 3;
  task.problem = Json::object();
  task.difficulty = Json::object();
  task.certificate = {{"solution_count", 7}};
  Json json = gauntlet::to_json(task);
  CHECK(gauntlet::dump_json(gauntlet::to_json(gauntlet::task_from_json(json, ""))) == gauntlet::dump_json(json));
  json["promt"] = "x";
  CHECK_THROWS_AS(gauntlet::task_from_json(json, ""), gauntlet::Error);
}

#pragma once

// Test support: small environments, tasks and episodes, and folders that vanish. Included by tests only.

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "datasets/exports.h"
#include "datasets/store.h"

namespace gauntlet::sample {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gauntlet-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("could not make " + name);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline const std::string kEnvSha256(64, 'a');

inline Task task(const std::string& id, int level = 3) {
  return {.task_id = id,
          .environment = "trip_planning",
          .env_sha256 = kEnvSha256,
          .named = "",
          .world = {.seed = 0xFEDCBA9876543210U, .parameters = {{"cities", 8}}, .edits = Json::array()},
          .level = level,
          .prompt = "Plan one day in Hangzhou.",
          .problem = {{"slots", Json::array()}, {"constraints", Json::array()}},
          .difficulty = {{"level", level}, {"vector", {{"clauses", 4}}}},
          .certificate = {
              {"solution_count", 3}, {"solution_count_exact", true}, {"minimal_tool_calls", 7}, {"verifier_sha256", std::string(64, 'b')}, {"oracle_answer", "SECRET"}}};
}

inline RunRecord run(const std::string& id, std::int64_t requested) {
  return {.run_id = id,
          .config = {{"model", {{"kind", "oracle"}}}, {"limits", {{"max_steps", 200}}}},
          .config_sha256 = "c1",
          .code_version = "0.1.0",
          .started_unix_ms = 1'760'000'000'000,
          .requested = requested};
}

/// An agent that thinks, makes two calls at once, and submits; it passes.
inline Episode episode(const std::string& run_id, const std::string& task_id, int sample_number = 0, int attempt = 0) {
  Episode out;
  out.run_id = run_id;
  out.task_id = task_id;
  out.sample = sample_number;
  out.attempt = attempt;
  out.seed = 0xFFFFFFFFFFFFFFFFU;
  out.stop = StopReason::Submitted;
  out.messages = {
      {.role = Role::System,
       .content = "Use the tools.",
       .reasoning = "",
       .tool_calls = {},
       .tool_call_id = "",
       .tool_name = ""},
      {.role = Role::User,
       .content = "Plan one day in Hangzhou.",
       .reasoning = "",
       .tool_calls = {},
       .tool_call_id = "",
       .tool_name = ""},
      {.role = Role::Assistant,
       .content = "",
       .reasoning = "Hotels and weather first.",
       .tool_calls = {{.id = "call_1", .name = "list_hotels", .arguments = R"({"city": "Hangzhou"})"},
                      {.id = "call_2", .name = "get_weather", .arguments = R"({"city": "Hangzhou"})"}},
       .tool_call_id = "",
       .tool_name = ""},
      {.role = Role::Tool,
       .content = R"(["West Lake Inn"])",
       .reasoning = "",
       .tool_calls = {},
       .tool_call_id = "call_1",
       .tool_name = "list_hotels"},
      {.role = Role::Tool,
       .content = R"({"condition":"sunny"})",
       .reasoning = "",
       .tool_calls = {},
       .tool_call_id = "call_2",
       .tool_name = ""},
      {.role = Role::Assistant,
       .content = "Submitting.",
       .reasoning = "West Lake Inn it is.",
       .tool_calls = {{.id = "call_3", .name = "submit_result", .arguments = R"({"result": "[]"})"}},
       .tool_call_id = "",
       .tool_name = ""},
      {.role = Role::Tool,
       .content = R"({"accepted":true})",
       .reasoning = "",
       .tool_calls = {},
       .tool_call_id = "call_3",
       .tool_name = "submit_result"},
  };
  out.answer = "[]";
  out.score = {.scored = true,
               .value = 1.0,
               .unscored_reason = "",
               .summary = "all constraints hold",
               .components = {{.constraint = "the hotel costs at most 800", .holds = true, .explanation = "500 <= 800"}}};
  out.usage = {.prompt_tokens = 300, .completion_tokens = 40, .reasoning_tokens = 10, .cached_tokens = 100};
  out.cost = 0.25;
  out.steps = 2;
  out.tool_calls = 3;
  out.wall_ms = 12;
  out.started_unix_ms = 1'760'000'000'500;
  return out;
}

inline Episode failed_episode(const std::string& run_id, const std::string& task_id, int sample_number = 0) {
  Episode out = episode(run_id, task_id, sample_number);
  out.score.value = 0.0;
  out.score.summary = "1 of 1 constraints fail";
  out.score.components[0].holds = false;
  out.score.components[0].explanation = "900 > 800";
  return out;
}

inline Episode faulty_episode(const std::string& run_id, const std::string& task_id, int sample_number = 0, int attempt = 0) {
  Episode out = episode(run_id, task_id, sample_number, attempt);
  out.stop = StopReason::ModelFault;
  out.fault_class = "timeout";
  out.fault_message = "no reply in 600 s";
  out.answer.reset();
  out.score = {
      .scored = false, .value = 0.0, .unscored_reason = "model fault: timeout", .summary = "not scored", .components = {}};
  return out;
}

inline EnvironmentInfos environments() {
  const Json city = {{"type", "object"}, {"properties", {{"city", {{"type", "string"}}}}}, {"required", {"city"}}};
  const Json result = {{"type", "object"}, {"properties", {{"result", {{"type", "string"}}}}}, {"required", {"result"}}};
  return {{kEnvSha256,
           {.name = "trip_planning",
            .tools = {{.name = "list_hotels", .description = "Hotels of a city.", .parameters = city},
                      {.name = "get_weather", .description = "Weather of a city.", .parameters = city},
                      {.name = "submit_result", .description = "Hands in the answer.", .parameters = result}},
            .system_prompt = "Use the tools."}}};
}

/// A store with the environment, tasks t1 … tN (levels 1, 2, 3, 1, …) and an empty run "r".
inline Store store(const std::string& path, int task_count = 3, std::int64_t requested = 6) {
  Store out(path, StoreMode::Create);
  out.put_environment("trip_planning", kEnvSha256, {{"name", "trip_planning"}});
  std::vector<Task> tasks;
  for (int i = 0; i < task_count; ++i) tasks.push_back(task("t" + std::to_string(i + 1), i % 3 + 1));
  out.put_tasks(tasks);
  out.put_run(run("r", requested));
  return out;
}

inline void put(Store& to, const Episode& episode_to_put) { to.put_episodes({&episode_to_put, 1}); }

/// The message of the gauntlet::Error that `act` throws; empty if it throws none.
template <class Act>
std::string error_of(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace gauntlet::sample

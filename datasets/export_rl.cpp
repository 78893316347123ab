#include "datasets/export_rl.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Paths that a NeMo Gym resources server keeps for itself.
constexpr std::array<std::string_view, 4> kReservedToolNames = {"verify", "seed_session", "aggregate_metrics", "mcp"};

void require_portable_tools(const EnvironmentInfo& environment) {
  for (const ToolSpec& tool : environment.tools) {
    const bool letters = !tool.name.empty() && std::all_of(tool.name.begin(), tool.name.end(),
                                                           [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
    if (!letters || std::isdigit(static_cast<unsigned char>(tool.name[0])) != 0) {
      fail(ErrorKind::Usage,
           fmt::format("could not export the environment {}: the tool name \"{}\" is not made of letters, digits and '_' "
                       "(not first a digit), and trainers skip such tools",
                       environment.name, tool.name));
    }
    if (std::find(kReservedToolNames.begin(), kReservedToolNames.end(), tool.name) != kReservedToolNames.end()) {
      fail(ErrorKind::Usage,
           fmt::format("could not export the environment {}: the tool name \"{}\" is reserved by NeMo Gym; reserved: {}",
                       environment.name, tool.name, fmt::join(kReservedToolNames, ", ")));
    }
  }
}

Json prompt_messages(const Task& task, const EnvironmentInfo& environment) {
  Json messages = Json::array();
  if (!environment.system_prompt.empty()) messages.push_back({{"role", "system"}, {"content", environment.system_prompt}});
  messages.push_back({{"role", "user"}, {"content", task.prompt}});
  return messages;
}

/// The certificate's, so that a row and the evidence for it can be matched.
std::string verifier_sha256(const Task& task) {
  const bool certified = task.certificate.is_object() && task.certificate.contains("verifier_sha256");
  require(certified, ErrorKind::Store, fmt::format("could not export {}: its certificate has no verifier_sha256", task.task_id));
  return get_string(task.certificate, "verifier_sha256", "/certificate");
}

/// What builds the task's environment again.
std::string spec_text(const Task& task) {
  return dump_json({{"environment", task.environment},
                    {"env_sha256", task.env_sha256},
                    {"world", to_json(task.world)},
                    {"level", task.level},
                    {"difficulty", task.difficulty}});
}

Json superset_row(const Task& task, const EnvironmentInfo& environment, const RlExportOptions& options, std::int64_t index) {
  const std::string truth = dump_json(ground_truth(task, options.oracle_answer));
  const std::string spec = spec_text(task);
  Json tool_names = Json::array();
  for (const auto& tool : environment.tools) tool_names.push_back(tool.name);
  const Json rule = {{"style", "rule"}, {"ground_truth", truth}};
  return {{"prompt", prompt_messages(task, environment)},
          {"data_source", "gauntlet/" + task.environment},
          {"ability", "tool_use"},
          {"reward_model", rule},
          {"reward_spec", {{"method", "rule"}, {"ground_truth", truth}}},
          {"env_class", "gauntlet"},
          {"environment", task.environment},
          {"agent_name", options.agent_name.empty() ? "tool_agent" : options.agent_name},
          {"label", truth},
          {"datasource", "gauntlet/" + task.environment},
          {"tools", dump_json(tools_to_json(environment.tools))},
          {"metadata",
           {{"env_id", task.environment},
            {"task_id", task.task_id},
            {"verifier_id", options.verifier_id},
            {"env_url", options.env_url},
            {"seed", to_json(task.world).at("seed")},
            {"spec_json", spec}}},
          {"extra_info",
           {{"index", index},
            {"split", split_of(task.task_id, options.target.validation_share)},
            {"need_tools_kwargs", false},
            {"tool_selection", std::move(tool_names)},
            {"env_id", task.environment},
            {"task_id", task.task_id},
            {"spec_json", spec}}},
          {"task_id", task.task_id},
          {"env_id", task.environment},
          {"verifier_id", options.verifier_id},
          {"verifier_sha256", verifier_sha256(task)},
          {"env_url", options.env_url}};
}

/// NeMo Gym forbids members of responses_create_params that the Responses API does not have.
Json nemo_gym_row(const Task& task, const EnvironmentInfo& environment, const RlExportOptions& options) {
  Json tools = Json::array();
  for (const auto& tool : environment.tools) {
    tools.push_back({{"type", "function"},
                     {"name", tool.name},
                     {"description", tool.description},
                     {"parameters", tool.parameters},
                     {"strict", false}});
  }
  return {{"responses_create_params",
           {{"input", prompt_messages(task, environment)},
            {"tools", std::move(tools)},
            {"tool_choice", "auto"},
            {"parallel_tool_calls", true}}},
          {"agent_ref",
           {{"type", "responses_api_agents"}, {"name", options.agent_name.empty() ? "simple_agent" : options.agent_name}}},
          {"verifier_metadata",
           {{"task_id", task.task_id},
            {"environment", task.environment},
            {"level", task.level},
            {"verifier_id", options.verifier_id},
            {"verifier_sha256", verifier_sha256(task)},
            {"env_url", options.env_url},
            {"spec_json", spec_text(task)},
            {"ground_truth", dump_json(ground_truth(task, options.oracle_answer))}}}};
}

}  // namespace

Json ground_truth(const Task& task, OracleAnswer oracle_answer) {
  Json out = {{"task_id", task.task_id},
              {"environment", task.environment},
              {"env_sha256", task.env_sha256},
              {"world", to_json(task.world)},
              {"problem", task.problem}};
  const auto copy = [&](const char* key) {
    if (task.certificate.is_object() && task.certificate.contains(key)) out[key] = task.certificate.at(key);
  };
  copy("optimum");
  if (oracle_answer == OracleAnswer::Include) copy("oracle_answer");
  return out;
}

ExportSummary export_rl(const Store& store, const EnvironmentInfos& environments, const RlExportOptions& options) {
  ExportWriter writer(options.target, options.format == RlFormat::Superset ? "rl.superset" : "rl.nemo_gym");
  std::set<std::string> looked_at;
  store.for_each_task(options.tasks, [&](const Task& task) {
    const EnvironmentInfo& environment = get_environment_info(environments, task.env_sha256, task.task_id);
    if (looked_at.insert(task.env_sha256).second) require_portable_tools(environment);
    writer.add(task.task_id, options.format == RlFormat::Superset
                                 ? superset_row(task, environment, options, writer.next_index(task.task_id))
                                 : nemo_gym_row(task, environment, options));
  });
  return writer.finish("task matches");
}

}  // namespace gauntlet

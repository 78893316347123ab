#pragma once

// Tasks as reinforcement-learning prompts, in the two row formats that cover the trainers (docs/exports.md):
//   Superset   prompt, reward_model.ground_truth, tools, metadata, … for verl, SkyRL, slime, TRL, OpenRLHF;
//              schema datasets/schemas/rl_superset.schema.json
//   NemoGym    responses_create_params, agent_ref, verifier_metadata for NeMo Gym, NeMo-RL, verifiers;
//              schema datasets/schemas/rl_nemo_gym.schema.json

#include <string>

#include "datasets/exports.h"
#include "datasets/store.h"

namespace gauntlet {

enum class RlFormat { Superset, NemoGym };
enum class OracleAnswer { LeaveOut, Include };

struct RlExportOptions {
  RlFormat format = RlFormat::Superset;
  ExportTarget target;
  TaskFilter tasks;
  /// The certificate's oracle_answer within ground_truth. A trainer that logs or shows its rows would leak it.
  OracleAnswer oracle_answer = OracleAnswer::LeaveOut;
  std::string env_url;  ///< where a server of the trainer's answers the tools' calls; this program has none
  std::string verifier_id = "gauntlet.constraints";
  std::string agent_name;  ///< empty: "tool_agent" (Superset), "simple_agent" (NemoGym)
};

/// Throws Error(Usage) if no task matches, an environment is missing from the map, or a tool has a name that trainers refuse.
ExportSummary export_rl(const Store& store, const EnvironmentInfos& environments, const RlExportOptions& options);

/// Everything that re-verification needs beside the environment: task_id, environment, env_sha256, world, problem, and the
/// optimum where the certificate has one. A string in rows, so that all rows have one column type.
Json ground_truth(const Task& task, OracleAnswer oracle_answer);

}  // namespace gauntlet

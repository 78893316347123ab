#pragma once

// Judges answers by the ground truth of exported rows (docs/exports.md), without a store: a row holds the world's key and the requirements,
// the environment's spec comes with the program or in a file. Tested by tests/cli_reward_test.cpp.

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/environments.h"

namespace gauntlet {

/// For one thread. The last few dozen tasks stay ready, since trainers judge many answers to one task.
class GroundTruthJudge {
 public:
  /// `spec_paths`: files of environments that do not come with the program. Throws Error if one cannot be read.
  explicit GroundTruthJudge(const std::vector<std::string>& spec_paths);

  /// `ground_truth`: an object, or a string that holds one, as rows have it. No answer means that none was handed in. Throws Error(Input)
  /// if it is no ground truth or its environment is not at hand.
  Score judge(const Json& ground_truth, const std::optional<std::string>& answer);

  /// A line {"ground_truth", "answer"} to {"value", "summary", "components"} or {"error": {code, message}}. An answer is a string as an agent
  /// hands it in, null if there is none, or any other JSON, which stands for its own text.
  Json judge_line(std::string_view line);

 private:
  struct Kept {
    std::string text;  ///< the ground truth
    std::shared_ptr<const ReadyTask> task;
  };

  const ReadyTask& ready(const Json& ground_truth);
  const Environment& environment(const std::string& name, const std::string& env_sha256);

  std::map<std::string, std::unique_ptr<Environment>> environments_;  ///< by env_sha256
  std::list<Kept> kept_;                                              ///< newest first
};

/// {"value": 0 or 1, "summary", "components": [{"constraint", "holds", "explanation"}]}. Throws Error(Internal) if it is not scored.
Json verdict_json(const Score& score);

}  // namespace gauntlet

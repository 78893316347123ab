#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/context.h"

namespace gauntlet {

struct ExportOptions {
  std::string store = "gauntlet.db", out;
  std::string format;                             ///< rl: superset, nemo_gym; sft: messages, sharegpt
  double validation_share = 0.0;
  bool overwrite = false, json = false;
  std::string environment, run;
  std::optional<int> level;
  std::int64_t limit = 0;                         ///< rl; 0: all
  bool oracle_answer = false;                     ///< rl
  std::string env_url;                            ///< rl
  double min_score = 1.0;                         ///< sft
  bool drop_reasoning = false, object_arguments = false;  ///< sft
};

void run_export_rl(const ExportOptions& options);
void run_export_sft(const ExportOptions& options);

}  // namespace gauntlet

#pragma once

// What all exports share: what they need to know of an environment, the split, the files and their summary. Rows go to
// FOLDER/train.jsonl and FOLDER/validation.jsonl, one JSON object a line; a file appears under its name only when it is
// complete. Tested by export_rl_test.cpp and export_sft_test.cpp.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/message.h"
#include "datasets/atomic_file.h"

namespace gauntlet {

struct EnvironmentInfo {
  std::string name;
  std::vector<ToolSpec> tools;
  std::string system_prompt;  ///< empty: prompts have no system message
};

/// By env_sha256, because one store may hold tasks of several versions of an environment.
using EnvironmentInfos = std::map<std::string, EnvironmentInfo>;

/// Throws Error(Usage) naming the task if its environment is not in the map.
const EnvironmentInfo& get_environment_info(const EnvironmentInfos& environments, const std::string& env_sha256,
                                            const std::string& task_id);

struct ExportTarget {
  std::string folder;  ///< made if missing
  Overwrite overwrite = Overwrite::Refuse;
  double validation_share = 0.0;  ///< 0 to 1; of tasks
};

struct ExportedFile {
  std::string path;
  std::string split;
  std::int64_t rows = 0;
};

struct ExportSummary {
  std::string format;
  std::vector<ExportedFile> files;
  std::int64_t rows = 0;
  std::map<std::string, std::int64_t> skipped;  ///< reason to count
};

Json to_json(const ExportSummary& summary);

/// "train" or "validation", from a hash of the task id alone: a task stays where it is when others are added, and all its
/// episodes are on one side.
std::string_view split_of(const std::string& task_id, double validation_share);

class ExportWriter {
 public:
  /// Throws Error(Usage) for a share outside [0, 1) or files that exist already. The folder is made for the first row.
  ExportWriter(ExportTarget target, std::string format);

  /// Number of the next row in that task's split, from 0.
  std::int64_t next_index(const std::string& task_id) const;
  void add(const std::string& task_id, const Json& row);
  void skip(const std::string& reason) { ++summary_.skipped[reason]; }

  /// Throws Error(Usage) if there is no row, saying why rows were skipped; `nothing` completes "… : no ".
  ExportSummary finish(std::string_view nothing);

 private:
  struct Split {
    std::string name;
    std::optional<AtomicFile> file;  ///< none before the first row of any split
    std::int64_t rows = 0;
  };

  std::size_t split_index(const std::string& task_id) const;
  void open();

  ExportTarget target_;
  std::vector<Split> splits_;  ///< train, and validation if there is a share for it
  ExportSummary summary_;
};

}  // namespace gauntlet

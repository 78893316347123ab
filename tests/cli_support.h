#pragma once

// Test support: runs the built program (kProgram) and reads what it says.

#include <sstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "datasets/sample_store.h"
#include "tests/process.h"
#include "test_paths.h"

namespace gauntlet::sample {

inline ProcessResult gauntlet_run(std::vector<std::string> words, ProcessOptions options = {}) {
  words.insert(words.begin(), kProgram);
  return run_process(std::move(words), std::move(options));
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

inline std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> out;
  for (const auto& line : lines_of(text)) out.push_back(parse_json(line, "a line of output"));
  return out;
}

/// A store with two easy certified tasks, and their ids.
inline std::vector<std::string> make_small_store(const std::string& path) {
  const ProcessResult made = gauntlet_run({"synth", "trip_planning", "--count", "2", "--difficulty", "1", "--random-tries", "100", "--db", path, "--json"});
  if (made.exit_code != 0) throw std::runtime_error("could not make a store: " + made.err);
  std::vector<std::string> ids;
  for (const auto& line : json_lines(made.out)) ids.push_back(line.at("task_id").get<std::string>());
  return ids;
}

}  // namespace gauntlet::sample

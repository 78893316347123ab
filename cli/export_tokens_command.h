#pragma once

#include <optional>
#include <string>

#include "cli/context.h"

namespace gauntlet {

struct ExportTokensOptions {
  std::string expert = "tutor";           ///< with oracle: who plays
  std::string oracle;                     ///< a domain: documents are generated
  std::string store, run, environment;    ///< else episodes of a store
  std::optional<int> level;
  double min_score = 1.0;
  std::string levels;                     ///< "1:2,2:3", empty: all levels alike
  std::string modes = "thinking";         ///< "thinking:4,chat:1"
  std::string exclude;                    ///< a file for parse_exclusions()
  std::uint64_t seed = 1;
  std::string tokenizer, out;
  bool text = false;
  std::int64_t count = 0;                 ///< documents; 0: until stopped, or all episodes
  std::int64_t shard_tokens = 4'000'000, max_tokens = 8192, most_waiting = 0;
  int threads = 0;
  bool overwrite = false, json = false;
};

void run_export_tokens(const ExportTokensOptions& options, Context& context);
void add_export_tokens_command(CLI::App& parent, Context& context);

}  // namespace gauntlet

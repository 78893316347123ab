#pragma once

// gauntlet model bench and gauntlet model random.

#include <cstdint>
#include <string>

#include "cli/context.h"
#include "core/json.h"
#include "inference/model_bench.h"

namespace gauntlet {

struct ModelRandomOptions {
  std::string size = "small", out;
  std::uint64_t seed = 1;
  bool overwrite = false;
};

/// Returns the number of parameters. Throws Error(Usage) if a file that it writes is there and may not be replaced.
std::int64_t run_model_random(const ModelRandomOptions& options);

/// What `gauntlet model bench --json` prints: every sample in seconds, rates in bytes a second.
Json bench_report(const BenchDevice& device, const BenchFigures& figures, double start_seconds);

void add_model_bench_command(CLI::App& parent, Context& context);
void add_model_random_command(CLI::App& parent, Context& context);

}  // namespace gauntlet

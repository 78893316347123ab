#pragma once

// gauntlet model bench and gauntlet model random.

#include "cli/context.h"
#include "core/json.h"
#include "inference/model_bench.h"

namespace gauntlet {

/// What `gauntlet model bench --json` prints: every sample in seconds, rates in bytes a second.
Json bench_report(const BenchDevice& device, const BenchFigures& figures, double start_seconds);

void add_model_bench_command(CLI::App& parent, Context& context);
void add_model_random_command(CLI::App& parent, Context& context);

}  // namespace gauntlet

#pragma once

// Certified tasks and what their oracles did, made once for the benchmarks that need them.

#include <memory>
#include <string>
#include <vector>

#include "agent/rollout.h"
#include "cli/environments.h"
#include "synth/synthesize.h"
#include "tests/bench/figure.h"

namespace gauntlet::bench {

struct Fixture {
  std::shared_ptr<const EnvSpec> spec;
  std::unique_ptr<Environment> environment;
  std::vector<std::unique_ptr<ReadyTask>> tasks;
};

/// `count` certified trip-planning tasks of level 3 with the default world (8 cities).
Fixture make_fixture(const Settings& settings, int count);

/// The set-up of an episode of `task`, its judge included. The task must outlive it.
EpisodeSetup make_setup(const Fixture& fixture, const ReadyTask& task, std::uint64_t seed);

}  // namespace gauntlet::bench

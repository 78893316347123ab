#pragma once

// How many threads this process can run at once: its affinity, cut to the quota of its control group.

#include <string>

namespace gauntlet {

/// At least 1.
int usable_cores();

/// Whole cores that a control group's quota allows, at least 1; 0: no limit. `root` is where control groups are mounted (/sys/fs/cgroup), `self` the
/// contents of /proc/self/cgroup. Reads version 2 (cpu.max of the group and of those above it) and version 1 (cpu.cfs_quota_us).
int quota_cores(const std::string& root, const std::string& self);

}  // namespace gauntlet

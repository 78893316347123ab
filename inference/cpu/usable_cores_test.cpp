#include "inference/cpu/usable_cores.h"

#include <doctest/doctest.h>

#include "inference/cpu/thread_pool.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using sample::ScratchFolder;

TEST_CASE("the tightest quota of a control group and those above it counts, in whole cores") {
  const ScratchFolder root;
  std::filesystem::create_directories(root.file("a/b"));
  root.write("a/cpu.max", "350000 100000\n");
  root.write("a/b/cpu.max", "max 100000\n");
  CHECK(quota_cores(root.path(), "0::/a/b\n") == 3);
  root.write("a/b/cpu.max", "50000 100000\n");
  CHECK(quota_cores(root.path(), "0::/a/b\n") == 1);
  CHECK(quota_cores(root.path(), "0::/a\n") == 3);
}

TEST_CASE("a quota at the mount itself counts, as a container sees its own") {
  const ScratchFolder root;
  root.write("cpu.max", "200000 100000\n");
  CHECK(quota_cores(root.path(), "0::/\n") == 2);
  CHECK(quota_cores(root.path(), "0::/not/seen/here\n") == 2);
}

TEST_CASE("version 1 quotas count, and no quota is no limit") {
  const ScratchFolder root;
  std::filesystem::create_directories(root.file("cpu/x"));
  root.write("cpu/x/cpu.cfs_quota_us", "400000\n");
  root.write("cpu/x/cpu.cfs_period_us", "100000\n");
  CHECK(quota_cores(root.path(), "5:memory:/x\n4:cpuacct,cpu:/x\n") == 4);
  root.write("cpu/x/cpu.cfs_quota_us", "-1\n");
  CHECK(quota_cores(root.path(), "4:cpu:/x\n") == 0);
  CHECK(quota_cores(root.path(), "") == 0);
  CHECK(quota_cores(root.file("nothing"), "0::/\n") == 0);
}

TEST_CASE("a pool of the default size has a thread for each usable core") {
  CHECK(usable_cores() >= 1);
  CHECK(ThreadPool(0).threads() == usable_cores());
}

}  // namespace
}  // namespace gauntlet

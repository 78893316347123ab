#include "inference/cpu/usable_cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <thread>

namespace gauntlet {
namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "150000 100000" is 1.5 cores; "max 100000" and "-1 100000" are no limit.
std::optional<double> cores_of(const std::string& text) {
  std::istringstream in(text);
  double quota = 0, period = 0;
  if (!(in >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

int quota_cores(const std::string& root, const std::string& self) {
  std::optional<double> least;
  const auto limit = [&](const std::string& text) {
    if (const auto cores = cores_of(text)) least = std::min(*cores, least.value_or(*cores));
  };
  // Lines are NUMBER:CONTROLLERS:PATH; version 2 has the number 0 and no controllers.
  std::istringstream lines(self);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string base = unified ? root : root + "/cpu";
    // A container may see its own group as the root, so a path that is not there is no fault.
    for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
      if (path == "/") path.clear();
      limit(unified ? contents(base + path + "/cpu.max") : contents(base + path + "/cpu.cfs_quota_us") + " " + contents(base + path + "/cpu.cfs_period_us"));
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return least ? std::max(1, static_cast<int>(*least)) : 0;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = quota_cores("/sys/fs/cgroup", contents("/proc/self/cgroup"));
  if (quota > 0) cores = std::min(cores, quota);
  return std::max(1, cores);
}

}  // namespace gauntlet

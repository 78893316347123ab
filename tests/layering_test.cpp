// Who may include whom, and how long a file may grow. Reads the sources, not the build.

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "test_paths.h"

namespace {

namespace fs = std::filesystem;

using Arrows = std::map<std::string, std::set<std::string>>;

/// What a folder may include besides itself. cli, examples and tests may include everything.
const Arrows kAllowed = {
    {"core", {}},
    {"envs", {"core"}},
    {"verifiers", {"envs", "core"}},
    {"datasets", {"core"}},
    {"inference", {"core"}},
    {"agent", {"envs", "verifiers", "datasets", "core"}},
    {"synth", {"agent", "verifiers", "envs", "datasets", "core"}},
};

/// Heavy or dangerous headers, and the only folders that may see them.
const Arrows kThirdParty = {
    {"sqlite3.h", {"datasets", "envs", "cli", "tests"}}, {"httplib.h", {"agent", "inference", "tests"}}, {"CLI/CLI.hpp", {"cli"}},
    {"cuda_runtime", {"inference"}},                     {"cublas", {"inference"}},                      {"boost/process", {"synth", "envs", "tests"}},
    {"pcre2.h", {"inference"}},                          {"cuda.h", {"inference"}},
};

constexpr std::size_t kHardLines = 600;
constexpr std::size_t kHardKernelLines = 800;

struct Source {
  std::string folder;
  std::string name;
  std::vector<std::string> lines;
};

std::vector<Source> sources(const fs::path& root) {
  std::vector<Source> out;
  for (const char* folder : {"core", "envs", "verifiers", "datasets", "inference", "agent", "synth", "cli", "examples", "tests"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string kind = entry.path().extension().string();
      if (kind != ".cpp" && kind != ".h" && kind != ".cu" && kind != ".cuh") continue;
      Source source{.folder = folder, .name = fs::relative(entry.path(), root).string(), .lines = {}};
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) source.lines.push_back(line);
      out.push_back(std::move(source));
    }
  }
  return out;
}

/// The header of an include line, or "".
std::string included(const std::string& line) {
  if (line.rfind("#include", 0) != 0) return "";
  const auto open = line.find_first_of("\"<");
  const auto close = line.find_first_of("\">", open + 1);
  return open == std::string::npos || close == std::string::npos ? "" : line.substr(open + 1, close - open - 1);
}

/// What is wrong with one include; empty if nothing.
std::string fault(const std::string& folder, const std::string& header) {
  const auto slash = header.find('/');
  const std::string target = slash == std::string::npos ? "" : header.substr(0, slash);
  const auto rule = kAllowed.find(folder);
  if (rule != kAllowed.end() && target != folder && (kAllowed.contains(target) || target == "cli") && !rule->second.contains(target)) {
    return folder + " may not include " + target;
  }
  for (const auto& [name, folders] : kThirdParty) {
    if (header.rfind(name, 0) == 0 && !folders.contains(folder)) return folder + " may not include " + name;
  }
  return "";
}

TEST_CASE("every include follows the arrows of the layout") {
  std::size_t seen = 0;
  for (const auto& source : sources(gauntlet::kSourceFolder)) {
    for (const auto& line : source.lines) {
      const std::string header = included(line);
      if (header.empty()) continue;
      ++seen;
      const std::string wrong = fault(source.folder, header);
      CHECK_MESSAGE(wrong.empty(), source.name << ": " << line << ": " << wrong);
    }
  }
  CHECK(seen > 500);
}

TEST_CASE("the rules refuse what they should") {
  CHECK(fault("core", "envs/world.h") == "core may not include envs");
  CHECK(fault("inference", "agent/rollout.h") == "inference may not include agent");
  CHECK(fault("agent", "inference/engine.h") == "agent may not include inference");
  CHECK(fault("synth", "cli/output.h") == "synth may not include cli");
  CHECK(fault("datasets", "cuda_runtime_api.h") == "datasets may not include cuda_runtime");
  CHECK(fault("synth", "agent/rollout.h").empty());
  CHECK(included("#include \"core/json.h\"") == "core/json.h");
  CHECK(included("#include <vector>") == "vector");
  CHECK(included("// #include <vector>").empty());
}

TEST_CASE("no source file outgrows what one can hold in mind") {
  for (const auto& source : sources(gauntlet::kSourceFolder)) {
    const bool kernel = source.name.ends_with(".cu") || source.name.ends_with(".cuh");
    const std::size_t most = kernel ? kHardKernelLines : kHardLines;
    CHECK_MESSAGE(source.lines.size() <= most, source.name << " has " << source.lines.size() << " lines; at most " << most);
  }
}

TEST_CASE("headers are included once by pragma, and no namespace is opened for all") {
  for (const auto& source : sources(gauntlet::kSourceFolder)) {
    const bool header = source.name.ends_with(".h") || source.name.ends_with(".cuh");
    bool once = false;
    for (const auto& line : source.lines) {
      once = once || line == "#pragma once";
      CHECK_MESSAGE(line.find("using " "namespace") == std::string::npos, source.name << ": " << line);
    }
    CHECK_MESSAGE((!header || once), source.name << " lacks #pragma once");
  }
}

}  // namespace

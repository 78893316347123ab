// gauntlet_bench: measures the figures that Gauntlet promises and prints each beside its target (docs/performance.md).

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "core/error.h"
#include "synth/synthesize.h"
#include "tests/bench/figure.h"

namespace gauntlet::bench {
namespace {

struct Entry {
  const char* name;
  std::vector<Figure> (*run)(const Settings&);
};

// Memory comes first: later on, freed memory of other benchmarks would hide part of the growth.
constexpr Entry kEntries[] = {{"memory", bench_memory}, {"synth", bench_synth},   {"tools", bench_tools},
                              {"worlds", bench_worlds}, {"verify", bench_verify}, {"episodes", bench_episodes}};

/// The other process of gate step 5, started by bench_synth.
int recheck() {
  std::string line;
  std::getline(std::cin, line);
  recheck_tasks(parse_env_spec(parse_json(line, "standard input"), "standard input"), std::cin, std::cout);
  return 0;
}

int run(int argc, char** argv) {
  Settings settings;
  settings.program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::vector<std::string> filters;
  bool json = false;
  CLI::App app("Measures the figures that Gauntlet promises and prints each beside its target");
  app.add_option("NAME", filters, "Only benchmarks whose name holds one of these: memory, synth, tools, worlds, verify, episodes");
  app.add_option("--repeats", settings.repeats, "Measured repeats; the median is compared with the target")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--threads", settings.threads, "Threads of the parallel figures")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--seed", settings.seed, "Seed of tasks and worlds")->capture_default_str();
  app.add_option("--folder", settings.folder, "Where stores are made; a file system whose durability counts")->capture_default_str();
  app.add_flag("--quick", settings.quick, "A smoke test: tiny amounts, whose numbers mean nothing");
  app.add_flag("--json", json, "One JSON object a figure on stdout");
  CLI11_PARSE(app, argc, argv);
  if (settings.quick) settings.repeats = 1;
  bool any = false;
  for (const auto& entry : kEntries) {
    const std::string name = entry.name;
    const bool wanted = filters.empty() || std::any_of(filters.begin(), filters.end(), [&](const auto& filter) { return name.find(filter) != std::string::npos; });
    if (!wanted) continue;
    any = true;
    for (const auto& figure : entry.run(settings)) {
      std::cout << (json ? dump_json(to_json(figure)) + "\n" : to_text(figure)) << std::flush;
    }
  }
  require(any, ErrorKind::Usage, "no benchmark has that name; accepted: memory, synth, tools, worlds, verify, episodes");
  return 0;
}

}  // namespace
}  // namespace gauntlet::bench

int main(int argc, char** argv) {
  try {
    if (argc == 2 && std::string(argv[1]) == "recheck-tasks") return gauntlet::bench::recheck();
    return gauntlet::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gauntlet_bench: {}\n", error.what());
    return 3;
  }
}

// gauntlet_bench: measures the figures that Gauntlet promises and prints each beside its target (docs/performance.md).

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
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
                              {"worlds", bench_worlds}, {"verify", bench_verify}, {"episodes", bench_episodes},
                              {"constraint", bench_constraint},
                              {"kernels.peaks", bench_device_peaks}, {"kernels.rows", bench_row_kernels}, {"kernels.experts", bench_expert_kernels},
                              {"kernels.attention", bench_attention_kernels}, {"kernels.prompts", bench_prompt_kernels}};

/// The other process of gate step 5, started by bench_synth.
int recheck() {
  std::string line;
  std::ios_base::sync_with_stdio(false);
  std::getline(std::cin, line);
  recheck_tasks(parse_env_spec(parse_json(line, "standard input"), "standard input"), std::cin, std::cout);
  return 0;
}

constexpr std::string_view kHelp =
    "Usage: gauntlet_bench [NAME...] [OPTIONS]\n"
    "Measures the figures that Gauntlet promises and prints each beside its target (docs/performance.md).\n\n"
    "NAME            only benchmarks whose name holds one of these: memory, synth, tools, worlds, verify, episodes, constraint,\n"
    "                kernels (by family: kernels.peaks, kernels.rows, kernels.experts, kernels.attention, kernels.prompts)\n"
    "--repeats N     measured repeats, whose median is compared with the target (5)\n"
    "--threads N     threads of the parallel figures (2)\n"
    "--seed N        seed of tasks and worlds (1)\n"
    "--folder DIR    where stores are made: a file system whose durability counts (.)\n"
    "--tokenizer F   a tokenizer.json for the constraint figures (a made-up one with 128,000 tokens)\n"
    "--cpu-time      compare CPU time, divided by the threads: for machines that are busy with other work\n"
    "--quick         a smoke test: tiny amounts, whose numbers mean nothing\n"
    "--json          one JSON object a figure\n\n"
    "Exit status: 0 measured, 1 something measured gave a wrong result, 2 wrong usage, 3 a benchmark could not be run; the others are run all the same.\n";

struct Arguments {
  Settings settings;
  std::vector<std::string> names;
  bool json = false;
  bool help = false;
};

int parse_number(std::string_view option, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 1'000'000, ErrorKind::Usage,
          fmt::format("{}: found \"{}\"; accepted: 1 to 1000000", option, text));
  return value;
}

Arguments parse_arguments(const std::vector<std::string>& given) {
  Arguments out;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& option = given[i];
    const auto value = [&]() -> const std::string& {
      require(i + 1 < given.size(), ErrorKind::Usage, option + ": a value is missing");
      return given[++i];
    };
    if (option == "--help") {
      out.help = true;
    } else if (option == "--json") {
      out.json = true;
    } else if (option == "--quick") {
      out.settings.quick = true;
    } else if (option == "--cpu-time") {
      out.settings.clock = Clock::Cpu;
    } else if (option == "--repeats") {
      out.settings.repeats = parse_number(option, value());
    } else if (option == "--threads") {
      out.settings.threads = std::min(64, parse_number(option, value()));
    } else if (option == "--seed") {
      out.settings.seed = static_cast<std::uint64_t>(parse_number(option, value()));
    } else if (option == "--folder") {
      out.settings.folder = value();
    } else if (option == "--tokenizer") {
      out.settings.tokenizer = value();
    } else {
      require(!option.starts_with("-"), ErrorKind::Usage, fmt::format("unknown option {}; gauntlet_bench --help lists them", option));
      out.names.push_back(option);
    }
  }
  if (out.settings.quick) out.settings.repeats = 1;
  return out;
}

int run(const std::vector<std::string>& given) {
  Arguments arguments = parse_arguments(given);
  if (arguments.help) {
    std::cout << kHelp;
    return 0;
  }
  arguments.settings.program = std::filesystem::read_symlink("/proc/self/exe").string();
  bool any = false, wrong = false, broken = false;
  for (const auto& entry : kEntries) {
    const std::string_view name = entry.name;
    const bool wanted = arguments.names.empty() ||
                        std::any_of(arguments.names.begin(), arguments.names.end(), [&](const auto& part) { return name.find(part) != std::string_view::npos; });
    if (!wanted) continue;
    any = true;
    const Clock clock = arguments.settings.clock;
    try {
      for (const auto& figure : entry.run(arguments.settings)) {
        std::cout << (arguments.json ? dump_json(to_json(figure, clock)) + "\n" : to_text(figure, clock)) << std::flush;
        wrong = wrong || figure.wrong;
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::Usage) throw;
      fmt::print(stderr, "gauntlet_bench: {}: {}\n", entry.name, error.what());
      broken = true;
    }
  }
  require(any, ErrorKind::Usage, "no benchmark has that name; accepted: memory, synth, tools, worlds, verify, episodes, constraint, kernels");
  if (broken) return 3;
  return wrong ? 1 : 0;
}

}  // namespace
}  // namespace gauntlet::bench

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments == std::vector<std::string>{"recheck-tasks"}) return gauntlet::bench::recheck();
    return gauntlet::bench::run(arguments);
  } catch (const gauntlet::Error& error) {
    fmt::print(stderr, "gauntlet_bench: {}\n", error.what());
    return error.kind() == gauntlet::ErrorKind::Usage ? 2 : 3;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gauntlet_bench: {}\n", error.what());
    return 3;
  }
}

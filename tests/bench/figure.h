#pragma once

// What a benchmark measures: repeated samples of one quantity, compared with its target.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"

namespace gauntlet::bench {

enum class Better { Higher, Lower };

/// Clocks around `items` pieces of work. CPU time is of the whole process and of the children that it has waited for.
struct Sample {
  double wall_s = 0.0;
  double cpu_s = 0.0;
  double items = 0.0;
};

enum class Quantity {
  PerSecond,     ///< items / wall_s
  Microseconds,  ///< wall_s / items
  Value,         ///< items itself
};

/// What a figure is computed from. Wall time is what users see; on a machine that is busy with other work it says nothing, and CPU time
/// divided by the number of threads says what it would be on an idle one (waiting for a disk apart).
enum class Clock { Wall, Cpu };

struct Figure {
  std::string name;            ///< "tools.calls"
  std::string title;
  std::string unit;
  Quantity quantity = Quantity::PerSecond;
  Better better = Better::Higher;
  double target = 0.0;         ///< 0: measured for information
  int threads = 1;             ///< that share the work
  std::vector<Sample> samples;
  std::string note;
  Json details = Json::object();  ///< further members of the figure's JSON
  bool wrong = false;             ///< what was measured did not give the right result

  double median(Clock clock) const;
  double best(Clock clock) const;
  bool has_target() const { return target > 0.0; }
  bool reached(Clock clock) const;
};

struct Settings {
  int repeats = 5;
  int threads = 2;
  Clock clock = Clock::Wall;
  bool quick = false;          ///< a smoke test: tiny amounts, numbers mean nothing
  std::uint64_t seed = 1;
  std::string folder = ".";    ///< where stores are made: a real file system, not memory
  std::string tokenizer;       ///< a tokenizer.json for what depends on the vocabulary; "": a made-up one of DeepSeek's size
  std::string program;         ///< this executable, run again as the other process of gate step 5
};

using Benchmark = std::function<std::vector<Figure>(const Settings&)>;

/// Runs `work`, which returns how many items it did, and measures it.
Sample measure(const std::function<double()>& work);

/// One unmeasured call, then `repeats` measured ones.
std::vector<Sample> repeat(int repeats, const std::function<double()>& work);

/// `clock` is the one that is compared with the target; both are given.
Json to_json(const Figure& figure, Clock clock);
/// Two lines of text: the figure with its target, and the spread.
std::string to_text(const Figure& figure, Clock clock);

std::vector<Figure> bench_synth(const Settings& settings);
std::vector<Figure> bench_tools(const Settings& settings);
std::vector<Figure> bench_worlds(const Settings& settings);
std::vector<Figure> bench_verify(const Settings& settings);
std::vector<Figure> bench_episodes(const Settings& settings);
std::vector<Figure> bench_memory(const Settings& settings);
std::vector<Figure> bench_constraint(const Settings& settings);
// CUDA kernels by family. None, where there is no CUDA device; the first of these has a word on stderr then.
std::vector<Figure> bench_device_peaks(const Settings& settings);
std::vector<Figure> bench_row_kernels(const Settings& settings);
std::vector<Figure> bench_expert_kernels(const Settings& settings);
std::vector<Figure> bench_attention_kernels(const Settings& settings);
std::vector<Figure> bench_prompt_kernels(const Settings& settings);

}  // namespace gauntlet::bench

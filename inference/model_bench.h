#pragma once

// How fast a backend prefills and decodes, beside the time that reading a step's bytes takes at the device's own streaming rate. Knows no
// device: what belongs to one comes as a BenchDevice.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "inference/backend.h"
#include "inference/step_footprint.h"

namespace gauntlet {

/// Cache bytes that one new token after `context` others reads.
std::size_t cache_bytes_read(const ModelConfig& config, const StepFootprint& footprint, std::int64_t context);

/// Pairs of layer and expert that a step of `batch` tokens touches on average if every token draws its experts evenly.
double expected_experts(const ModelConfig& config, int moe_layers, int batch);

struct BenchDevice {
  std::string hardware;                                      ///< in words
  int threads = 0;                                           ///< 0: does not apply
  std::shared_ptr<Backend> backend;                          ///< and, where it reads from more, that too (the functions below share it)
  StepFootprint footprint;
  std::function<double(std::size_t bytes)> read_rate;        ///< bytes a second when that many are read over and over, by all threads
  std::function<std::int64_t()> experts_touched;             ///< pairs of layer and expert of the last forward(); null: expected_experts
  std::function<double()> busy_seconds;                      ///< of the device, since its start; null: not known
};

/// Cpu is that of the process, divided by the device's threads: for machines that are busy with other work.
enum class BenchClock { Wall, Cpu };

struct BenchPlan {
  std::vector<int> contexts = {128, 1024, 4096};
  std::vector<int> batches = {1, 4, 16};
  int steps = 32;                ///< of decoding, in one repeat
  int repeats = 5;
  std::uint64_t seed = 1;
  BenchClock clock = BenchClock::Wall;
};

/// Cache pages that the plan needs.
int bench_pages(const BenchPlan& plan);

/// Seconds of each repeat; one unmeasured pass came before.
struct PrefillFigure {
  int context = 0;
  std::vector<double> seconds;
};
struct DecodeFigure {
  int context = 0, batch = 0;
  std::vector<double> seconds;            ///< of one step, each the mean of a repeat's steps
  std::vector<double> engine_seconds;     ///< of one step through the scheduler, with sampling at temperature 1
  double engine_busy = 0;                 ///< share of that time in which the device was at work; 0: not known
  double bytes = 0;                       ///< read in one step
  double rate = 0;                        ///< bytes a second when as many bytes are read over and over
};
struct BenchFigures {
  double memory_rate = 0;                 ///< bytes a second from memory
  std::vector<PrefillFigure> prefill;
  std::vector<DecodeFigure> decode;
};

double median(std::vector<double> values);
double least(const std::vector<double>& values);

/// Blocks. `note` is told what comes next. Throws Error(Usage) for a plan that the model or the device cannot hold.
BenchFigures bench_model(BenchDevice& device, const BenchPlan& plan, const std::function<void(const std::string&)>& note);

}  // namespace gauntlet

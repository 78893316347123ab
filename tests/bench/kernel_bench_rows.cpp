#include <fmt/format.h>

#include "inference/cuda/draw.h"
#include "inference/cuda/float_linear.h"
#include "inference/cuda/kernel_data.h"
#include "inference/cuda/norm.h"
#include "tests/bench/kernel_bench.h"

namespace gauntlet::bench {
namespace {

using kernels::OnDevice;
using kernels::poisoned_on_device;
using kernels::random_bf16s;
using kernels::random_floats;

void time_elementwise(KernelTimes& times, int rows, int dim, int width) {
  Rng rng(1);
  const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(dim), gates = static_cast<std::size_t>(width);
  constexpr std::size_t kVocab = 8192;
  std::vector<std::int32_t> ids(count);
  for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(kVocab));
  const OnDevice<std::int32_t> device_ids(ids);
  const OnDevice<Bf16> table(random_bf16s(rng, kVocab * columns));
  const OnDevice<float> x(random_floats(rng, count * columns)), weight(random_floats(rng, columns)), gate_up(random_floats(rng, count * 2 * gates));
  const auto stream = poisoned_on_device<float>(count * columns);
  const auto y = poisoned_on_device<Bf16>(count * columns), gated = poisoned_on_device<Bf16>(count * gates);
  const double each = static_cast<double>(rows) * dim;
  times.add(fmt::format("embed.{}x{}", rows, dim), {.bytes = each * 6},
            [&] { kernels::embed({.tokens = rows, .dim = dim, .ids = device_ids.data(), .table = table.data(), .stream = stream.data()}, times.stream().get()); });
  times.add(fmt::format("rms_norm.{}x{}", rows, dim), {.bytes = each * 6},
            [&] { kernels::rms_norm({.rows = rows, .dim = dim, .x = x.data(), .weight = weight.data(), .y = y.data()}, times.stream().get()); });
  times.add(fmt::format("silu_multiply.{}x{}", rows, width), {.bytes = static_cast<double>(rows) * width * 10},
            [&] { kernels::silu_multiply({.rows = rows, .width = width, .gate_up = gate_up.data(), .y = gated.data()}, times.stream().get()); });
}

void time_float_linear(KernelTimes& times, int rows, int outputs, int dim) {
  Rng rng(2);
  const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(outputs), inner = static_cast<std::size_t>(dim);
  const OnDevice<float> x(random_floats(rng, count * inner)), weight(random_floats(rng, columns * inner));
  const auto y = poisoned_on_device<float>(count * columns);
  times.add(fmt::format("float_linear.{}x{}x{}", rows, outputs, dim), {.bytes = 4.0 * (static_cast<double>(rows) * dim + static_cast<double>(outputs) * dim + static_cast<double>(rows) * outputs)},
            [&] { kernels::float_linear({.rows = rows, .outputs = outputs, .dim = dim, .x = x.data(), .weight = weight.data(), .y = y.data()}, times.stream().get()); });
}

void time_draw(KernelTimes& times, int rows, int vocab, const char* name, const kernels::DrawRow& parameters) {
  Rng rng(3);
  const auto count = static_cast<std::size_t>(rows);
  auto logits = random_floats(rng, count * static_cast<std::size_t>(vocab), -8, 8);
  std::vector<kernels::DrawRow> draws(count, parameters);
  for (auto& d : draws) d.uniform = static_cast<double>(rng.next() >> 11) * 0x1p-53;
  const OnDevice<float> device_logits(logits);
  const OnDevice<kernels::DrawRow> device_draws(draws);
  const OnDevice<kernels::DrawnRow> out{std::vector<kernels::DrawnRow>(count)};
  times.add(fmt::format("draw.{}.{}x{}", name, rows, vocab), {.bytes = 4.0 * rows * vocab},
            [&] { kernels::draw({.rows = rows, .vocab = vocab, .parameters = device_draws.data(), .logits = device_logits.data(), .out = out.data()}, times.stream().get()); });
}

}  // namespace

void time_row_kernels(KernelTimes& times) {
  time_elementwise(times, 64, 512, 256);
  time_float_linear(times, 1, 256, 7168);
  time_draw(times, 64, 512, "plain", {});
  if (times.quick()) return;
  time_elementwise(times, 256, 512, 1024);
  time_elementwise(times, 64, 7168, 2048);
  time_elementwise(times, 4096, 7168, 2048);
  for (const int rows : {16, 64, 256, 1000}) time_float_linear(times, rows, 256, 7168);
  time_float_linear(times, 256, 16, 512);
  time_draw(times, 256, 32768, "greedy", {.temperature = 0.0f});
  time_draw(times, 256, 32768, "plain", {});
  for (const int rows : {1, 256}) {
    time_draw(times, rows, 129280, "plain", {});
    time_draw(times, rows, 129280, "top_p", {.top_p = 0.95f});
    time_draw(times, rows, 129280, "top_k_top_p", {.top_p = 0.95f, .top_k = 50});
  }
}

}  // namespace gauntlet::bench

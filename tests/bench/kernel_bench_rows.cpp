#include <fmt/format.h>

#include <algorithm>

#include "inference/cuda/draw.h"
#include "inference/cuda/float_linear.h"
#include "inference/cuda/kernel_data.h"
#include "inference/cuda/norm.h"
#include "inference/cuda/term_product.h"
#include "tests/bench/kernel_bench.h"

namespace gauntlet::bench {
namespace {

using kernels::OnDevice;
using kernels::poisoned_on_device;
using kernels::random_bf16s;
using kernels::random_floats;

/// The first and the last rows, so many of each, are compared with the reference.
constexpr int kChecked = 4;

/// error_of(first, count) of both; the larger one.
template <class ErrorOf>
double error_of_ends(int rows, ErrorOf error_of) {
  const int count = std::min(rows, kChecked);
  return std::max(error_of(0, count), error_of(rows - count, count));
}

template <class T>
std::vector<T> some_rows(const OnDevice<T>& all, int first, int count, int columns) {
  return kernels::rows_of(all.get(), static_cast<std::size_t>(columns), static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

void time_elementwise(KernelTimes& times, int rows, int dim, int width) {
  Rng rng(1);
  const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(dim), gates = static_cast<std::size_t>(width);
  const cudaStream_t on = times.stream().get();
  constexpr std::size_t kVocab = 8192;
  std::vector<std::int32_t> ids(count);
  for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(kVocab));
  const OnDevice<std::int32_t> device_ids(ids);
  const auto host_table = random_bf16s(rng, kVocab * columns);
  const auto host_x = random_floats(rng, count * columns), host_weight = random_floats(rng, columns), host_gates = random_floats(rng, count * 2 * gates);
  const OnDevice<Bf16> table(host_table);
  const OnDevice<float> x(host_x), weight(host_weight), gate_up(host_gates);
  const auto stream = poisoned_on_device<float>(count * columns);
  const auto y = poisoned_on_device<Bf16>(count * columns), gated = poisoned_on_device<Bf16>(count * gates);
  const double each = static_cast<double>(rows) * dim;
  const auto embed = [&] { kernels::embed({.tokens = rows, .dim = dim, .ids = device_ids.data(), .table = table.data(), .stream = stream.data()}, on); };
  times.add(fmt::format("embed.{}x{}", rows, dim), {.bytes = each * 6}, embed, kNoError, [&] {
    embed();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<float> expected(static_cast<std::size_t>(some) * columns);
      kernels::embed_ref({.tokens = some, .dim = dim, .ids = ids.data() + first, .table = host_table.data(), .stream = expected.data()});
      return kernels::relative_error(some_rows(stream, first, some, dim), expected);
    });
  });
  const auto norm = [&] { kernels::rms_norm({.rows = rows, .dim = dim, .x = x.data(), .weight = weight.data(), .y = y.data()}, on); };
  times.add(fmt::format("rms_norm.{}x{}", rows, dim), {.bytes = each * 6}, norm, kBf16Error, [&] {
    norm();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<Bf16> expected(static_cast<std::size_t>(some) * columns);
      kernels::rms_norm_ref({.rows = some, .dim = dim, .x = host_x.data() + static_cast<std::ptrdiff_t>(first) * dim, .weight = host_weight.data(), .y = expected.data()});
      return kernels::relative_error(some_rows(y, first, some, dim), expected);
    });
  });
  const auto gate = [&] { kernels::silu_multiply({.rows = rows, .width = width, .gate_up = gate_up.data(), .y = gated.data()}, on); };
  times.add(fmt::format("silu_multiply.{}x{}", rows, width), {.bytes = static_cast<double>(rows) * width * 10}, gate, kBf16Error, [&] {
    gate();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<Bf16> expected(static_cast<std::size_t>(some) * gates);
      kernels::silu_multiply_ref({.rows = some, .width = width, .gate_up = host_gates.data() + static_cast<std::ptrdiff_t>(first) * 2 * width, .y = expected.data()});
      return kernels::relative_error(some_rows(gated, first, some, width), expected);
    });
  });
}

void time_float_linear(KernelTimes& times, int rows, int outputs, int dim) {
  Rng rng(2);
  const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(outputs), inner = static_cast<std::size_t>(dim);
  const auto host_x = random_floats(rng, count * inner), host_weight = random_floats(rng, columns * inner);
  const OnDevice<float> x(host_x), weight(host_weight);
  const auto y = poisoned_on_device<float>(count * columns);
  const auto run = [&] { kernels::float_linear({.rows = rows, .outputs = outputs, .dim = dim, .x = x.data(), .weight = weight.data(), .y = y.data()}, times.stream().get()); };
  times.add(fmt::format("float_linear.{}x{}x{}", rows, outputs, dim), {.bytes = 4.0 * (static_cast<double>(rows) * dim + static_cast<double>(outputs) * dim + static_cast<double>(rows) * outputs)}, run, kFloatError, [&] {
    run();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<float> expected(static_cast<std::size_t>(some) * columns);
      kernels::float_linear_ref({.rows = some, .outputs = outputs, .dim = dim, .x = host_x.data() + static_cast<std::ptrdiff_t>(first) * dim, .weight = host_weight.data(), .y = expected.data()});
      return kernels::relative_error(some_rows(y, first, some, outputs), expected);
    });
  });
}

/// A small model's product with the norm before it, and what it reads once: weights, rows, results.
void time_term_product(KernelTimes& times, int rows, int outputs, int inner) {
  Rng rng(4);
  const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(outputs), width = static_cast<std::size_t>(inner);
  const auto host_x = random_floats(rng, count * width), host_norm = random_floats(rng, width, 0.5f, 1.5f);
  const auto host_weights = random_bf16s(rng, columns * width);
  const OnDevice<float> x(host_x), norm(host_norm);
  const OnDevice<Bf16> weights(host_weights);
  const auto y = poisoned_on_device<float>(count * columns);
  kernels::TermProductArgs args{.rows = rows, .outputs = outputs, .inner = inner, .weights = weights.data(), .norm_weight = norm.data(), .x = x.data(), .x_stride = inner, .y = y.data(), .y_stride = outputs};
  const auto run = [&] { kernels::term_product(args, times.stream().get()); };
  const double products = 2.0 * rows * outputs * inner;
  times.add(fmt::format("term_product.norm.{}x{}x{}", rows, outputs, inner), {.bytes = 2.0 * outputs * inner + 4.0 * rows * (inner + outputs), .flops = 2 * products}, run, kFloatError, [&] {
    run();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<float> expected(static_cast<std::size_t>(some) * columns);
      kernels::TermProductArgs reference = args;
      reference.rows = some;
      reference.weights = host_weights.data();
      reference.norm_weight = host_norm.data();
      reference.x = host_x.data() + static_cast<std::ptrdiff_t>(first) * inner;
      reference.y = expected.data();
      kernels::term_product_ref(reference);
      return kernels::relative_error(some_rows(y, first, some, outputs), expected);
    });
  });
}

void time_draw(KernelTimes& times, int rows, int vocab, const char* name, const kernels::DrawRow& parameters) {
  Rng rng(3);
  const auto count = static_cast<std::size_t>(rows);
  const auto logits = random_floats(rng, count * static_cast<std::size_t>(vocab), -8, 8);
  std::vector<kernels::DrawRow> draws(count, parameters);
  for (auto& d : draws) d.uniform = static_cast<double>(rng.next() >> 11) * 0x1p-53;
  const OnDevice<float> device_logits(logits);
  const OnDevice<kernels::DrawRow> device_draws(draws);
  const OnDevice<kernels::DrawnRow> out{std::vector<kernels::DrawnRow>(count)};
  const auto run = [&] { kernels::draw({.rows = rows, .vocab = vocab, .parameters = device_draws.data(), .logits = device_logits.data(), .out = out.data()}, times.stream().get()); };
  // The share of rows that draw another token than the reference: 0.
  times.add(fmt::format("draw.{}.{}x{}", name, rows, vocab), {.bytes = 4.0 * rows * vocab}, run, kNoError, [&] {
    run();
    return error_of_ends(rows, [&](int first, int some) {
      std::vector<kernels::DrawnRow> expected(static_cast<std::size_t>(some));
      kernels::draw_ref({.rows = some, .vocab = vocab, .parameters = draws.data() + first, .logits = logits.data() + static_cast<std::ptrdiff_t>(first) * vocab, .out = expected.data()});
      const auto found = some_rows(out, first, some, 1);
      double different = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) different += found[i].id != expected[i].id ? 1 : 0;
      return different / some;
    });
  });
}

}  // namespace

void time_row_kernels(KernelTimes& times) {
  time_elementwise(times, 64, 512, 256);
  time_float_linear(times, 1, 256, 7168);
  time_draw(times, 64, 512, "plain", {});
  time_term_product(times, 1, 480, 384);
  if (times.quick()) return;
  for (const int rows : {16, 256, 1024}) time_term_product(times, rows, 480, 384);
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

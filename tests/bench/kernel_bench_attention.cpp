#include <fmt/format.h>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/index_scores.h"
#include "inference/cuda/latents.h"
#include "inference/cuda/sparse_attention.h"
#include "inference/cuda/top_positions.h"
#include "tests/bench/kernel_bench.h"

namespace gauntlet::bench {
namespace {

using kernels::CacheLayout;
using kernels::DeviceBatch;
using kernels::OnDevice;
using kernels::random_floats;
using kernels::SequencePart;

/// Launches that follow each other read different memory until this much has passed: more than the second-level cache of any device holds.
constexpr double kRotatedBytes = 256e6;

const char* name_of(CacheFormat format) { return format == CacheFormat::Bf16 ? "bf16" : "fp8"; }

/// How many sets of inputs of so many bytes are used in turn.
int variants_of(double bytes, bool quick) { return quick ? 1 : std::max(1, static_cast<int>(std::ceil(kRotatedBytes / bytes))); }

/// `bytes` of device memory that repeat `unit`. Random numbers for gigabytes would take longer than the measurement.
DeviceBuffer<std::byte> repeated(std::span<const std::byte> unit, std::size_t bytes) {
  DeviceBuffer<std::byte> out(bytes);
  std::size_t filled = std::min(bytes, unit.size());
  cuda_check(cudaMemcpy(out.data(), unit.data(), filled, cudaMemcpyHostToDevice));
  while (filled < bytes) {
    const std::size_t size = std::min(filled, bytes - filled);
    cuda_check(cudaMemcpy(out.data() + filled, out.data(), size, cudaMemcpyDeviceToDevice));
    filled += size;
  }
  cuda_check(cudaDeviceSynchronize());
  return out;
}

DeviceBuffer<std::byte> latent_rows(const CacheLayout& layout, int pages) {
  Rng rng(1);
  constexpr int kUnit = 1021;  // rows; a prime, so that pages differ
  std::vector<std::byte> unit(static_cast<std::size_t>(kUnit * layout.row_bytes()));
  for (int r = 0; r < kUnit; ++r) kernels::write_latent_row(layout, kernels::uniforms(rng, layout.latent), kernels::uniforms(rng, layout.rope), unit.data() + r * layout.row_bytes());
  return repeated(unit, static_cast<std::size_t>(pages) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()));
}

DeviceBuffer<std::byte> index_pages(const CacheLayout& layout, int pages) {
  Rng rng(2);
  constexpr int kUnit = 17;  // pages
  std::vector<std::byte> unit(static_cast<std::size_t>(kUnit * layout.index_page_bytes()));
  for (int p = 0; p < kUnit; ++p) {
    for (int slot = 0; slot < kPageTokens; ++slot) kernels::write_index_key(layout, kernels::uniforms(rng, layout.index), unit.data() + p * layout.index_page_bytes(), slot);
  }
  return repeated(unit, static_cast<std::size_t>(pages) * static_cast<std::size_t>(layout.index_page_bytes()));
}

/// `rows` tokens in one launch: of as many sequences (decoding), or of one (prefill).
struct Shape {
  int rows = 0;
  int context = 0;
  bool prefill = false;

  std::string name() const { return fmt::format("{}.{}x{}k", prefill ? "prefill" : "decode", rows, context / 1000); }
  /// All variants' sequences, one after the other.
  std::vector<SequencePart> parts(int variants) const {
    if (prefill) return {SequencePart{.start = context - rows, .count = rows}};
    return std::vector<SequencePart>(static_cast<std::size_t>(rows * variants), SequencePart{.start = context - 1, .count = 1});
  }
};

void time_sparse_attention(KernelTimes& times, const CacheLayout& layout, int heads, int k, const Shape& shape) {
  const double read = static_cast<double>(k) * layout.row_bytes(), each = static_cast<double>(heads) * (layout.width() + layout.latent) * 2;
  const int variants = shape.prefill ? 1 : variants_of(shape.rows * read, times.quick());
  Rng rng(3);
  const auto batch = kernels::paged_batch(rng, shape.parts(variants));
  const DeviceBatch device(batch);
  const auto cache = latent_rows(layout, batch.page_count);
  const auto tokens = static_cast<std::size_t>(batch.tokens());
  const OnDevice<Bf16> queries(kernels::random_bf16s(rng, tokens * static_cast<std::size_t>(heads * layout.width())));
  // Positions as an indexer would choose them: in ascending order, one from each stretch of the context.
  std::vector<std::int32_t> lists;
  for (std::size_t t = 0; t < tokens; ++t) {
    const double stretch = static_cast<double>(batch.positions[t] + 1) / k;
    for (int i = 0; i < k; ++i) lists.push_back(static_cast<std::int32_t>((i + kernels::uniform(rng, 0.0f, 0.99f)) * stretch));
  }
  const OnDevice<std::int32_t> chosen(lists);
  const DeviceBuffer<Bf16> out(tokens * static_cast<std::size_t>(heads * layout.latent));
  kernels::SparseAttentionArgs args{.batch = device.view(), .layout = layout, .rows = shape.rows, .heads = heads, .longest = k, .scale = 0.13f, .queries = queries.data(), .k = k, .latent_rows = cache.data(), .out = out.data()};
  const auto parts = static_cast<std::size_t>(shape.rows * args.parts() * heads);
  const DeviceBuffer<float> part_out(parts * static_cast<std::size_t>(layout.latent_padded())), part_stats(parts * 2);
  args.part_out = part_out.data();
  args.part_stats = part_stats.data();
  int turn = 0;
  times.add(fmt::format("sparse_attention.{}.{}heads.{}+{}.top{}.{}", name_of(layout.format), heads, layout.latent, layout.rope, k, shape.name()),
            {.bytes = shape.rows * (read + each), .flops = 2.0 * shape.rows * k * heads * (layout.latent + layout.rope + layout.latent)}, [&] {
              args.first = turn++ % variants * shape.rows;
              args.chosen = chosen.data() + static_cast<std::int64_t>(args.first) * k;
              kernels::sparse_attention(args, times.stream().get());
            });
}

void time_index_scores(KernelTimes& times, const CacheLayout& layout, int heads, const Shape& shape) {
  const double key = layout.index_page_bytes() / static_cast<double>(kPageTokens);
  const int variants = shape.prefill ? 1 : variants_of(shape.rows * shape.context * key, times.quick());
  Rng rng(4);
  const auto batch = kernels::paged_batch(rng, shape.parts(variants));
  const DeviceBatch device(batch);
  const auto pages = index_pages(layout, batch.page_count);
  const auto tokens = static_cast<std::size_t>(batch.tokens());
  const OnDevice<Bf16> queries(kernels::random_padded(rng, static_cast<std::int64_t>(tokens) * heads, layout.index, layout.index_padded()));
  const OnDevice<float> weights(random_floats(rng, tokens * static_cast<std::size_t>(heads)));
  const std::int64_t stride = kernels::round_up(shape.context, 4);
  const DeviceBuffer<float> scores(static_cast<std::size_t>(shape.rows * stride));
  kernels::IndexScoresArgs args{.batch = device.view(), .layout = layout, .rows = shape.rows, .heads = heads, .longest = shape.context, .queries = queries.data(), .weights = weights.data(), .index_pages = pages.data(),
                                .scores = scores.data(), .score_stride = stride};
  const double scored = shape.prefill ? shape.rows * (shape.context - (shape.rows - 1) / 2.0) : static_cast<double>(shape.rows) * shape.context;
  const double keys = shape.prefill ? shape.context : scored;
  int turn = 0;
  times.add(fmt::format("index_scores.{}.{}x{}.{}", name_of(layout.format), heads, layout.index, shape.name()),
            {.bytes = keys * key + scored * 4 + 2.0 * shape.rows * heads * layout.index, .flops = 2.0 * scored * heads * layout.index}, [&] {
              args.first = turn++ % variants * shape.rows;
              kernels::index_scores(args, times.stream().get());
            });
}

void time_top_positions(KernelTimes& times, int rows, int length, int k) {
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
  const int variants = variants_of(static_cast<double>(count) * 4, times.quick());
  Rng rng(5);
  const auto values = random_floats(rng, std::min<std::size_t>(count, 1'000'003));
  const auto scores = repeated(std::as_bytes(std::span(values)), count * 4 * static_cast<std::size_t>(variants));
  const OnDevice<std::int32_t> last(std::vector<std::int32_t>(static_cast<std::size_t>(rows), length - 1));
  const DeviceBuffer<std::int32_t> chosen(static_cast<std::size_t>(rows) * static_cast<std::size_t>(k));
  int turn = 0;
  times.add(fmt::format("top_positions.{}x{}.top{}", rows, length, k), {.bytes = 4.0 * static_cast<double>(count) + 4.0 * rows * k}, [&] {
    const auto* from = reinterpret_cast<const float*>(scores.data()) + static_cast<std::size_t>(turn++ % variants) * count;
    kernels::top_positions({.rows = rows, .k = k, .last = last.data(), .scores = from, .score_stride = length, .chosen = chosen.data()}, times.stream().get());
  });
}

struct Projections {
  int q_rank = 0, heads = 0, nope = 0, index_heads = 0;
};

void time_projections(KernelTimes& times, const CacheLayout& layout, const Projections& sizes, int tokens) {
  Rng rng(6);
  constexpr int kContext = 4096;
  const auto batch = kernels::paged_batch(rng, std::vector<SequencePart>(static_cast<std::size_t>(tokens), SequencePart{.start = kContext - 1, .count = 1}));
  const DeviceBatch device(batch);
  const auto count = static_cast<std::size_t>(tokens), positions = static_cast<std::size_t>(kContext);
  const int input = sizes.q_rank + layout.latent + layout.rope + layout.index, query = sizes.heads * (sizes.nope + layout.rope) + sizes.index_heads * layout.index;
  const OnDevice<float> inputs(random_floats(rng, count * static_cast<std::size_t>(input))), projected(random_floats(rng, count * static_cast<std::size_t>(query)));
  const OnDevice<float> norms(random_floats(rng, static_cast<std::size_t>(input), 0.5f, 1.5f)), angles(random_floats(rng, positions * static_cast<std::size_t>(layout.rope / 2)));
  const DeviceBuffer<Bf16> q_latent(count * static_cast<std::size_t>(sizes.q_rank)), content(count * static_cast<std::size_t>(sizes.heads * sizes.nope)), absorbed(count * static_cast<std::size_t>(sizes.heads * layout.width())),
      index_queries(count * static_cast<std::size_t>(sizes.index_heads * layout.index_padded()));
  const DeviceBuffer<std::byte> rows(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes())),
      pages(static_cast<std::size_t>(batch.page_count) * static_cast<std::size_t>(layout.index_page_bytes()));
  const std::string shape = fmt::format("{}.{}tokens.{}heads.{}+{}", name_of(layout.format), tokens, sizes.heads, layout.latent, layout.rope);
  const double entry = layout.row_bytes() + layout.index_page_bytes() / static_cast<double>(kPageTokens);
  times.add("write_latents." + shape, {.bytes = tokens * (4.0 * input + 2.0 * sizes.q_rank + entry)}, [&] {
    kernels::write_latents({.batch = device.view(), .layout = layout, .q_rank = sizes.q_rank, .input_stride = input, .kv_offset = sizes.q_rank, .input = inputs.data(), .q_norm = norms.data(),
                            .kv_norm = norms.data(), .index_norm = norms.data(), .index_norm_bias = norms.data(), .cosines = angles.data(), .sines = angles.data(), .q_latent = q_latent.data(),
                            .latent_rows = rows.data(), .index_pages = pages.data()},
                           times.stream().get());
  });
  times.add("split_queries." + shape, {.bytes = tokens * (4.0 * query + 2.0 * (sizes.heads * (sizes.nope + layout.rope_padded()) + sizes.index_heads * layout.index_padded()))}, [&] {
    kernels::split_queries({.batch = device.view(), .layout = layout, .heads = sizes.heads, .nope = sizes.nope, .index_heads = sizes.index_heads, .query_stride = query, .query = projected.data(),
                            .cosines = angles.data(), .sines = angles.data(), .content = content.data(), .absorbed = absorbed.data(), .index_queries = index_queries.data()},
                           times.stream().get());
  });
}

}  // namespace

void time_attention_kernels(KernelTimes& times) {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const CacheLayout v32{.format = format, .latent = 512, .rope = 64, .index = 128}, small{.format = format, .latent = 128, .rope = 32, .index = 64};
    const Projections small_sizes{.q_rank = 256, .heads = 8, .nope = 64, .index_heads = 16}, v32_sizes{.q_rank = 1536, .heads = 128, .nope = 128, .index_heads = 64};
    if (times.quick()) {
      time_sparse_attention(times, small, 8, 512, {.rows = 4, .context = 2000});
      time_index_scores(times, small, 16, {.rows = 4, .context = 2000});
      time_projections(times, small, small_sizes, 4);
      continue;
    }
    for (const int rows : {1, 8, 64}) time_sparse_attention(times, v32, 128, 2048, {.rows = rows, .context = 32'000});
    time_sparse_attention(times, v32, 128, 2048, {.rows = 512, .context = 32'000, .prefill = true});
    time_sparse_attention(times, small, 8, 512, {.rows = 256, .context = 4000});
    for (const int context : {2'000, 32'000, 100'000}) {
      for (const int rows : {1, 64}) time_index_scores(times, v32, 64, {.rows = rows, .context = context});
    }
    time_index_scores(times, v32, 64, {.rows = 512, .context = 8'000, .prefill = true});
    time_index_scores(times, small, 16, {.rows = 256, .context = 4'000});
    time_projections(times, v32, v32_sizes, 256);
    time_projections(times, small, small_sizes, 256);
  }
  if (times.quick()) return time_top_positions(times, 4, 8192, 512);
  for (const int length : {8192, 32'768, 131'072}) {
    for (const int rows : {1, 64}) time_top_positions(times, rows, length, 2048);
  }
  time_top_positions(times, 256, 4096, 512);
}

}  // namespace gauntlet::bench

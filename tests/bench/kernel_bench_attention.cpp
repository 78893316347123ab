#include <algorithm>
#include <optional>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/fast_kernels.h"
#include "inference/cuda/hopper/quantize_queries.h"
#include "inference/cuda/hopper/sparse_prefill_fp8.h"
#include "inference/cuda/latents.h"
#include "tests/bench/kernel_bench_data.h"

namespace gauntlet::bench {
namespace {

using kernels::CacheLayout;
using kernels::DeviceBatch;
using kernels::OnDevice;
using kernels::random_floats;
using kernels::SequencePart;

/// Positions as an indexer would choose them, one from each stretch of the context; in random order, or ascending.
enum class Order { Ascending, Random };

std::vector<std::int32_t> random_lists(Rng& rng, const kernels::PagedBatch& batch, int k, Order order) {
  std::vector<std::int32_t> lists;
  lists.reserve(batch.positions.size() * static_cast<std::size_t>(k));
  for (const auto position : batch.positions) {
    const double stretch = static_cast<double>(position + 1) / k;
    std::vector<std::int32_t> one;
    for (int i = 0; i < k; ++i) one.push_back(static_cast<std::int32_t>((i + kernels::uniform(rng, 0.0f, 0.99f)) * stretch));
    if (order == Order::Random) rng.shuffle(one);
    lists.insert(lists.end(), one.begin(), one.end());
  }
  return lists;
}

/// `count` elements of device memory that repeat up to a million random ones.
DeviceBuffer<std::byte> repeated_bf16s(Rng& rng, std::size_t count) {
  const auto unit = kernels::random_bf16s(rng, std::min<std::size_t>(count, 1'000'003));
  return repeated(std::as_bytes(std::span(unit)), count * sizeof(Bf16));
}

template <class T>
std::vector<T> copy_of(const T* from, std::size_t count) {
  std::vector<T> out(count);
  cuda_check(cudaDeviceSynchronize());
  cuda_check(cudaMemcpy(out.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost));
  return out;
}

struct AttentionRow {
  int heads = 0;
  int k = 0;
  Shape shape;
  bool portable = false;       ///< the portable kernel, also where there is a faster one
  Order order = Order::Ascending;
  bool fp8_queries = false;    ///< queries in e4m3, made before the clock starts
  double target_us = 0;
};

/// FP8 queries of all tokens on the device.
struct Fp8Queries {
  DeviceBuffer<std::uint8_t> values;
  DeviceBuffer<Bf16> rotary;
  DeviceBuffer<float> scales;

  Fp8Queries(std::size_t heads, const CacheLayout& layout)
      : values(heads * static_cast<std::size_t>(layout.latent)), rotary(heads * static_cast<std::size_t>(layout.rope)), scales(heads) {}

  kernels::QuantizeQueriesArgs from(const Bf16* queries) const {
    return {.heads = static_cast<int>(scales.size()), .queries = queries, .queries_fp8 = values.data(), .query_rotary = rotary.data(), .query_scales = scales.data()};
  }
  /// What a token's queries stand for: four bits and a power of two, which bf16 holds exactly.
  std::vector<Bf16> token(std::size_t token, std::size_t heads, const CacheLayout& layout) const {
    const auto latent = static_cast<std::size_t>(layout.latent), rope = static_cast<std::size_t>(layout.rope), first = token * heads;
    const auto own = copy_of(values.data() + first * latent, heads * latent);
    const auto own_rotary = copy_of(rotary.data() + first * rope, heads * rope);
    const auto own_scales = copy_of(scales.data() + first, heads);
    std::vector<Bf16> out;
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < latent; ++i) out.push_back(to_bf16(to_float(Fp8{own[h * latent + i]}) * own_scales[h]));
      for (std::size_t i = 0; i < rope; ++i) out.push_back(to_bf16(to_float(own_rotary[h * rope + i]) * own_scales[h]));
    }
    return out;
  }
};

void time_sparse_attention(KernelTimes& times, const CacheLayout& layout, const AttentionRow& row) {
  const int heads = row.heads, k = row.k;
  const Shape& shape = row.shape;
  // A prompt's tokens share the entries of one sequence.
  const double read = static_cast<double>(k) * layout.row_bytes(), entries = shape.prefill ? std::min<double>(static_cast<double>(shape.rows) * k, shape.context) : static_cast<double>(shape.rows) * k;
  const double each = static_cast<double>(heads) * (layout.width() + layout.latent) * 2;
  const int variants = shape.prefill ? 1 : variants_of(shape.rows * read, times.quick());
  Rng rng(3);
  const auto batch = kernels::paged_batch(rng, shape.parts(variants));
  const DeviceBatch device(batch);
  const auto cache = latent_rows(layout, batch.page_count);
  const auto tokens = static_cast<std::size_t>(batch.tokens()), query = static_cast<std::size_t>(heads * layout.width()), result = static_cast<std::size_t>(heads * layout.latent);
  const auto queries = repeated_bf16s(rng, tokens * query);
  const auto lists = random_lists(rng, batch, k, row.order);
  const OnDevice<std::int32_t> chosen(lists);
  const DeviceBuffer<Bf16> out(tokens * result);
  kernels::SparseAttentionArgs args{.batch = device.view(), .layout = layout, .rows = shape.rows, .heads = heads, .longest = k, .scale = 0.13f, .queries = reinterpret_cast<const Bf16*>(queries.data()), .k = k,
                                    .latent_rows = cache.data(), .out = out.data()};
  args.chosen = chosen.data();
  if (!row.portable) args.part = kernels::fastest_part(args);
  const std::string kernel = row.portable ? "portable" : kernels::name_of(kernels::attention_kernel(args));
  std::optional<Fp8Queries> fp8_queries;
  if (row.fp8_queries) {
    fp8_queries.emplace(tokens * static_cast<std::size_t>(heads), layout);
    kernels::quantize_queries(fp8_queries->from(args.queries), times.stream().get());
    args.part = kernels::round_up(k, kPageTokens);
  }
  const auto parts = static_cast<std::size_t>(shape.rows * args.parts() * heads);
  const DeviceBuffer<float> part_out(parts * static_cast<std::size_t>(layout.latent_padded())), part_stats(parts * 2);
  args.part_out = part_out.data();
  args.part_stats = part_stats.data();
  int turn = 0;
  const auto run = [&] {
    args.first = turn++ % variants * shape.rows;
    args.chosen = chosen.data() + static_cast<std::int64_t>(args.first) * k;
    if (fp8_queries) {
      const kernels::SparsePrefillFp8Args fp8{.attention = args, .queries_fp8 = fp8_queries->values.data(), .query_rotary = fp8_queries->rotary.data(), .query_scales = fp8_queries->scales.data()};
      kernels::sparse_prefill_fp8(fp8, times.stream().get());
    } else if (row.portable) {
      kernels::sparse_attention(args, times.stream().get());
    } else {
      kernels::attend(args, times.stream().get());
    }
  };
  const auto error = [&] {
    turn = 0;
    run();
    const auto token = static_cast<std::size_t>(shape.rows - 1);
    const auto keys = copy_latents(layout, cache, batch, static_cast<int>(token), std::span(lists).subspan(token * static_cast<std::size_t>(k), static_cast<std::size_t>(k)));
    const auto own = fp8_queries ? fp8_queries->token(token, static_cast<std::size_t>(heads), layout) : copy_of(args.queries + token * query, query);
    const auto found = copy_of(out.data() + token * result, result);
    std::vector<Bf16> expected(result);
    kernels::sparse_attention_ref({.batch = keys.view(), .layout = layout, .rows = 1, .heads = heads, .longest = k, .scale = args.scale, .queries = own.data(), .latent_rows = keys.bytes.data(), .out = expected.data()});
    return kernels::relative_error(found, expected);
  };
  const auto chosen_kernel = kernels::attention_kernel(args);
  const char* form = row.portable ? ".portable" : row.fp8_queries ? ".fp8_queries" : "";
  const bool wgmma = !row.portable && (chosen_kernel == kernels::AttentionKernel::Fp8 || chosen_kernel == kernels::AttentionKernel::Bf16);
  times.add({.name = fmt::format("sparse_attention.{}.{}heads.{}+{}.top{}.{}{}", name_of(layout.format), heads, layout.latent, layout.rope, k, shape.name(), form),
             .work = {.bytes = entries * layout.row_bytes() + shape.rows * each, .flops = 2.0 * shape.rows * k * heads * (layout.latent + layout.rope + layout.latent), .unit = wgmma ? MatrixUnit::WgmmaBf16 : MatrixUnit::Mma},
             .kernel = row.fp8_queries ? "FP8 queries" : kernel,
             .target_us = row.target_us,
             .error_bound = kBf16Error},
            run, error);
}

void time_quantize_queries(KernelTimes& times, int tokens, int heads) {
  const CacheLayout layout{.format = CacheFormat::Fp8, .latent = kernels::kQueryLatent, .rope = kernels::kQueryRotary};
  Rng rng(8);
  const auto rows = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(heads), width = static_cast<std::size_t>(layout.width());
  const auto queries = repeated_bf16s(rng, rows * width);
  const auto* from = reinterpret_cast<const Bf16*>(queries.data());
  const Fp8Queries to(rows, layout);
  const auto run = [&] { kernels::quantize_queries(to.from(from), times.stream().get()); };
  times.add(fmt::format("quantize_queries.{}tokens.{}heads.512+64", tokens, heads), {.bytes = static_cast<double>(rows) * (2.0 * static_cast<double>(width) + 512 + 128 + 4)}, run, kNoError, [&] {
    run();
    const auto count = static_cast<std::size_t>(heads), first = rows - count;
    const auto own = copy_of(from + first * width, count * width);
    std::vector<std::uint8_t> values(count * 512);
    std::vector<Bf16> rotary(count * 64);
    std::vector<float> scales(count);
    kernels::quantize_queries_ref({.heads = heads, .queries = own.data(), .queries_fp8 = values.data(), .query_rotary = rotary.data(), .query_scales = scales.data()});
    const bool same = copy_of(to.values.data() + first * 512, values.size()) == values && kernels::same_bits(copy_of(to.rotary.data() + first * 64, rotary.size()), rotary) && copy_of(to.scales.data() + first, count) == scales;
    return same ? 0.0 : 1.0;
  });
}

void time_index_scores(KernelTimes& times, const CacheLayout& layout, int heads, const Shape& shape, double target_us = 0) {
  const double key = layout.index_page_bytes() / static_cast<double>(kPageTokens);
  const int variants = shape.prefill ? 1 : variants_of(shape.rows * shape.context * key, times.quick());
  Rng rng(4);
  const auto batch = kernels::paged_batch(rng, shape.parts(variants));
  const DeviceBatch device(batch);
  const auto pages = index_pages(layout, batch.page_count);
  const auto tokens = static_cast<std::size_t>(batch.tokens()), query = static_cast<std::size_t>(heads * layout.index_padded());
  // Values that e4m3 holds exactly, so that both forms of the kernel can have them.
  std::vector<Bf16> queries(std::min<std::size_t>(tokens * query, 1'000'003));
  std::vector<std::uint8_t> queries_fp8(queries.size());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    queries_fp8[i] = to_fp8(kernels::uniform(rng, -1.0f, 1.0f)).bits;
    queries[i] = to_bf16(to_float(Fp8{queries_fp8[i]}));
  }
  const bool fp8 = kernels::scores_in_fp8(layout, heads);
  const auto device_queries = fp8 ? repeated(std::as_bytes(std::span(queries_fp8)), tokens * query) : repeated(std::as_bytes(std::span(queries)), tokens * query * sizeof(Bf16));
  const OnDevice<float> weights(random_floats(rng, tokens * static_cast<std::size_t>(heads)));
  const std::int64_t stride = kernels::round_up(shape.context, 4);
  const DeviceBuffer<float> scores(static_cast<std::size_t>(shape.rows * stride));
  kernels::IndexScoresArgs args{.batch = device.view(), .layout = layout, .rows = shape.rows, .heads = heads, .longest = shape.context, .weights = weights.data(), .index_pages = pages.data(), .scores = scores.data(),
                                .score_stride = stride};
  if (fp8) {
    args.queries_fp8 = reinterpret_cast<const std::uint8_t*>(device_queries.data());
    args.weights_fp8 = weights.data();
  } else {
    args.queries = reinterpret_cast<const Bf16*>(device_queries.data());
  }
  int turn = 0;
  const auto run = [&] {
    args.first = turn++ % variants * shape.rows;
    kernels::score_positions(args, times.stream().get());
  };
  const auto error = [&] {
    turn = 0;
    run();
    const int token = shape.rows - 1, count = std::min(shape.context, 4096);
    const auto keys = copy_index_keys(layout, pages, batch, token, count);
    std::vector<Bf16> own(query);
    for (std::size_t i = 0; i < query; ++i) own[i] = queries[(static_cast<std::size_t>(token) * query + i) % queries.size()];
    const auto own_weights = copy_of(weights.data() + static_cast<std::ptrdiff_t>(token) * heads, static_cast<std::size_t>(heads));
    const auto found = copy_of(scores.data() + token * stride, static_cast<std::size_t>(count));
    std::vector<float> expected(static_cast<std::size_t>(kernels::round_up(count, 4)));
    kernels::index_scores_ref({.batch = keys.view(), .layout = layout, .rows = 1, .heads = heads, .longest = count, .queries = own.data(), .weights = own_weights.data(), .index_pages = keys.bytes.data(),
                               .scores = expected.data(), .score_stride = kernels::round_up(count, 4)});
    expected.resize(found.size());
    return kernels::relative_error(found, expected);
  };
  const double keys = shape.prefill ? shape.context : shape.pairs();
  times.add({.name = fmt::format("index_scores.{}.{}x{}.{}", name_of(layout.format), heads, layout.index, shape.name()),
             .work = {.bytes = keys * key + shape.pairs() * 4 + (fp8 ? 1.0 : 2.0) * shape.rows * static_cast<double>(query), .flops = 2.0 * shape.pairs() * heads * layout.index, .unit = fp8 ? MatrixUnit::WgmmaFp8 : MatrixUnit::Mma},
             .kernel = fp8 ? "FP8" : "portable",
             .target_us = target_us,
             .error_bound = fp8 ? kFp8SumError : kFloatError},
            run, error);
}

void time_top_positions(KernelTimes& times, int rows, int length, int k, double target_us = 0) {
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
  const int variants = variants_of(static_cast<double>(count) * 4, times.quick());
  Rng rng(5);
  std::vector<float> values(std::min<std::size_t>(count, 1'000'003));
  for (float& value : values) {  // as scores are: sums of many
    value = 0;
    for (int i = 0; i < 6; ++i) value += kernels::uniform(rng, -1.0f, 1.0f);
  }
  const auto scores = repeated(std::as_bytes(std::span(values)), count * 4 * static_cast<std::size_t>(variants));
  const OnDevice<std::int32_t> last(std::vector<std::int32_t>(static_cast<std::size_t>(rows), length - 1));
  const DeviceBuffer<std::int32_t> chosen(static_cast<std::size_t>(rows) * static_cast<std::size_t>(k));
  int turn = 0;
  const auto run = [&] {
    const auto* from = reinterpret_cast<const float*>(scores.data()) + static_cast<std::size_t>(turn++ % variants) * count;
    kernels::choose_positions({.rows = rows, .k = k, .last = last.data(), .scores = from, .score_stride = length, .chosen = chosen.data()}, times.stream().get());
  };
  // The share of positions that are not those of a sort: 0.
  const auto error = [&] {
    turn = 0;
    run();
    const auto found = copy_of(chosen.data() + static_cast<std::ptrdiff_t>(rows - 1) * k, static_cast<std::size_t>(k));
    const auto own = copy_of(reinterpret_cast<const float*>(scores.data()) + static_cast<std::size_t>(rows - 1) * static_cast<std::size_t>(length), static_cast<std::size_t>(length));
    const std::int32_t end = length - 1;
    std::vector<std::int32_t> expected(static_cast<std::size_t>(k));
    kernels::top_positions_ref({.rows = 1, .k = k, .last = &end, .scores = own.data(), .score_stride = length, .chosen = expected.data()});
    double different = 0;
    for (std::size_t i = 0; i < found.size(); ++i) different += found[i] != expected[i] ? 1 : 0;
    return different / k;
  };
  times.add({.name = fmt::format("top_positions.{}x{}.top{}", rows, length, k), .work = {.bytes = 4.0 * static_cast<double>(count) + 4.0 * rows * k}, .target_us = target_us, .error_bound = kNoError}, run, error);
}

struct Projections {
  int q_rank = 0, heads = 0, nope = 0, index_heads = 0;
};

void time_projections(KernelTimes& times, const CacheLayout& layout, const Projections& sizes, int tokens) {
  Rng rng(6);
  constexpr int kContext = 4096;
  const auto batch = kernels::paged_batch(rng, std::vector<SequencePart>(static_cast<std::size_t>(tokens), SequencePart{.start = kContext - 1, .count = 1}));
  const auto first = batch.only(0);
  const DeviceBatch device(batch);
  const auto count = static_cast<std::size_t>(tokens), positions = static_cast<std::size_t>(kContext), q_rank = static_cast<std::size_t>(sizes.q_rank), width = static_cast<std::size_t>(sizes.heads * layout.width());
  const int input = sizes.q_rank + layout.latent + layout.rope + layout.index, query = sizes.heads * (sizes.nope + layout.rope) + sizes.index_heads * layout.index;
  const auto host_inputs = random_floats(rng, count * static_cast<std::size_t>(input)), host_projected = random_floats(rng, count * static_cast<std::size_t>(query)),
             host_norms = random_floats(rng, static_cast<std::size_t>(input), 0.5f, 1.5f), host_angles = random_floats(rng, positions * static_cast<std::size_t>(layout.rope / 2));
  const OnDevice<float> inputs(host_inputs), projected(host_projected), norms(host_norms), angles(host_angles);
  const DeviceBuffer<Bf16> q_latent(count * q_rank), content(count * static_cast<std::size_t>(sizes.heads * sizes.nope)), absorbed(count * width),
      index_queries(count * static_cast<std::size_t>(sizes.index_heads * layout.index_padded()));
  const auto row_bytes = static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()), page_bytes = static_cast<std::size_t>(batch.page_count) * static_cast<std::size_t>(layout.index_page_bytes());
  const DeviceBuffer<std::byte> rows(row_bytes), pages(page_bytes);
  const std::string shape = fmt::format("{}.{}tokens.{}heads.{}+{}", name_of(layout.format), tokens, sizes.heads, layout.latent, layout.rope);
  const double entry = layout.row_bytes() + layout.index_page_bytes() / static_cast<double>(kPageTokens);
  const auto latents = [&] {
    kernels::write_latents({.batch = device.view(), .layout = layout, .q_rank = sizes.q_rank, .input_stride = input, .kv_offset = sizes.q_rank, .input = inputs.data(), .q_norm = norms.data(),
                            .kv_norm = norms.data(), .index_norm = norms.data(), .index_norm_bias = norms.data(), .cosines = angles.data(), .sines = angles.data(), .q_latent = q_latent.data(),
                            .latent_rows = rows.data(), .index_pages = pages.data()},
                           times.stream().get());
  };
  // A value that float32 puts on the other side of the middle between two of e4m3's: 32 of at most 448.
  const double one_step = layout.format == CacheFormat::Fp8 ? 33.0 / 448 : kBf16Error;
  times.add("write_latents." + shape, {.bytes = tokens * (4.0 * input + 2.0 * sizes.q_rank + entry)}, latents, one_step, [&] {
    latents();
    std::vector<Bf16> expected(q_rank);
    std::vector<std::byte> host_rows(row_bytes), host_pages(page_bytes);
    kernels::write_latents_ref({.batch = first.view(), .layout = layout, .q_rank = sizes.q_rank, .input_stride = input, .kv_offset = sizes.q_rank, .input = host_inputs.data(), .q_norm = host_norms.data(),
                                .kv_norm = host_norms.data(), .index_norm = host_norms.data(), .index_norm_bias = host_norms.data(), .cosines = host_angles.data(), .sines = host_angles.data(),
                                .q_latent = expected.data(), .latent_rows = host_rows.data(), .index_pages = host_pages.data()});
    const auto row = static_cast<std::size_t>(kernels::physical_row(first.view(), first.sequences[0], first.positions[0])), bytes = static_cast<std::size_t>(layout.row_bytes());
    const auto entry_of = [&](const std::byte* at) { return kernels::read_latent_row(layout, at); };
    const auto found = copy_of(rows.data() + row * bytes, bytes);
    const auto page = row / kPageTokens * static_cast<std::size_t>(layout.index_page_bytes());
    const auto found_page = copy_of(pages.data() + page, static_cast<std::size_t>(layout.index_page_bytes()));
    const auto key_of = [&](const std::byte* at) { return kernels::read_index_key(layout, at, static_cast<int>(row % kPageTokens)); };
    return std::max({kernels::relative_error(copy_of(q_latent.data(), q_rank), expected), kernels::relative_error(entry_of(found.data()), entry_of(host_rows.data() + row * bytes)),
                     kernels::relative_error(key_of(found_page.data()), key_of(host_pages.data() + page))});
  });
  const auto split = [&] {
    kernels::split_queries({.batch = device.view(), .layout = layout, .heads = sizes.heads, .nope = sizes.nope, .index_heads = sizes.index_heads, .query_stride = query, .query = projected.data(),
                            .cosines = angles.data(), .sines = angles.data(), .content = content.data(), .absorbed = absorbed.data(), .index_queries = index_queries.data()},
                           times.stream().get());
  };
  times.add("split_queries." + shape, {.bytes = tokens * (4.0 * query + 2.0 * (sizes.heads * (sizes.nope + layout.rope_padded()) + sizes.index_heads * layout.index_padded()))}, split, one_step, [&] {
    cuda_check(cudaMemsetAsync(absorbed.data(), 0, absorbed.size_bytes(), times.stream().get()));
    split();
    std::vector<Bf16> expected_content(static_cast<std::size_t>(sizes.heads * sizes.nope)), expected(width), expected_index(static_cast<std::size_t>(sizes.index_heads * layout.index_padded()));
    kernels::split_queries_ref({.batch = first.view(), .layout = layout, .heads = sizes.heads, .nope = sizes.nope, .index_heads = sizes.index_heads, .query_stride = query, .query = host_projected.data(),
                                .cosines = host_angles.data(), .sines = host_angles.data(), .content = expected_content.data(), .absorbed = expected.data(), .index_queries = expected_index.data()});
    return std::max({kernels::relative_error(copy_of(content.data(), expected_content.size()), expected_content), kernels::relative_error(copy_of(absorbed.data(), width), expected),
                     kernels::relative_error(copy_of(index_queries.data(), expected_index.size()), expected_index)});
  });
}

}  // namespace

void time_attention_kernels(KernelTimes& times) {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const CacheLayout v32{.format = format, .latent = 512, .rope = 64, .index = 128}, small{.format = format, .latent = 128, .rope = 32, .index = 64};
    const Projections small_sizes{.q_rank = 256, .heads = 8, .nope = 64, .index_heads = 16}, v32_sizes{.q_rank = 1536, .heads = 128, .nope = 128, .index_heads = 64};
    if (times.quick()) {
      time_sparse_attention(times, small, {.heads = 8, .k = 512, .shape = {.rows = 4, .context = 2000}});
      time_index_scores(times, small, 16, {.rows = 4, .context = 2000});
      time_projections(times, small, small_sizes, 4);
      continue;
    }
    const bool fp8 = format == CacheFormat::Fp8;
    // Targets: what FlashMLA takes for the same (FP8; at most 8 rows: 0.8 of it).
    for (const auto& [rows, target] : {std::pair{1, 18.2}, {8, 25.9}, {32, 70.3}, {64, 103.0}, {128, 195.0}, {256, 375.0}}) {
      time_sparse_attention(times, v32, {.heads = 128, .k = 2048, .shape = {.rows = rows, .context = 32'768}, .order = Order::Random, .target_us = fp8 ? target : 0});
    }
    for (const int heads : {8, 16}) {
      for (const int rows : {1, 8, 32, 64, 128, 256}) time_sparse_attention(times, v32, {.heads = heads, .k = 2048, .shape = {.rows = rows, .context = 32'768}, .order = Order::Random});
    }
    time_sparse_attention(times, v32, {.heads = 128, .k = 2048, .shape = {.rows = 64, .context = 32'768}, .portable = true, .order = Order::Random});
    if (fp8 && compute_capability() == 90) {
      for (const bool fp8_queries : {false, true}) {
        time_sparse_attention(times, v32, {.heads = 128, .k = 2048, .shape = {.rows = 4096, .context = 32'768, .prefill = true}, .order = Order::Random, .fp8_queries = fp8_queries});
      }
      time_quantize_queries(times, 4096, 128);
    }
    if (!fp8) {
      for (const auto& [context, tflops] : {std::pair{8192, 615.0}, {32'768, 583.0}, {65'536, 537.0}, {131'072, 520.0}}) {
        const double flops = 2.0 * 4096 * 2048 * 128 * (576 + 512);
        time_sparse_attention(times, v32, {.heads = 128, .k = 2048, .shape = {.rows = 4096, .context = context, .prefill = true}, .order = Order::Random, .target_us = flops / tflops / 1e6});
      }
    }
    time_sparse_attention(times, small, {.heads = 8, .k = 512, .shape = {.rows = 256, .context = 4000}});
    if (fp8) {
      for (const auto& [rows, context, target] : {std::tuple{2048, 8192, 235.0}, {4096, 32'768, 2048.0}, {4096, 131'072, 8698.0}}) {
        time_index_scores(times, v32, 64, {.rows = rows, .context = context, .prefill = true}, target);
      }
    } else {
      time_index_scores(times, v32, 64, {.rows = 512, .context = 8192, .prefill = true});
    }
    time_index_scores(times, v32, 64, {.rows = 64, .context = 32'768}, fp8 ? 111.0 : 0.0);
    for (const int rows : {1, 8}) time_index_scores(times, v32, 64, {.rows = rows, .context = 131'072});
    time_index_scores(times, small, 16, {.rows = 256, .context = 4'000});
    time_projections(times, v32, v32_sizes, 256);
    time_projections(times, small, small_sizes, 256);
  }
  if (times.quick()) return time_top_positions(times, 4, 8192, 512);
  for (const auto& [length, target] : {std::pair{8192, 15.0}, {32'768, 20.0}, {131'072, 30.0}}) {
    time_top_positions(times, 64, length, 2048, target);
    time_top_positions(times, 1, length, 2048);
  }
  time_top_positions(times, 4096, 32'768, 2048);
  time_top_positions(times, 256, 4096, 512);
}

}  // namespace gauntlet::bench

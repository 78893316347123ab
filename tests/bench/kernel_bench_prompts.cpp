// What prompts are made of on Hopper: choosing positions for many tokens without all their scores in memory, and attention that is not absorbed.

#include "inference/cuda/fast_kernels.h"
#include "inference/cuda/hopper/masked_attention.h"
#include "inference/cuda/select_positions.h"
#include "tests/bench/kernel_bench_data.h"

namespace gauntlet::bench {
namespace {

using kernels::DeviceBatch;
using kernels::OnDevice;
using kernels::SequencePart;

/// Scores and choice for the last `tokens` of `context`, with room for the scores of `held` tokens.
void time_selection(KernelTimes& times, int tokens, int context, int held, double target_us) {
  constexpr int kHeads = 64, kChosen = 2048;
  const kernels::CacheLayout layout{.format = CacheFormat::Fp8, .latent = 512, .rope = 64, .index = 128};
  if (!kernels::scores_in_fp8(layout, kHeads)) return;
  Rng rng(7);
  const Shape shape{.rows = tokens, .context = context, .prefill = true};
  const auto batch = kernels::paged_batch(rng, shape.parts(1));
  const DeviceBatch device(batch);
  const auto pages = index_pages(layout, batch.page_count);
  const auto query = static_cast<std::size_t>(kHeads * layout.index), count = static_cast<std::size_t>(tokens);
  std::vector<std::uint8_t> queries(1'000'003);
  for (auto& value : queries) value = to_fp8(kernels::uniform(rng, -1.0f, 1.0f)).bits;
  const auto device_queries = repeated(std::as_bytes(std::span(queries)), count * query);
  const OnDevice<float> weights(kernels::random_floats(rng, count * kHeads));
  const DeviceBuffer<float> scratch(static_cast<std::size_t>(held) * static_cast<std::size_t>(context));
  const DeviceBuffer<std::int32_t> chosen(count * kChosen);
  const kernels::SelectPositionsArgs args{.scores = {.batch = device.view(), .layout = layout, .rows = tokens, .heads = kHeads, .longest = context, .queries_fp8 = reinterpret_cast<const std::uint8_t*>(device_queries.data()),
                                                     .weights_fp8 = weights.data(), .index_pages = pages.data(), .scores = scratch.data(), .score_stride = context},
                                          .scratch_floats = static_cast<std::int64_t>(scratch.size()),
                                          .k = kChosen,
                                          .chosen = chosen.data()};
  const auto run = [&] { kernels::select_positions(args, times.stream().get()); };
  // The share of the last token's positions that are not those of a sort of its own scores, computed once more: 0.
  const auto error = [&] {
    run();
    const DeviceBuffer<float> row(static_cast<std::size_t>(context));
    kernels::IndexScoresArgs last = args.scores;
    last.first = tokens - 1;
    last.rows = 1;
    last.scores = row.data();
    kernels::score_positions(last, times.stream().get());
    cuda_check(cudaDeviceSynchronize());
    std::vector<float> scores(row.size());
    std::vector<std::int32_t> found(kChosen), expected(kChosen);
    row.download_blocking(scores);
    cuda_check(cudaMemcpy(found.data(), chosen.data() + (count - 1) * kChosen, kChosen * sizeof(std::int32_t), cudaMemcpyDeviceToHost));
    const std::int32_t end = context - 1;
    kernels::top_positions_ref({.rows = 1, .k = kChosen, .last = &end, .scores = scores.data(), .score_stride = context, .chosen = expected.data()});
    double different = 0;
    for (std::size_t i = 0; i < found.size(); ++i) different += found[i] != expected[i] ? 1 : 0;
    return different / kChosen;
  };
  times.add({.name = fmt::format("select_positions.fp8.{}x{}.{}.top{}.held{}", kHeads, layout.index, shape.name(), kChosen, held),
             .work = {.bytes = context * 132.0 + static_cast<double>(count * query) + 4.0 * static_cast<double>(count) * kChosen, .flops = 2.0 * shape.pairs() * kHeads * layout.index, .unit = MatrixUnit::WgmmaFp8},
             .kernel = "FP8",
             .target_us = target_us,
             .error_bound = kNoError},
            run, error);
}

/// Whole prompts of `length` tokens that make up 8,192.
void time_masked_attention(KernelTimes& times, int heads, int length) {
  constexpr int kTokens = 8192;
  Rng rng(8);
  const auto batch = kernels::paged_batch(rng, std::vector<SequencePart>(static_cast<std::size_t>(kTokens / length), SequencePart{.start = 0, .count = length}));
  const DeviceBatch device(batch);
  const auto each = static_cast<std::size_t>(heads);
  const auto random = [&](std::size_t per_token) {
    const auto unit = kernels::random_bf16s(rng, 1'000'003);
    return repeated(std::as_bytes(std::span(unit)), kTokens * per_token * sizeof(Bf16));
  };
  const auto queries = random(each * kernels::kMaskedQuery), keys_values = random(each * (kernels::kMaskedContent + kernels::kMaskedValue)), rotary = random(kernels::kMaskedRotary);
  const DeviceBuffer<Bf16> out(kTokens * each * kernels::kMaskedValue);
  const OnDevice<std::int32_t> work(std::vector<std::int32_t>(kernels::kMaskedWork, 0));
  const auto values = [](const DeviceBuffer<std::byte>& buffer) { return reinterpret_cast<const Bf16*>(buffer.data()); };
  const kernels::MaskedAttentionArgs args{.batch = device.view(), .first = 0, .rows = kTokens, .heads = heads, .scale = 0.07f, .queries = values(queries), .keys_values = values(keys_values), .rotary_keys = values(rotary), .work = work.data(), .out = out.data()};
  if (!kernels::masked_attention_takes(args)) return;
  const auto run = [&] { kernels::masked_attention(args, times.stream().get()); };
  // Token `own` of the sequence that begins with token `begin`.
  const auto error_of = [&](int begin, int own) {
    const auto host = [&](const Bf16* from, std::size_t per_token) {
      std::vector<Bf16> copy(static_cast<std::size_t>(length) * per_token);
      cuda_check(cudaMemcpy(copy.data(), from + static_cast<std::size_t>(begin) * per_token, copy.size() * sizeof(Bf16), cudaMemcpyDeviceToHost));
      return copy;
    };
    const auto own_queries = host(args.queries, each * kernels::kMaskedQuery), own_keys = host(args.keys_values, each * (kernels::kMaskedContent + kernels::kMaskedValue)), own_rotary = host(args.rotary_keys, kernels::kMaskedRotary);
    const auto found = host(out.data(), each * kernels::kMaskedValue);
    std::vector<Bf16> expected(found.size());
    auto first = batch.view();
    first.tokens = length;
    kernels::masked_attention_ref({.batch = first, .first = own, .rows = 1, .heads = heads, .scale = args.scale, .queries = own_queries.data(), .keys_values = own_keys.data(), .rotary_keys = own_rotary.data(), .out = expected.data()});
    const auto row = each * kernels::kMaskedValue, at = static_cast<std::size_t>(own);
    return kernels::relative_error(kernels::rows_of(found, row, at, 1), kernels::rows_of(expected, row, at, 1));
  };
  // Rows of either half of a tile, of the first sequence and the last.
  const auto error = [&] {
    run();
    cuda_check(cudaDeviceSynchronize());
    return std::max({error_of(0, length - 1), error_of(0, length / 2 - 1), error_of(kTokens - length, 1), error_of(kTokens - length, length - 1)});
  };
  const double pairs = static_cast<double>(kTokens) * (length + 1) / 2;
  times.add({.name = fmt::format("masked_attention.{}heads.{}x{}", heads, kTokens / length, length),
             .work = {.bytes = 2.0 * kTokens * static_cast<double>(each) * (192 + 256 + 128), .flops = 2.0 * pairs * heads * (192 + 128), .unit = MatrixUnit::WgmmaBf16},
             .kernel = "bf16",
             .error_bound = kBf16Error},
            run, error);
}

}  // namespace

void time_prompt_kernels(KernelTimes& times) {
  if (times.quick()) return;
  // Target: 1.5 times as fast as DeepGEMM's scores and torch.topk, 15.0 ms on an H100.
  for (const int held : {256, 1024}) time_selection(times, 4096, 131'072, held, 10'000);
  for (const int length : {512, 1024, 2048, 8192}) time_masked_attention(times, 128, length);
}

}  // namespace gauntlet::bench

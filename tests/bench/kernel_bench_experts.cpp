#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "inference/cuda/grouped_product.h"
#include "inference/cuda/kernel_data.h"
#include "inference/cuda/moe.h"
#include "tests/bench/kernel_bench_data.h"

namespace gauntlet::bench {
namespace {

using kernels::OnDevice;
using kernels::poisoned_on_device;
using kernels::random_floats;

struct Layer {
  int tokens = 0;
  int experts = 0;
  int groups = 1;
  int groups_kept = 1;
  int per_token = 0;
  int dim = 0;
  int width = 0;
};

/// One mixture-of-experts layer, kernel by kernel, each on what the one before it wrote.
void time_layer(KernelTimes& times, const Layer& layer) {
  Rng rng(1);
  const auto tokens = static_cast<std::size_t>(layer.tokens), experts = static_cast<std::size_t>(layer.experts), slots = tokens * static_cast<std::size_t>(layer.per_token);
  const auto dim = static_cast<std::size_t>(layer.dim), width = static_cast<std::size_t>(layer.width);
  const cudaStream_t stream = times.stream().get();
  const std::string shape = fmt::format("{}x{}of{}.{}x{}", layer.tokens, layer.per_token, layer.experts, layer.dim, layer.width);

  const OnDevice<float> logits(random_floats(rng, tokens * experts)), correction(random_floats(rng, experts, -0.1f, 0.1f));
  const auto chosen = poisoned_on_device<std::int32_t>(slots), slot_of = poisoned_on_device<std::int32_t>(slots), token_of = poisoned_on_device<std::int32_t>(slots);
  const auto weights = poisoned_on_device<float>(slots);
  const kernels::RouteArgs route{.tokens = layer.tokens, .experts = layer.experts, .groups = layer.groups, .groups_kept = layer.groups_kept, .per_token = layer.per_token,
                                 .logits = logits.data(), .correction = correction.data(), .chosen = chosen.data(), .weights = weights.data()};
  times.add("route." + shape, {.bytes = 4.0 * static_cast<double>(tokens * experts) + 8.0 * static_cast<double>(slots)}, [&] { kernels::route(route, stream); }, kFloatError, [&] {
    kernels::route(route, stream);
    const auto host_logits = logits.get(), host_correction = correction.get();
    std::vector<std::int32_t> ids(slots);
    std::vector<float> expected(slots);
    kernels::RouteArgs reference = route;
    reference.logits = host_logits.data();
    reference.correction = host_correction.data();
    reference.chosen = ids.data();
    reference.weights = expected.data();
    kernels::route_ref(reference);
    return chosen.get() == ids ? kernels::relative_error(weights.get(), expected) : 1.0;
  });

  kernels::DispatchArgs dispatch{.tokens = layer.tokens, .experts = layer.experts, .per_token = layer.per_token, .chosen = chosen.data(), .slot_of = slot_of.data(), .token_of = token_of.data()};
  const auto tiles = static_cast<std::size_t>(dispatch.max_tiles());
  const auto tile_expert = poisoned_on_device<std::int32_t>(tiles), tile_first = poisoned_on_device<std::int32_t>(tiles), tile_rows = poisoned_on_device<std::int32_t>(tiles);
  dispatch.tile_expert = tile_expert.data();
  dispatch.tile_first = tile_first.data();
  dispatch.tile_rows = tile_rows.data();
  times.add("dispatch." + shape, {.bytes = 12.0 * static_cast<double>(slots) + 12.0 * static_cast<double>(tiles)}, [&] { kernels::dispatch(dispatch, stream); }, kNoError, [&] {
    kernels::dispatch(dispatch, stream);
    const auto ids = chosen.get();
    std::vector<std::int32_t> place(slots), token(slots), expert(tiles), first(tiles), rows(tiles);
    kernels::dispatch_ref({.tokens = layer.tokens, .experts = layer.experts, .per_token = layer.per_token, .chosen = ids.data(), .slot_of = place.data(), .token_of = token.data(), .tile_expert = expert.data(),
                           .tile_first = first.data(), .tile_rows = rows.data()});
    const auto found_first = tile_first.get(), found_rows = tile_rows.get();
    bool same = slot_of.get() == place && token_of.get() == token && tile_expert.get() == expert;
    for (std::size_t t = 0; t < tiles; ++t) same = same && (expert[t] < 0 || (found_first[t] == first[t] && found_rows[t] == rows[t]));
    return same ? 0.0 : 1.0;
  });

  const auto unit = kernels::random_bf16s(rng, 1'000'003, -0.05f, 0.05f);
  const auto random_weights = [&](std::size_t count) { return repeated(std::as_bytes(std::span(unit)), count * sizeof(Bf16)); };
  const auto found = chosen.get();
  const auto active = static_cast<double>(std::set<std::int32_t>(found.begin(), found.end()).size());
  const DeviceBuffer<std::byte> gate_up = random_weights(experts * 2 * width * dim), down = random_weights(experts * dim * width);
  const OnDevice<Bf16> x(kernels::random_bf16s(rng, tokens * dim));
  const auto gated = poisoned_on_device<Bf16>(slots * width);
  const auto parts = poisoned_on_device<float>(slots * dim);
  const OnDevice<float> out(std::vector<float>(tokens * dim, 0.0f));
  const kernels::GroupedTiles list{.count = dispatch.max_tiles(), .expert = tile_expert.data(), .first = tile_first.data(), .rows = tile_rows.data()};
  const double matrix = static_cast<double>(width) * static_cast<double>(dim), all = static_cast<double>(slots);
  const auto gate_up_run = [&] {
    kernels::grouped_gate_up({.tiles = list, .dim = layer.dim, .width = layer.width, .token_of = token_of.data(), .x = x.data(), .weights = reinterpret_cast<const Bf16*>(gate_up.data()), .y = gated.data()}, stream);
  };
  // The last slot of the middle one of the tiles against the reference, with its expert's weights. Tiles that are used do not lie together.
  const auto tile_experts = tile_expert.get();
  std::vector<std::size_t> used;
  for (std::size_t t = 0; t < tiles; ++t) {
    if (tile_experts[t] >= 0) used.push_back(t);
  }
  const std::size_t middle = used.at(used.size() / 2), expert = static_cast<std::size_t>(tile_experts[middle]);
  const auto slot = static_cast<std::size_t>(tile_first.get()[middle] + tile_rows.get()[middle] - 1);
  const std::int32_t zero = 0, one = 1;
  const kernels::GroupedTiles single{.count = 1, .expert = &zero, .first = &zero, .rows = &one};
  const auto weights_of = [&](const DeviceBuffer<std::byte>& experts_weights, std::size_t each) {
    std::vector<Bf16> own(each);
    cuda_check(cudaMemcpy(own.data(), experts_weights.data() + expert * each * sizeof(Bf16), each * sizeof(Bf16), cudaMemcpyDeviceToHost));
    return own;
  };
  times.add("grouped_gate_up." + shape, {.bytes = active * 4 * matrix + 2.0 * static_cast<double>(tokens * dim + slots * width), .flops = all * 4 * matrix}, gate_up_run, kBf16Error, [&] {
    gate_up_run();
    const auto host_x = x.get(), own = weights_of(gate_up, 2 * width * dim);
    const auto host_tokens = token_of.get();
    std::vector<Bf16> expected(width);
    kernels::grouped_gate_up_ref({.tiles = single, .dim = layer.dim, .width = layer.width, .token_of = host_tokens.data() + slot, .x = host_x.data(), .weights = own.data(), .y = expected.data()});
    return kernels::relative_error(kernels::rows_of(gated.get(), width, slot, 1), expected);
  });
  const auto down_run = [&] { kernels::grouped_down({.tiles = list, .dim = layer.dim, .width = layer.width, .x = gated.data(), .weights = reinterpret_cast<const Bf16*>(down.data()), .y = parts.data()}, stream); };
  times.add("grouped_down." + shape, {.bytes = active * 2 * matrix + 2.0 * static_cast<double>(slots * width) + 4.0 * static_cast<double>(slots * dim), .flops = all * 2 * matrix}, down_run, kFloatError, [&] {
    down_run();
    const auto host_gated = gated.get(), own = weights_of(down, dim * width);
    std::vector<float> expected(dim);
    kernels::grouped_down_ref({.tiles = single, .dim = layer.dim, .width = layer.width, .x = host_gated.data() + slot * width, .weights = own.data(), .y = expected.data()});
    return kernels::relative_error(kernels::rows_of(parts.get(), dim, slot, 1), expected);
  });
  const auto combine_run = [&] {
    kernels::combine({.tokens = layer.tokens, .per_token = layer.per_token, .dim = layer.dim, .slot_of = slot_of.data(), .weights = weights.data(), .parts = parts.data(), .stream = out.data()}, stream);
  };
  times.add("combine." + shape, {.bytes = 4.0 * static_cast<double>(slots * dim) + 8.0 * static_cast<double>(tokens * dim)}, combine_run, kFloatError, [&] {
    auto expected = out.get();
    combine_run();
    const auto host_slots = slot_of.get();
    const auto host_weights = weights.get(), host_parts = parts.get();
    kernels::combine_ref({.tokens = layer.tokens, .per_token = layer.per_token, .dim = layer.dim, .slot_of = host_slots.data(), .weights = host_weights.data(), .parts = host_parts.data(), .stream = expected.data()});
    return kernels::relative_error(out.get(), expected);
  });
}

}  // namespace

void time_expert_kernels(KernelTimes& times) {
  time_layer(times, {.tokens = 16, .experts = 16, .per_token = 4, .dim = 256, .width = 128});
  if (times.quick()) return;
  time_layer(times, {.tokens = 256, .experts = 16, .per_token = 4, .dim = 512, .width = 256});
  // DeepSeek-V3.2's experts, as many as one of eight devices holds in decoding and all the choices in prefill.
  for (const int tokens : {1, 16, 64, 256, 1024}) time_layer(times, {.tokens = tokens, .experts = 32, .groups = 8, .groups_kept = 4, .per_token = 8, .dim = 7168, .width = 2048});
}

}  // namespace gauntlet::bench

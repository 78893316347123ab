#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/latents.h"
#include "inference/rope.h"

namespace gauntlet::kernels {
namespace {

/// The norms of the two latents and of the indexer's key use this whatever the model's own eps is.
constexpr double kEps = 1e-6;

// Sums run in double and results are rounded once: what a kernel differs by is its own error.
std::vector<float> rms_norm(std::span<const float> x, const float* weight) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + kEps);
  std::vector<float> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(x[i] * scale * weight[i]);
  return out;
}

std::vector<float> layer_norm(std::span<const float> x, const float* weight, const float* bias) {
  double mean = 0, variance = 0;
  for (const float v : x) mean += v;
  mean /= static_cast<double>(x.size());
  for (const float v : x) variance += (v - mean) * (v - mean);
  const double scale = 1.0 / std::sqrt(variance / static_cast<double>(x.size()) + kEps);
  std::vector<float> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + bias[i]);
  return out;
}

/// Row t of an input that may come in two terms.
std::vector<float> sum_of(const float* high, const float* low, int t, int stride) {
  const std::int64_t at = static_cast<std::int64_t>(t) * stride;
  std::vector<float> out(high + at, high + at + stride);
  for (std::size_t i = 0; low != nullptr && i < out.size(); ++i) out[i] += low[at + static_cast<std::int64_t>(i)];
  return out;
}

void store(float value, Bf16* high, Bf16* low, std::int64_t at) {
  high[at] = to_bf16(value);
  if (low != nullptr) low[at] = to_bf16(value - round_to_bf16(value));
}

/// `values` [rope] by the angles [rope / 2] of one position.
void rotate(float* values, int rope, const float* cosines, const float* sines, RopeLayout layout) {
  const int half = rope / 2;
  const int step = layout == RopeLayout::Interleaved ? 2 : 1, partner = layout == RopeLayout::Interleaved ? 1 : half;
  for (int i = 0; i < half; ++i) {
    const double a = values[i * step], b = values[i * step + partner];
    values[i * step] = static_cast<float>(a * cosines[i] - b * sines[i]);
    values[i * step + partner] = static_cast<float>(b * cosines[i] + a * sines[i]);
  }
}

}  // namespace

void write_latents_ref(const LatentsArgs& args) {
  const auto& layout = args.layout;
  const int half = layout.rope / 2;
  for (int t = 0; t < args.batch.tokens; ++t) {
    const auto summed = sum_of(args.input, args.input_low, t, args.input_stride);
    const float* input = summed.data();
    const int position = args.batch.positions[t];
    const float* cosines = args.cosines + static_cast<std::int64_t>(position) * half;
    const float* sines = args.sines + static_cast<std::int64_t>(position) * half;

    if (args.q_rank > 0) {
      const auto q = rms_norm({input, static_cast<std::size_t>(args.q_rank)}, args.q_norm);
      for (int i = 0; i < args.q_rank; ++i) store(q[static_cast<std::size_t>(i)], args.q_latent, args.q_latent_low, static_cast<std::int64_t>(t) * args.q_rank + i);
    }

    const float* kv = input + args.kv_offset;
    const auto latent = rms_norm({kv, static_cast<std::size_t>(layout.latent)}, args.kv_norm);
    std::vector<float> rope(kv + layout.latent, kv + layout.latent + layout.rope);
    rotate(rope.data(), layout.rope, cosines, sines, RopeLayout::Interleaved);
    const std::int64_t row = physical_row(args.batch, args.batch.sequences[t], position);
    write_latent_row(layout, latent, rope, args.latent_rows + row * layout.row_bytes());

    if (layout.index == 0) continue;
    auto key = layer_norm({kv + layout.latent + layout.rope, static_cast<std::size_t>(layout.index)}, args.index_norm, args.index_norm_bias);
    rotate(key.data(), layout.rope, cosines, sines, RopeLayout::HalfSplit);
    write_index_key(layout, key, args.index_pages + row / kPageTokens * layout.index_page_bytes(), static_cast<int>(row % kPageTokens));
  }
}

void split_queries_ref(const QueriesArgs& args) {
  const auto& layout = args.layout;
  const int half = layout.rope / 2;
  for (int t = 0; t < args.batch.tokens; ++t) {
    const auto summed = sum_of(args.query, args.query_low, t, args.query_stride);
    const float* query = summed.data();
    const std::int64_t position = args.batch.positions[t];
    const float* cosines = args.cosines + position * half;
    const float* sines = args.sines + position * half;

    for (int h = 0; h < args.heads; ++h) {
      const float* head = query + h * (args.nope + layout.rope);
      const std::int64_t at = static_cast<std::int64_t>(t) * args.heads + h;
      for (int i = 0; i < args.nope; ++i) {
        store(head[i], args.content, args.content_low, at * args.nope + i);
        if (args.joined != nullptr) args.joined[at * (args.nope + layout.rope) + i] = to_bf16(head[i]);
      }
      std::vector<float> rope(head + args.nope, head + args.nope + layout.rope);
      rotate(rope.data(), layout.rope, cosines, sines, RopeLayout::Interleaved);
      for (int i = 0; i < layout.rope && args.joined != nullptr; ++i) args.joined[at * (args.nope + layout.rope) + args.nope + i] = to_bf16(rope[static_cast<std::size_t>(i)]);
      rope.resize(static_cast<std::size_t>(layout.rope_padded()), 0.0f);
      for (std::size_t i = 0; i < rope.size(); ++i) store(rope[i], args.absorbed, args.absorbed_low, at * layout.width() + layout.latent_padded() + static_cast<std::int64_t>(i));
    }

    for (int h = 0; h < args.index_heads; ++h) {
      const float* head = query + args.heads * (args.nope + layout.rope) + h * layout.index;
      std::vector<float> vector(head, head + layout.index);
      rotate(vector.data(), layout.rope, cosines, sines, RopeLayout::HalfSplit);
      const std::int64_t row = static_cast<std::int64_t>(t) * args.index_heads + h, at = row * layout.index_padded();
      if (args.index_queries_fp8 != nullptr) {
        // As a key would be stored, into a page of its own.
        std::vector<std::byte> page(static_cast<std::size_t>(layout.index_page_bytes()));
        write_index_key(layout, vector, page.data(), 0);
        std::memcpy(args.index_queries_fp8 + at, page.data(), static_cast<std::size_t>(layout.index_padded()));
        std::memcpy(args.index_query_scales + row, page.data() + layout.index_scales_offset_bytes(), sizeof(float));
      }
      if (args.index_queries == nullptr) continue;
      round_index_vector(layout, vector);
      vector.resize(static_cast<std::size_t>(layout.index_padded()), 0.0f);
      for (std::size_t i = 0; i < vector.size(); ++i) args.index_queries[at + static_cast<std::int64_t>(i)] = to_bf16(vector[i]);
    }
  }
}

void read_latents_ref(const ReadLatentsArgs& args) {
  const auto& layout = args.layout;
  for (int t = 0; t < args.batch.tokens; ++t) {
    const auto entry = read_latent_row(layout, args.latent_rows + physical_row(args.batch, args.batch.sequences[t], args.batch.positions[t]) * layout.row_bytes());
    for (int i = 0; i < layout.latent; ++i) args.latents[static_cast<std::int64_t>(t) * layout.latent + i] = to_bf16(entry[static_cast<std::size_t>(i)]);
    for (int i = 0; i < layout.rope; ++i) args.rotary_keys[static_cast<std::int64_t>(t) * layout.rope + i] = to_bf16(entry[static_cast<std::size_t>(layout.latent_padded() + i)]);
  }
}

}  // namespace gauntlet::kernels

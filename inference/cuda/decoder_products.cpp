// The decoder's dense products. For small models each is one launch with the norm before it and the rounding after it (term_product.h); for others
// cuBLASLt runs over both terms of an activation as further rows, between kernels of their own.

#include "inference/cuda/decoder.h"
#include "inference/cuda/norm.h"
#include "inference/cuda/term_product.h"

namespace gauntlet {

using kernels::TermOutput;

void Decoder::norm(const DeviceBuffer<float>& weight, int tokens) {
  kernels::rms_norm({.rows = tokens,
                     .dim = config_.dim,
                     .eps = static_cast<float>(config_.norm_eps),
                     .source_rows = nullptr,
                     .x = stream_.data(),
                     .weight = weight.data(),
                     .y = normed_.data(),
                     .y_low = second(normed_, tokens, config_.dim),
                     .y_float = normed_float_.data()},
                    on_.get());
}

/// stream += x Wᵀ. In place, so the second terms cannot ride along as further rows.
void Decoder::add_product(const DeviceBuffer<Bf16>& weights, const DeviceBuffer<Bf16>& x, int inner, int tokens) {
  if (fused_) {
    return kernels::term_product({.rows = tokens,
                                  .outputs = config_.dim,
                                  .inner = inner,
                                  .weights = weights.data(),
                                  .x_high = x.data(),
                                  .x_low = second(x, tokens, inner),
                                  .x_stride = inner,
                                  .output = TermOutput::AddFloat,
                                  .y = stream_.data(),
                                  .y_stride = config_.dim},
                                 on_.get());
  }
  for (const Bf16* rows : {static_cast<const Bf16*>(x.data()), static_cast<const Bf16*>(second(x, tokens, inner))}) {
    if (rows == nullptr) continue;
    products_.multiply({.rows = tokens,
                        .outputs = config_.dim,
                        .inner = inner,
                        .weights = weights.data(),
                        .x = rows,
                        .x_stride = inner,
                        .y = stream_.data(),
                        .y_stride = config_.dim,
                        .output = ProductOutput::AddFloat},
                       on_.get());
  }
}

void Decoder::make_input(const CudaLayer& layer, int tokens) {
  if (fused_) {
    return kernels::term_product({.rows = tokens,
                                  .outputs = input_width_,
                                  .inner = config_.dim,
                                  .weights = layer.input.data(),
                                  .norm_weight = layer.attention_norm.data(),
                                  .eps = static_cast<float>(config_.norm_eps),
                                  .x = stream_.data(),
                                  .x_stride = config_.dim,
                                  .y = input_.data(),
                                  .y_stride = input_width_,
                                  .normed = config_.has_indexer() ? normed_float_.data() : nullptr},
                                 on_.get());
  }
  norm(layer.attention_norm, tokens);
  products_.multiply({.rows = tokens * (two_terms() ? 2 : 1),
                      .outputs = input_width_,
                      .inner = config_.dim,
                      .weights = layer.input.data(),
                      .x = normed_.data(),
                      .x_stride = config_.dim,
                      .y = input_.data(),
                      .y_stride = input_width_},
                     on_.get());
}

void Decoder::make_query(const CudaLayer& layer, int tokens) {
  if (fused_) {
    return kernels::term_product({.rows = tokens,
                                  .outputs = query_width_,
                                  .inner = config_.q_rank,
                                  .weights = layer.query.data(),
                                  .x_high = q_latent_.data(),
                                  .x_low = second(q_latent_, tokens, config_.q_rank),
                                  .x_stride = config_.q_rank,
                                  .y = query_.data(),
                                  .y_stride = query_width_},
                                 on_.get());
  }
  products_.multiply({.rows = tokens * (two_terms() ? 2 : 1),
                      .outputs = query_width_,
                      .inner = config_.q_rank,
                      .weights = layer.query.data(),
                      .x = q_latent_.data(),
                      .x_stride = config_.q_rank,
                      .y = query_.data(),
                      .y_stride = query_width_},
                     on_.get());
}

/// Queries into the latent space: q · W_UK, head by head.
void Decoder::absorb_queries(const CudaLayer& layer, int tokens) {
  const int heads = config_.heads;
  const std::int64_t weights_distance = std::int64_t{config_.kv_rank} * config_.nope_dim, x_stride = std::int64_t{heads} * config_.nope_dim,
                     y_stride = std::int64_t{heads} * layout_.width();
  if (fused_) {
    return kernels::term_product({.rows = tokens,
                                  .outputs = config_.kv_rank,
                                  .inner = config_.nope_dim,
                                  .weights = layer.key_up.data(),
                                  .x_high = content_.data(),
                                  .x_low = second(content_, tokens, x_stride),
                                  .x_stride = x_stride,
                                  .output = TermOutput::Terms,
                                  .y_high = absorbed_.data(),
                                  .y_low = second(absorbed_, tokens, y_stride),
                                  .y_stride = y_stride,
                                  .batches = heads,
                                  .weights_distance = weights_distance,
                                  .x_distance = config_.nope_dim,
                                  .y_distance = layout_.width()},
                                 on_.get());
  }
  ProductArgs into{.rows = tokens * (two_terms() ? 2 : 1),
                   .outputs = config_.kv_rank,
                   .inner = config_.nope_dim,
                   .weights = layer.key_up.data(),
                   .x = content_.data(),
                   .x_stride = x_stride,
                   .y = absorbed_.data(),
                   .y_stride = y_stride,
                   .output = ProductOutput::Bf16,
                   .batches = heads,
                   .weights_distance = weights_distance,
                   .x_distance = config_.nope_dim,
                   .y_distance = layout_.width()};
  if (two_terms()) {
    into.y = absorbed_float_.data();
    into.y_stride = std::int64_t{heads} * config_.kv_rank;
    into.y_distance = config_.kv_rank;
    into.output = ProductOutput::Float;
  }
  products_.multiply(into, on_.get());
  if (!two_terms()) return;
  kernels::split_terms({.rows = tokens * heads,
                        .columns = config_.kv_rank,
                        .x = absorbed_float_.data(),
                        .x_low = second(absorbed_float_, tokens, into.y_stride),
                        .y = absorbed_.data(),
                        .y_low = second(absorbed_, tokens, y_stride),
                        .y_stride = layout_.width()},
                       on_.get());
}

/// What attention has made of the latents, to the heads' values: W_UV, head by head.
void Decoder::mix_values(const CudaLayer& layer, int tokens) {
  const int heads = config_.heads, mixed = heads * config_.v_dim;
  const std::int64_t weights_distance = std::int64_t{config_.v_dim} * config_.kv_rank, x_stride = std::int64_t{heads} * config_.kv_rank;
  if (fused_) {
    return kernels::term_product({.rows = tokens,
                                  .outputs = config_.v_dim,
                                  .inner = config_.kv_rank,
                                  .weights = layer.value_up.data(),
                                  .x_high = attended_.data(),
                                  .x_low = second(attended_, tokens, x_stride),
                                  .x_stride = x_stride,
                                  .output = TermOutput::Terms,
                                  .y_high = mixed_.data(),
                                  .y_low = second(mixed_, tokens, mixed),
                                  .y_stride = mixed,
                                  .batches = heads,
                                  .weights_distance = weights_distance,
                                  .x_distance = config_.kv_rank,
                                  .y_distance = config_.v_dim},
                                 on_.get());
  }
  products_.multiply({.rows = tokens * (two_terms() ? 2 : 1),
                      .outputs = config_.v_dim,
                      .inner = config_.kv_rank,
                      .weights = layer.value_up.data(),
                      .x = attended_.data(),
                      .x_stride = x_stride,
                      .y = two_terms() ? static_cast<void*>(mixed_float_.data()) : mixed_.data(),
                      .y_stride = mixed,
                      .output = two_terms() ? ProductOutput::Float : ProductOutput::Bf16,
                      .batches = heads,
                      .weights_distance = weights_distance,
                      .x_distance = config_.kv_rank,
                      .y_distance = config_.v_dim},
                     on_.get());
  if (!two_terms()) return;
  kernels::split_terms({.rows = tokens,
                        .columns = mixed,
                        .x = mixed_float_.data(),
                        .x_low = second(mixed_float_, tokens, mixed),
                        .y = mixed_.data(),
                        .y_low = second(mixed_, tokens, mixed),
                        .y_stride = mixed},
                       on_.get());
}

/// The layer's norm, and gate and up of its dense or shared expert. The normed stream is left for the router and the routed experts.
void Decoder::gate(const CudaLayer& layer, int tokens) {
  const CudaMlp& mlp = layer.mlp;
  if (fused_) {
    const bool routed = layer.router.size() > 0;
    return kernels::term_product({.rows = tokens,
                                  .outputs = mlp.width,
                                  .inner = config_.dim,
                                  .weights = mlp.gate_up.data(),
                                  .norm_weight = layer.mlp_norm.data(),
                                  .eps = static_cast<float>(config_.norm_eps),
                                  .x = stream_.data(),
                                  .x_stride = config_.dim,
                                  .output = TermOutput::GateTerms,
                                  .y_high = activated_.data(),
                                  .y_low = second(activated_, tokens, mlp.width),
                                  .y_stride = mlp.width,
                                  .normed = routed ? normed_float_.data() : nullptr,
                                  .normed_high = routed ? normed_.data() : nullptr},
                                 on_.get());
  }
  norm(layer.mlp_norm, tokens);
  products_.multiply({.rows = tokens * (two_terms() ? 2 : 1),
                      .outputs = 2 * mlp.width,
                      .inner = config_.dim,
                      .weights = mlp.gate_up.data(),
                      .x = normed_.data(),
                      .x_stride = config_.dim,
                      .y = gate_up_.data(),
                      .y_stride = 2 * mlp.width},
                     on_.get());
  kernels::silu_multiply({.rows = tokens,
                          .width = mlp.width,
                          .gate_up = gate_up_.data(),
                          .gate_up_low = second(gate_up_, tokens, 2 * mlp.width),
                          .y = activated_.data(),
                          .y_low = second(activated_, tokens, mlp.width)},
                         on_.get());
}

/// Always through cuBLASLt, which is faster for a vocabulary and many rows; for one row it costs some microseconds.
void Decoder::head(const DeviceBuffer<float>& norm_weight, const DeviceBuffer<Bf16>& weights, const std::int32_t* source_rows, int rows, float* y) {
  kernels::rms_norm({.rows = rows,
                     .dim = config_.dim,
                     .eps = static_cast<float>(config_.norm_eps),
                     .source_rows = source_rows,
                     .x = stream_.data(),
                     .weight = norm_weight.data(),
                     .y = normed_.data(),
                     .y_float = nullptr},
                    on_.get());
  products_.multiply({.rows = rows,
                      .outputs = config_.vocab,
                      .inner = config_.dim,
                      .weights = weights.data(),
                      .x = normed_.data(),
                      .x_stride = config_.dim,
                      .y = y,
                      .y_stride = config_.vocab},
                     on_.get());
}

}  // namespace gauntlet

#pragma once

// The layers of the model as a list of kernel launches: from token ids in device memory to the residual stream after the last layer.

#include <vector>

#include "inference/cuda/cuda.h"
#include "inference/cuda/cuda_weights.h"
#include "inference/cuda/dense_products.h"
#include "inference/cuda/types.h"
#include "inference/rope.h"
#include "inference/selections.h"

namespace gauntlet {

struct DecoderOptions {
  int pages = 0;                 ///< of the cache; one more is kept for the padding rows of graphs
  int max_tokens = 0;
  CacheFormat cache = CacheFormat::Bf16;
  bool dense_attention = false;
  kernels::ActivationTerms terms = kernels::ActivationTerms::Two;
};

/// Used from one thread. All memory is allocated here, at the start.
class Decoder {
 public:
  Decoder(const ModelConfig& config, const CudaWeights& weights, const DecoderOptions& options, const Stream& stream);

  /// Launches everything for `batch`; `longest` is at least its largest position + 1. Nothing waits, unless selections are recorded.
  void launch(const kernels::TokenBatch& batch, int longest, Selections* record);

  const float* stream() const { return stream_.data(); }  ///< [tokens, dim]
  DenseProducts& products() { return products_; }
  std::size_t page_bytes() const;
  void copy_page(std::int32_t from, std::int32_t to);
  void poison_page(std::int32_t page);

 private:
  struct Cache {
    DeviceBuffer<std::byte> latents, index_keys;
  };
  void attention(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, int longest, Selections* record);
  void choose(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, int longest, Selections* record);
  void mlp(const CudaMlp& mlp, int tokens);
  void experts(const CudaLayer& layer, int tokens, std::vector<std::int32_t>* record);
  void append_blocking(const DeviceBuffer<std::int32_t>& from, std::size_t size, std::vector<std::int32_t>& into);
  void norm(const DeviceBuffer<float>& weight, int tokens);
  void add_product(const DeviceBuffer<Bf16>& weights, const DeviceBuffer<Bf16>& x, int inner, int tokens);
  bool two_terms() const { return options_.terms == kernels::ActivationTerms::Two; }
  /// Where the second terms begin in a buffer whose first terms are [tokens, width]; null if there are none.
  template <class T>
  T* second(const DeviceBuffer<T>& buffer, std::int64_t tokens, std::int64_t width) const {
    return two_terms() ? buffer.data() + tokens * width : nullptr;
  }

  const ModelConfig& config_;
  const CudaWeights& weights_;
  DecoderOptions options_;
  const Stream& on_;
  kernels::CacheLayout layout_;
  bool sparse_;
  int input_width_, query_width_;
  DenseProducts products_;
  std::vector<Cache> cache_;
  DeviceBuffer<float> cosines_, sines_;
  // With two terms, [2 × tokens, …] wherever an activation is the input or the output of a product: one product runs over both.
  DeviceBuffer<float> stream_, normed_float_, input_, query_, absorbed_float_, mixed_float_, index_weights_, scores_, part_out_, part_stats_;
  DeviceBuffer<Bf16> normed_, q_latent_, content_, absorbed_, index_queries_, attended_, mixed_;
  DeviceBuffer<std::int32_t> chosen_;
  DeviceBuffer<float> gate_up_, router_, gate_weights_, expert_out_;
  DeviceBuffer<Bf16> activated_, expert_activated_;
  DeviceBuffer<std::int32_t> experts_chosen_, slot_of_, token_of_, tile_expert_, tile_first_, tile_rows_;
};

}  // namespace gauntlet

#pragma once

// The layers of the model as a list of kernel launches: from token ids in device memory to the residual stream after the last layer.

#include <string>
#include <vector>

#include "inference/cuda/cuda.h"
#include "inference/cuda/cuda_weights.h"
#include "inference/cuda/dense_products.h"
#include "inference/cuda/types.h"
#include "inference/rope.h"
#include "inference/selections.h"

namespace gauntlet {

/// Tokens of a pass from which on DecoderOptions::fp8_queries counts: as many as give every multiprocessor work.
inline constexpr int kFp8QueryTokens = 64;

struct DecoderOptions {
  int pages = 0;                 ///< of the cache; one more is kept for the padding rows of graphs
  int max_tokens = 0;
  CacheFormat cache = CacheFormat::Bf16;
  bool dense_attention = false;
  bool batch_invariant = false;  ///< see CudaBackendOptions
  int masked_from = 0;           ///< see CudaBackendOptions
  bool fp8_queries = false;      ///< see CudaBackendOptions
  kernels::ActivationTerms terms = kernels::ActivationTerms::Two;
};

struct PassShape {
  int longest = 0;     ///< at least the largest position + 1
  bool whole = false;  ///< every sequence of the pass begins in it, and its tokens stand together
};

/// Used from one thread. All memory is allocated here, at the start.
class Decoder {
 public:
  Decoder(const ModelConfig& config, const CudaWeights& weights, const DecoderOptions& options, const Stream& stream);

  /// Launches everything for `batch`. Nothing waits, unless selections are recorded.
  void launch(const kernels::TokenBatch& batch, const PassShape& pass, Selections* record);

  /// y [rows, outputs] = the final norm of rows `source_rows` of the stream (null: of its first rows), times weights [outputs, dim].
  void head(const DeviceBuffer<float>& norm, const DeviceBuffer<Bf16>& weights, const std::int32_t* source_rows, int rows, float* y);
  /// The options that bits of attention depend on for this model on this device; empty if on none.
  std::string describe_attention() const;
  std::string describe_products() const { return (fused_ ? "fused products, " : "") + products_.version(); }
  std::size_t page_bytes() const;
  void copy_page(std::int32_t from, std::int32_t to);
  void poison_page(std::int32_t page);

 private:
  struct Cache {
    DeviceBuffer<std::byte> latents, index_keys;
  };
  void attention(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, const PassShape& pass, Selections* record);
  void attend_absorbed(const CudaLayer& layer, const Cache& cache, const kernels::TokenBatch& batch, int longest, bool choosing);
  void attend_masked(const CudaLayer& layer, const Cache& cache, const kernels::TokenBatch& batch);
  void choose(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, int longest, Selections* record);
  // decoder_products.cpp: the dense products with what surrounds them, fused or through cuBLASLt.
  void make_input(const CudaLayer& layer, int tokens);
  void make_query(const CudaLayer& layer, int tokens);
  void absorb_queries(const CudaLayer& layer, int tokens);
  void mix_values(const CudaLayer& layer, int tokens);
  void gate(const CudaLayer& layer, int tokens);
  void experts(const CudaLayer& layer, int tokens, std::vector<std::int32_t>* record);
  void append_blocking(const DeviceBuffer<std::int32_t>& from, std::size_t size, std::vector<std::int32_t>& into);
  void norm(const DeviceBuffer<float>& weight, int tokens);
  void add_product(const DeviceBuffer<Bf16>& weights, const DeviceBuffer<Bf16>& x, int inner, int tokens);
  bool two_terms() const { return options_.terms == kernels::ActivationTerms::Two; }
  /// The same in what a product has made in float32: one through cuBLASLt runs over both terms as rows, a fused one sums them.
  const float* products_low(const DeviceBuffer<float>& buffer, std::int64_t tokens, std::int64_t width) const { return fused_ ? nullptr : second(buffer, tokens, width); }
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
  bool fused_;                     ///< dense products in one launch each (term_product.h)
  bool masked_ = false;            ///< short prompts attend in the form that is not absorbed (hopper/masked_attention.h)
  bool index_fp8_ = false;         ///< the indexer multiplies in FP8; then index_weights_ hold the scales of its queries too
  std::int64_t part_floats_ = 0;   ///< size of part_out_
  int input_width_, query_width_;
  DenseProducts products_;
  std::vector<Cache> cache_;
  DeviceBuffer<float> cosines_, sines_;
  // With two terms, [2 × tokens, …] wherever an activation is the input or the output of a product: one product runs over both.
  DeviceBuffer<float> stream_, normed_float_, input_, query_, absorbed_float_, mixed_float_, index_weights_, index_query_scales_, scores_, part_out_, part_stats_;
  DeviceBuffer<Bf16> normed_, q_latent_, content_, absorbed_, index_queries_, attended_, mixed_, joined_, keys_values_, plain_latents_, rotary_keys_;
  DeviceBuffer<std::uint8_t> index_queries_fp8_, queries_fp8_;
  DeviceBuffer<Bf16> query_rotary_;
  DeviceBuffer<float> query_scales_;
  DeviceBuffer<std::int32_t> chosen_, masked_work_;
  DeviceBuffer<float> gate_up_, router_, gate_weights_, expert_out_;
  DeviceBuffer<Bf16> activated_, expert_activated_;
  DeviceBuffer<std::int32_t> experts_chosen_, slot_of_, token_of_, tile_expert_, tile_first_, tile_rows_;
};

}  // namespace gauntlet

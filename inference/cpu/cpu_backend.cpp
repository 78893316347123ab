#include "inference/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "core/error.h"
#include "inference/cpu/cpu_attention.h"
#include "inference/cpu/cpu_moe.h"

namespace gauntlet {

struct CpuBackend::Impl {
  const ModelWeights& source;
  CpuBackendOptions options;
  const CpuKernels& kernels;
  ThreadPool pool;
  Products products;
  CpuWeights weights;
  RopeTable rope;
  CpuAttention attention;
  std::vector<CpuLayerCache> cache;
  CpuMoeScratch moe_scratch;
  Selections* selections = nullptr;
  AttentionRecall* recall = nullptr;
  std::vector<CpuToken> tokens;
  std::vector<float> stream, normed, added, last, logits;

  Impl(const ModelWeights& from, const CpuBackendOptions& o)
      : source(from),
        options(o),
        kernels(cpu_kernels(o.isa.value_or(detect_isa()))),
        pool(o.threads),
        products(kernels, pool),
        weights(pack_weights(from, o.format, pool)),
        rope(from.config, std::min<std::int64_t>(from.config.max_positions, std::int64_t{o.pages} * kPageTokens)),
        attention(from.config, products, rope, o.dense_attention) {
    const auto rows = static_cast<std::size_t>(o.pages) * kPageTokens;
    cache.resize(weights.layers.size());
    for (auto& layer : cache) {
      layer.latents = LazyFloats(rows * static_cast<std::size_t>(from.config.cache_dim()));
      layer.index_keys = LazyFloats(rows * static_cast<std::size_t>(from.config.index_dim));
    }
  }

  void list_tokens(std::span<const SequenceStep> steps);
  void run_layers();
  void compute_logits(std::span<const SequenceStep> steps);
};

void CpuBackend::Impl::list_tokens(std::span<const SequenceStep> steps) {
  tokens.clear();
  for (const auto& step : steps) {
    const std::int64_t end = step.start + static_cast<std::int64_t>(step.ids.size());
    require(end <= rope.positions() && end <= static_cast<std::int64_t>(step.pages.size()) * kPageTokens, ErrorKind::Internal,
            fmt::format("a step ends at position {}; its {} pages and the {} positions prepared hold less", end, step.pages.size(), rope.positions()));
    for (std::size_t i = 0; i < step.ids.size(); ++i) {
      const std::int64_t position = step.start + static_cast<std::int64_t>(i);
      const std::int32_t page = step.pages[static_cast<std::size_t>(position / kPageTokens)];
      require(step.ids[i] >= 0 && step.ids[i] < source.config.vocab, ErrorKind::Internal, fmt::format("the token id {} is outside the vocabulary", step.ids[i]));
      require(page >= 0 && page < options.pages, ErrorKind::Internal, fmt::format("the page {} is outside the cache", page));
      tokens.push_back({.id = step.ids[i], .position = position, .row = page * kPageTokens + static_cast<std::int32_t>(position % kPageTokens), .pages = step.pages.data()});
    }
  }
  require(static_cast<int>(tokens.size()) <= options.max_tokens, ErrorKind::Internal, fmt::format("{} tokens in one pass; at most {}", tokens.size(), options.max_tokens));
}

void CpuBackend::Impl::run_layers() {
  const ModelConfig& config = source.config;
  const auto dim = static_cast<std::size_t>(config.dim);
  const std::size_t count = tokens.size();
  stream.resize(count * dim);
  normed.resize(count * dim);
  added.resize(count * dim);
  for (std::size_t t = 0; t < count; ++t) weights.embedding.read_row(tokens[t].id, stream.data() + t * dim);
  if (selections != nullptr) {
    selections->k = config.index_topk;
    selections->layers.resize(weights.layers.size());
  }
  if (recall != nullptr) recall->layers.resize(weights.layers.size());
  const auto norm = [&](const std::vector<float>& weight) {
    for (std::size_t t = 0; t < count; ++t) kernels.rms_norm(stream.data() + t * dim, weight.data(), static_cast<float>(config.norm_eps), config.dim, normed.data() + t * dim);
  };
  const auto add = [&] {
    for (std::size_t i = 0; i < count * dim; ++i) stream[i] += added[i];
  };
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const CpuLayer& layer = weights.layers[i];
    norm(layer.attention_norm);
    attention.run(layer, tokens, normed.data(), cache[i], added.data(), selections != nullptr && config.has_indexer() ? &selections->layers[i] : nullptr,
                  recall != nullptr && config.has_indexer() ? &recall->layers[i] : nullptr);
    add();
    norm(layer.mlp_norm);
    if (layer.dense) {
      run_mlp(products, *layer.dense, normed.data(), static_cast<int>(count), config.dim, added.data(), moe_scratch);
    } else {
      run_moe(products, *layer.moe, config, normed.data(), static_cast<int>(count), added.data(), moe_scratch);
    }
    add();
  }
}

void CpuBackend::Impl::compute_logits(std::span<const SequenceStep> steps) {
  const ModelConfig& config = source.config;
  const auto dim = static_cast<std::size_t>(config.dim);
  std::vector<std::size_t> rows;
  std::size_t at = 0;
  for (const auto& step : steps) {
    const std::size_t end = at + step.ids.size();
    if (step.logits == LogitsOf::All) {
      for (std::size_t t = at; t < end; ++t) rows.push_back(t);
    } else if (step.logits == LogitsOf::Last && end > at) {
      rows.push_back(end - 1);
    }
    at = end;
  }
  last.resize(rows.size() * dim);
  logits.resize(rows.size() * static_cast<std::size_t>(config.vocab));
  for (std::size_t r = 0; r < rows.size(); ++r) kernels.rms_norm(stream.data() + rows[r] * dim, weights.final_norm.data(), static_cast<float>(config.norm_eps), config.dim, last.data() + r * dim);
  products.multiply(weights.head, {last.data(), config.dim, static_cast<int>(rows.size())}, {logits.data(), config.vocab});
}

CpuBackend::CpuBackend(const ModelWeights& weights, const CpuBackendOptions& options) {
  require(options.pages >= 1 && options.max_tokens >= 1 && options.threads >= 0 && options.threads <= 1024, ErrorKind::Usage,
          fmt::format("CPU backend: found {} pages, {} tokens a pass, {} threads; accepted: at least 1 page and 1 token, 0 to 1024 threads", options.pages, options.max_tokens, options.threads));
  try {
    impl_ = std::make_unique<Impl>(weights, options);
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::Infrastructure, fmt::format("CPU backend: the memory for {} cache pages and the packed weights cannot be had", options.pages));
  }
}

CpuBackend::~CpuBackend() = default;

const ModelConfig& CpuBackend::config() const { return impl_->source.config; }
int CpuBackend::max_tokens() const { return impl_->options.max_tokens; }

CacheSize CpuBackend::cache() const {
  const ModelConfig& config = impl_->source.config;
  const std::size_t token_bytes = static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(config.cache_dim() + config.index_dim) * sizeof(float);
  return {.pages = impl_->options.pages, .page_bytes = token_bytes * kPageTokens};
}

std::span<const float> CpuBackend::forward(std::span<const SequenceStep> steps) {
  impl_->list_tokens(steps);
  impl_->moe_scratch.touched = 0;
  if (impl_->tokens.empty()) return {};
  impl_->run_layers();
  impl_->compute_logits(steps);
  return impl_->logits;
}

void CpuBackend::copy_page(std::int32_t from, std::int32_t to) {
  const auto copy = [&](LazyFloats& rows, std::size_t width) {
    const std::size_t size = width * kPageTokens;
    std::copy_n(rows.data() + static_cast<std::size_t>(from) * size, size, rows.data() + static_cast<std::size_t>(to) * size);
  };
  for (auto& layer : impl_->cache) {
    copy(layer.latents, static_cast<std::size_t>(impl_->source.config.cache_dim()));
    copy(layer.index_keys, static_cast<std::size_t>(impl_->source.config.index_dim));
  }
}

void CpuBackend::record_selections(Selections* into) { impl_->selections = into; }

void CpuBackend::record_recall(AttentionRecall* into) { impl_->recall = into; }

std::string CpuBackend::describe() const {
  return fmt::format("CPU, {}, {}, float32 cache{}", isa_name(impl_->kernels.isa), impl_->options.format == WeightFormat::Int8 ? "8-bit weights and activations" : "exact weights",
                     impl_->options.dense_attention && impl_->source.config.has_indexer() ? ", dense attention" : "");
}

StepFootprint CpuBackend::footprint() const {
  const ModelConfig& config = impl_->source.config;
  const int moe_layers = config.layers - config.dense_layers;
  const auto layers = static_cast<std::size_t>(config.layers);
  const std::size_t routed = static_cast<std::size_t>(moe_layers) * static_cast<std::size_t>(config.experts) * impl_->weights.expert_bytes;
  return {.fixed = impl_->weights.bytes - routed,
          .expert = impl_->weights.expert_bytes,
          .moe_layers = moe_layers,
          .latent_row = layers * static_cast<std::size_t>(config.cache_dim()) * sizeof(float),
          .index_row = layers * static_cast<std::size_t>(config.index_dim) * sizeof(float)};
}

std::int64_t CpuBackend::experts_touched() const { return impl_->moe_scratch.touched; }
int CpuBackend::threads() const { return impl_->pool.threads(); }

std::span<float> CpuBackend::latents(int layer) { return impl_->cache[static_cast<std::size_t>(layer)].latents.span(); }
std::span<float> CpuBackend::index_keys(int layer) { return impl_->cache[static_cast<std::size_t>(layer)].index_keys.span(); }

}  // namespace gauntlet

#include "inference/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "inference/cuda/cuda.h"
#include "inference/cuda/decoder.h"
#include "inference/cuda/draw.h"
#include "inference/cuda/model_limits.h"

namespace gauntlet {
namespace {

/// Rows of logits that are made at a time.
constexpr int kLogitRows = 512;
/// Graphs that are kept; the one that was not used for longest goes.
constexpr std::size_t kMostGraphs = 64;

/// Sizes of decoding batches that have graphs of their own; a batch is padded to the next.
int padded_rows(int rows) {
  if (rows <= 4) return rows;
  return rows <= 32 ? kernels::round_up(rows, 4) : kernels::round_up(rows, 16);
}

int current_device() {
  int index = 0;
  cuda_check(cudaGetDevice(&index));
  return index;
}

CudaBackendOptions with_terms(CudaBackendOptions options, const ModelConfig& config) {
  const bool published = config.kv_rank == 512 && config.rope_dim == 64;
  if (!options.terms) options.terms = published ? kernels::ActivationTerms::One : kernels::ActivationTerms::Two;
  return options;
}

/// The device in words, if it can run the model.
std::string checked_device(const ModelConfig& config, const CudaBackendOptions& options, int index) {
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, index));
  check_cuda_model(config, options.cache, *options.terms,
                   {.major = properties.major, .minor = properties.minor, .shared_bytes = shared_limit()}, properties.name);
  return fmt::format("{} (sm_{}{})", properties.name, properties.major, properties.minor);
}

/// Pages of the longest sequence, rounded up to a size that graphs are made for.
int padded_pages(int pages, int most) {
  int size = 8;
  while (size < pages) size *= 2;
  return std::min(size, most);
}

}  // namespace

struct CudaBackend::Impl {
  ModelConfig config;
  CudaBackendOptions options;
  int device_index = 0;
  std::string device;  ///< in words
  Stream stream;
  CudaWeights weights;
  Decoder decoder;
  int page_stride;  ///< the most pages of a sequence
  Selections* selections = nullptr;

  /// One upload a step: ids, positions, sequences, rows of logits, page tables.
  PinnedBuffer<std::int32_t> staging;
  DeviceBuffer<std::int32_t> inputs;
  PinnedBuffer<kernels::DrawRow> draw_staging;
  DeviceBuffer<kernels::DrawRow> draw_rows;
  DeviceBuffer<kernels::DrawnRow> drawn;
  PinnedBuffer<kernels::DrawnRow> drawn_host;
  std::vector<SampledToken> tokens;
  DeviceBuffer<float> logits;       ///< [kLogitRows, vocab]
  PinnedBuffer<float> host_logits;  ///< grows with what is asked for
  struct Recorded {
    Graph graph;
    std::uint64_t used = 0;
  };
  std::map<std::tuple<int, int, bool>, Recorded> graphs;  ///< rows, pages, whether tokens are drawn
  std::uint64_t passes = 0;
  Event begun, ended;
  double busy = 0;

  Impl(const ModelWeights& from, const CudaBackendOptions& o)
      : config(from.config),
        options(with_terms(o, from.config)),
        device_index(current_device()),
        device(checked_device(from.config, options, device_index)),
        weights(upload_weights(from)),
        decoder(config, weights,
                {.pages = o.pages,
                 .max_tokens = o.max_tokens,
                 .cache = o.cache,
                 .dense_attention = o.dense_attention,
                 .batch_invariant = o.batch_invariant,
                 .masked_from = o.masked_from,
                 .fp8_queries = o.fp8_queries,
                 .terms = *options.terms},
                stream),
        page_stride(static_cast<int>(std::min<std::int64_t>(pages_for(config.max_positions), o.pages))) {
    const auto most = static_cast<std::size_t>(o.max_tokens),
               rows = static_cast<std::size_t>(std::min(o.max_tokens, kLogitRows));
    staging = PinnedBuffer<std::int32_t>(most * (4 + static_cast<std::size_t>(page_stride)));
    inputs = DeviceBuffer<std::int32_t>(staging.size());
    draw_staging = PinnedBuffer<kernels::DrawRow>(most);
    draw_rows = DeviceBuffer<kernels::DrawRow>(most);
    drawn = DeviceBuffer<kernels::DrawnRow>(most);
    drawn_host = PinnedBuffer<kernels::DrawnRow>(most);
    logits = DeviceBuffer<float>(rows * static_cast<std::size_t>(config.vocab));
    // Uploads ran on another stream than what follows.
    cuda_check(cudaDeviceSynchronize());
  }

  /// What a step needs on the device, and where it lies in `inputs`.
  struct Plan {
    int tokens = 0, sequences = 0, rows = 0, longest = 1, pages = 0;
    bool replayable = false;  ///< every sequence decodes one token and wants its logits
    bool whole = true;        ///< every sequence starts at position 0
  };
  Plan stage(std::span<const SequenceStep> steps);
  kernels::TokenBatch batch(const Plan& plan) const;
  void make_logits(int first, int rows, const std::int32_t* source);
  void draw_tokens(int first, int rows);
  void stage_draws(std::span<const RowWish> wishes, int rows);
  bool replay(const Plan& plan, bool draw);
  DrawnRows run(std::span<const SequenceStep> steps, const std::span<const RowWish>* wishes);
  DrawnRows launch(std::span<const SequenceStep> steps, const std::span<const RowWish>* wishes);
};

CudaBackend::Impl::Plan CudaBackend::Impl::stage(std::span<const SequenceStep> steps) {
  Plan plan;
  if (steps.size() > static_cast<std::size_t>(options.max_tokens))
    fail(ErrorKind::Internal, fmt::format("{} sequences in one pass; at most {}", steps.size(), options.max_tokens));
  plan.sequences = static_cast<int>(steps.size());
  plan.replayable = options.graphs && selections == nullptr;
  for (const auto& step : steps) {
    plan.tokens += static_cast<int>(step.ids.size());
    const auto end = step.start + static_cast<std::int64_t>(step.ids.size());
    if (step.start < 0 || end > std::min({config.max_positions, static_cast<std::int64_t>(step.pages.size()) * kPageTokens,
                                          std::int64_t{options.pages} * kPageTokens})) {
      fail(ErrorKind::Internal,
           fmt::format("a step ends at position {}; its {} pages and the {} positions of the model hold less", end,
                       step.pages.size(), config.max_positions));
    }
    plan.longest = std::max(plan.longest, static_cast<int>(end));
    plan.whole = plan.whole && step.start == 0;
    plan.replayable = plan.replayable && step.ids.size() == 1 && step.logits != LogitsOf::None;
  }
  require(plan.tokens <= options.max_tokens, ErrorKind::Internal,
          fmt::format("{} tokens in one pass; at most {}", plan.tokens, options.max_tokens));
  const int needed = pages_for(plan.longest);
  plan.pages = plan.replayable ? padded_pages(needed, page_stride) : needed;
  const int padded = plan.replayable ? std::min(padded_rows(plan.tokens), options.max_tokens) : plan.tokens;
  if (plan.replayable && padded > kLogitRows) plan.replayable = false;

  const auto most = static_cast<std::size_t>(options.max_tokens);
  std::int32_t* ids = staging.data();
  std::int32_t* positions = ids + most;
  std::int32_t* sequences = positions + most;
  std::int32_t* rows = sequences + most;
  std::int32_t* tables = rows + most;
  int token = 0;
  for (int s = 0; s < plan.sequences; ++s) {
    const SequenceStep& step = steps[static_cast<std::size_t>(s)];
    for (std::size_t i = 0; i < step.ids.size(); ++i, ++token) {
      if (step.ids[i] < 0 || step.ids[i] >= config.vocab)
        fail(ErrorKind::Internal, fmt::format("the token id {} is outside the vocabulary", step.ids[i]));
      ids[token] = step.ids[i];
      positions[token] = static_cast<std::int32_t>(step.start) + static_cast<std::int32_t>(i);
      sequences[token] = s;
      if (step.logits == LogitsOf::All || (step.logits == LogitsOf::Last && i + 1 == step.ids.size()))
        rows[plan.rows++] = token;
    }
    const std::size_t used = pages_for(static_cast<std::size_t>(step.start) + step.ids.size());
    for (std::size_t p = 0; p < used; ++p) {
      if (step.pages[p] < 0 || step.pages[p] >= options.pages)
        fail(ErrorKind::Internal, fmt::format("the page {} is outside the cache", step.pages[p]));
      tables[static_cast<std::size_t>(s) * static_cast<std::size_t>(plan.pages) + p] = step.pages[p];
    }
  }
  // Padding rows: one token at position 0 of a page that is nobody's.
  for (; plan.replayable && token < padded; ++token) {
    ids[token] = positions[token] = 0;
    sequences[token] = plan.sequences;
    tables[static_cast<std::size_t>(plan.sequences++) * static_cast<std::size_t>(plan.pages)] = options.pages;
  }
  plan.tokens = token;
  const auto upload = [&](const std::int32_t* from, std::size_t size) {
    if (size > 0)
      cuda_check(cudaMemcpyAsync(inputs.data() + (from - staging.data()), from, size * sizeof(std::int32_t),
                                 cudaMemcpyHostToDevice, stream.get()));
  };
  if (most <= 1024) {  // one copy costs less than four, up to some size
    upload(ids, 4 * most + static_cast<std::size_t>(plan.sequences) * static_cast<std::size_t>(plan.pages));
  } else {
    for (const std::int32_t* part : {ids, positions, sequences}) upload(part, static_cast<std::size_t>(plan.tokens));
    upload(rows, static_cast<std::size_t>(plan.rows));
    upload(tables, static_cast<std::size_t>(plan.sequences) * static_cast<std::size_t>(plan.pages));
  }
  return plan;
}

kernels::TokenBatch CudaBackend::Impl::batch(const Plan& plan) const {
  const std::int32_t* at = inputs.data();
  const auto most = options.max_tokens;
  return {.tokens = plan.tokens,
          .ids = at,
          .positions = at + most,
          .sequences = at + 2 * most,
          .pages = at + 4 * most,
          .page_stride = plan.pages};
}

/// Logits of `rows` tokens, into `logits`.
void CudaBackend::Impl::make_logits(int first, int rows, const std::int32_t* source) {
  decoder.head(weights.final_norm, weights.head.size() > 0 ? weights.head : weights.embedding, source == nullptr ? nullptr : source + first, rows, logits.data());
}

void CudaBackend::Impl::draw_tokens(int first, int rows) {
  kernels::draw({.rows = rows,
                 .vocab = config.vocab,
                 .parameters = draw_rows.data() + first,
                 .logits = logits.data(),
                 .out = drawn.data() + first},
                stream.get());
}

void CudaBackend::Impl::stage_draws(std::span<const RowWish> wishes, int rows) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
    kernels::DrawRow row;
    row.temperature = 0;
    if (i < wishes.size() && wishes[i].draw != nullptr) {
      const SamplingParameters& p = *wishes[i].draw;
      row = {.temperature = static_cast<float>(p.temperature),
             .top_p = static_cast<float>(p.top_p),
             .min_p = static_cast<float>(p.min_p),
             .top_k = p.top_k,
             .uniform = uniform_draw(p.seed, wishes[i].step)};
    }
    draw_staging.data()[i] = row;
  }
  cuda_check(cudaMemcpyAsync(draw_rows.data(), draw_staging.data(), static_cast<std::size_t>(rows) * sizeof(kernels::DrawRow),
                             cudaMemcpyHostToDevice, stream.get()));
}

/// True if a graph ran, between the two events.
bool CudaBackend::Impl::replay(const Plan& plan, bool draw) {
  const auto body = [&] {
    decoder.launch(batch(plan), {.longest = plan.pages * kPageTokens, .whole = false}, nullptr);
    make_logits(0, plan.tokens, nullptr);
    if (draw) draw_tokens(0, plan.tokens);
  };
  Recorded& recorded = graphs[{plan.tokens, plan.pages, draw}];
  recorded.used = ++passes;
  if (recorded.graph) {
    begun.record(stream);
    recorded.graph.launch(stream);
    ended.record(stream);
    return true;
  }
  // The first time it runs as it is: choosing algorithms and loading kernels cannot be recorded. Recording does not run.
  body();
  try {
    recorded.graph = Graph::record(stream, body);
  } catch (const Error&) {
    // The pass is under way all the same. What graphs hold is given back, for this or another to be recorded next time.
    graphs.clear();
    return false;
  }
  if (graphs.size() > kMostGraphs) {
    graphs.erase(std::min_element(graphs.begin(), graphs.end(),
                                  [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  }
  return false;
}

DrawnRows CudaBackend::Impl::run(std::span<const SequenceStep> steps, const std::span<const RowWish>* wishes) {
  cuda_check(cudaSetDevice(device_index));  // of this thread, which need not be the one that made the backend
  try {
    return launch(steps, wishes);
  } catch (...) {
    cudaStreamSynchronize(stream.get());  // the next pass writes where this one's copies still read
    throw;
  }
}

DrawnRows CudaBackend::Impl::launch(std::span<const SequenceStep> steps, const std::span<const RowWish>* wishes) {
  const Plan plan = stage(steps);
  if (plan.tokens == 0) return {};
  require(wishes == nullptr || static_cast<int>(wishes->size()) == plan.rows, ErrorKind::Internal,
          "one wish is needed for each row of logits");
  const bool draw = wishes != nullptr;
  if (draw) stage_draws(*wishes, plan.replayable ? plan.tokens : plan.rows);
  std::vector<int> wanted;
  for (int r = 0; r < plan.rows; ++r) {
    if (!draw || (*wishes)[static_cast<std::size_t>(r)].draw == nullptr) wanted.push_back(r);
  }
  const auto vocab = static_cast<std::size_t>(config.vocab);
  if (host_logits.size() < wanted.size() * vocab)
    host_logits = PinnedBuffer<float>(std::max(wanted.size() * vocab, 2 * host_logits.size()));
  std::size_t next = 0;
  const auto fetch = [&](int first, int rows) {
    // Neighbouring rows travel together.
    while (next < wanted.size() && wanted[next] < first + rows) {
      std::size_t end = next + 1;
      while (end < wanted.size() && wanted[end] < first + rows && wanted[end] == wanted[end - 1] + 1) ++end;
      cuda_check(cudaMemcpyAsync(host_logits.data() + next * vocab,
                                 logits.data() + static_cast<std::size_t>(wanted[next] - first) * vocab,
                                 (end - next) * vocab * sizeof(float), cudaMemcpyDeviceToHost, stream.get()));
      next = end;
    }
  };
  bool replayed = false;
  if (plan.replayable) {
    replayed = replay(plan, draw);
    fetch(0, plan.rows);
  } else {
    decoder.launch(batch(plan), {.longest = plan.longest, .whole = plan.whole}, selections);
    const std::int32_t* source = inputs.data() + 3 * options.max_tokens;
    for (int first = 0; first < plan.rows; first += kLogitRows) {
      const int rows = std::min(kLogitRows, plan.rows - first);
      make_logits(first, rows, source);
      if (draw) draw_tokens(first, rows);
      fetch(first, rows);
    }
  }
  if (draw)
    cuda_check(cudaMemcpyAsync(drawn_host.data(), drawn.data(), static_cast<std::size_t>(plan.rows) * sizeof(kernels::DrawnRow),
                               cudaMemcpyDeviceToHost, stream.get()));
  stream.wait_blocking();
  if (replayed) busy += static_cast<double>(ended.ms_since_blocking(begun));
  const std::span<const float> out(host_logits.data(), wanted.size() * vocab);
  if (!draw) return {.tokens = {}, .logits = out};
  tokens.clear();
  for (int r = 0; r < plan.rows; ++r) tokens.push_back(drawn_host.data()[r].token());
  for (const int r : wanted) tokens[static_cast<std::size_t>(r)] = {};
  return {.tokens = tokens, .logits = out};
}

CudaBackend::CudaBackend(const ModelWeights& weights, const CudaBackendOptions& options) {
  require(options.pages >= 1 && options.max_tokens >= 1, ErrorKind::Usage,
          fmt::format("CUDA backend: found {} pages and {} tokens a pass; accepted: at least 1 of each", options.pages,
                      options.max_tokens));
  if (cuda_devices() == 0) fail(ErrorKind::Infrastructure, "no CUDA device was found; `--device cpu` runs on the processor");
  impl_ = std::make_unique<Impl>(weights, options);
}

CudaBackend::~CudaBackend() = default;

const ModelConfig& CudaBackend::config() const { return impl_->config; }
int CudaBackend::max_tokens() const { return impl_->options.max_tokens; }
CacheSize CudaBackend::cache() const { return {.pages = impl_->options.pages, .page_bytes = impl_->decoder.page_bytes()}; }
std::span<const float> CudaBackend::forward(std::span<const SequenceStep> steps) { return impl_->run(steps, nullptr).logits; }
DrawnRows CudaBackend::forward_and_draw(std::span<const SequenceStep> steps, std::span<const RowWish> wishes) {
  return impl_->run(steps, &wishes);
}
void CudaBackend::copy_page(std::int32_t from, std::int32_t to) {
  for (const auto page : {from, to}) {
    if (page < 0 || page >= impl_->options.pages)
      fail(ErrorKind::Internal, fmt::format("the page {} is outside the cache", page));
  }
  cuda_check(cudaSetDevice(impl_->device_index));
  impl_->decoder.copy_page(from, to);
}
void CudaBackend::record_selections(Selections* into) { impl_->selections = into; }
StepFootprint CudaBackend::footprint() const {
  const ModelConfig& c = impl_->config;
  const kernels::CacheLayout layout = kernels::cache_layout(c, impl_->options.cache);
  StepFootprint out;
  out.moe_layers = c.layers - c.dense_layers;
  out.expert = std::size_t{3} * sizeof(Bf16) * static_cast<std::size_t>(c.dim) * static_cast<std::size_t>(c.expert_width);
  const std::size_t routed = out.expert * static_cast<std::size_t>(out.moe_layers) * static_cast<std::size_t>(c.experts);
  const std::size_t embedding = impl_->weights.head.size() > 0 ? impl_->weights.embedding.size_bytes() : 0;
  out.fixed = impl_->weights.bytes - routed - embedding;
  out.latent_row = static_cast<std::size_t>(c.layers) * static_cast<std::size_t>(layout.row_bytes());
  out.index_row = layout.index > 0
                      ? static_cast<std::size_t>(c.layers) * static_cast<std::size_t>(layout.index_page_bytes()) / kPageTokens
                      : 0;
  return out;
}

double CudaBackend::busy_ms() const { return impl_->busy; }
void CudaBackend::poison_page(std::int32_t page) { impl_->decoder.poison_page(page); }

std::string CudaBackend::describe() const {
  const std::string attention = impl_->decoder.describe_attention();
  return fmt::format("CUDA, {}, {}, bf16 weights, activations in {}, {} cache{}{}{}", impl_->device,
                     impl_->decoder.describe_products(),
                     *impl_->options.terms == kernels::ActivationTerms::Two ? "two bf16 terms" : "bf16",
                     impl_->options.cache == CacheFormat::Fp8 ? "FP8" : "bf16",
                     impl_->options.dense_attention && config().has_indexer() ? ", dense attention" : "",
                     attention.empty() ? "" : ", ", attention);
}

}  // namespace gauntlet

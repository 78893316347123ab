#pragma once

// The CPU's inner loops, compiled once for each instruction set and chosen at run time. Activations are float32 (rounded to 8 bits
// for products with 8-bit weights); weights are bf16, float32 or 8-bit integers in panels (packed_matrix.h). Every output element is summed in one fixed order that does not depend on how many
// tokens are computed together, so results are the same to the bit for any batch. Rounding may differ between instruction sets.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gauntlet {

/// Weight rows (outputs) that lie side by side in a panel: the lanes of one vector.
inline constexpr int kPanelRows = 16;
/// Columns that share one scale in 8-bit weights.
inline constexpr int kInt8Block = 64;

/// Elements of CpuKernels::exponentials that share one sum.
inline constexpr std::size_t kSumBlock = 256;

/// Each has all that stands before it.
enum class Isa { Baseline, Avx2, Avx512, Avx512Vnni };

std::string_view isa_name(Isa isa);
/// The best that this processor has.
Isa detect_isa();

enum class WeightType { Bf16, F32, Int8 };

/// Rows in 8 bits, made by CpuKernels::quantise; each row has whole blocks of kInt8Block columns, padded with zeros.
struct QuantisedRows {
  const std::int8_t* values = nullptr;      ///< [tokens, blocks × 64]
  const float* scales = nullptr;            ///< [tokens, blocks]
  const std::int32_t* offsets = nullptr;    ///< [tokens, blocks]: -128 times the sum of the block, because weights are stored with 128 added
};

/// y[t, r] = Σ_c W[r, c] · x[t, c] for the rows of panels [first_panel, last_panel).
struct MatmulArgs {
  WeightType type = WeightType::Bf16;
  const void* weights = nullptr;      ///< panels, see packed_matrix.h
  const float* scales = nullptr;      ///< [panels, blocks of columns, 16]; Int8 only
  int rows = 0, cols = 0;
  const float* x = nullptr;           ///< [tokens, cols], rows x_stride floats apart; not read for Int8
  QuantisedRows x8;                   ///< Int8 only
  std::ptrdiff_t x_stride = 0;
  int tokens = 0;
  float* y = nullptr;                 ///< [tokens, rows], rows y_stride floats apart
  std::ptrdiff_t y_stride = 0;
  int first_panel = 0, last_panel = 0;
};

/// One token's attention over chosen cache rows, all heads, queries absorbed into the latent space.
struct AttendArgs {
  const float* queries = nullptr;     ///< [heads, cache_dim]: latent part, then rotary part
  const float* cache = nullptr;       ///< [rows, cache_dim]
  const std::int32_t* rows = nullptr; ///< [chosen] physical rows, in the order in which they are summed
  int chosen = 0;                     ///< at least 1
  int heads = 0, latent_dim = 0, cache_dim = 0;
  float scale = 0;
  float* weights = nullptr;           ///< scratch [heads, chosen]
  float* out = nullptr;               ///< [heads, latent_dim]
};

/// One token's index scores: out[s] = Σ_h relu(q_h · key_s) · w_h.
struct IndexScoreArgs {
  const float* queries = nullptr;     ///< [padded heads / 16][index_dim][16]
  const float* head_weights = nullptr;///< [padded heads]; 0 for padding
  int head_groups = 0;                ///< padded heads / 16
  int index_dim = 0;
  const float* keys = nullptr;        ///< [rows, index_dim]
  const std::int32_t* pages = nullptr;///< position s lies in row pages[s / page_tokens] × page_tokens + s % page_tokens
  int page_tokens = 0;
  int count = 0;                      ///< positions [0, count)
  float* out = nullptr;               ///< [count]
};

struct CpuKernels {
  Isa isa = Isa::Baseline;
  void (*matmul)(const MatmulArgs&) = nullptr;
  void (*attend)(const AttendArgs&) = nullptr;
  void (*index_scores)(const IndexScoreArgs&) = nullptr;
  /// out[i] = w[i] · (x[i] · rsqrt(mean(x²) + eps))
  void (*rms_norm)(const float* x, const float* weight, float eps, int size, float* out) = nullptr;
  /// a[i] = silu(a[i]) · b[i]
  void (*silu_multiply)(float* a, const float* b, int size) = nullptr;
  /// The largest of x that is not NaN; -infinity if there is none.
  float (*largest)(const float* x, std::size_t size) = nullptr;
  /// exp((x[i] - most) · factor), 0 for NaN, to out unless that is null; sums [ceil(size / kSumBlock)] (may be null) receives the sum of each
  /// block, and the result is their sum. Exponentials are float32 to about 1 ulp, sums float64.
  double (*exponentials)(const float* x, std::size_t size, float most, float factor, float* out, double* sums) = nullptr;
  /// One row of floats to 8 bits in blocks: values [blocks × 64], scales [blocks], offsets [blocks].
  void (*quantise)(const float* x, int cols, std::int8_t* values, float* scales, std::int32_t* offsets) = nullptr;
  /// Exclusive or over whole blocks of 256 bytes: reads memory and does next to nothing else.
  std::uint32_t (*read)(const void* data, std::size_t bytes) = nullptr;
};

/// Only levels up to detect_isa() may be asked for.
const CpuKernels& cpu_kernels(Isa isa);

}  // namespace gauntlet

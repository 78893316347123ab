#pragma once

// The loops of kernels.h over a vector of 16 floats. Each instruction set includes this in a file of its own, compiled with its flags, and
// instantiates it with its own tag, so that no function is shared between them by the linker. Nothing of the standard library with a body is
// used here for the same reason.

#include <cstddef>
#include <cstdint>

#include "inference/cpu/kernels.h"

namespace gauntlet::simd {

using Lanes = float __attribute__((vector_size(64)));
using Words = std::uint32_t __attribute__((vector_size(64)));
using Doubles = double __attribute__((vector_size(64)));
using Integers = std::int32_t __attribute__((vector_size(64)));

/// Tag: kTokens × kPanels accumulators fit the registers, as do twice kTokens8 × kPanels8, and kHeads × kRows; dot4() adds to each lane the products
/// of its 4 unsigned bytes with 4 signed ones.
template <class Tag>
struct Kernels {
  [[gnu::always_inline]] static Lanes load(const float* p) {
    Lanes v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  [[gnu::always_inline]] static void store(float* p, Lanes v) { __builtin_memcpy(p, &v, sizeof v); }
  [[gnu::always_inline]] static Lanes zero() { return Lanes{}; }

  /// Sum over the lanes as a tree of fixed shape.
  [[gnu::always_inline]] static float sum(Lanes v) {
    float a[16];
    store(a, v);
    for (int width = 8; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) a[i] += a[i + width];
    }
    return a[0];
  }

  /// exp, about 1 ulp: 2^n · p(r) with |r| ≤ ln2/2 (Cephes' polynomial). Below -87.3 it gives 0 (so -inf does); NaN stays NaN.
  [[gnu::always_inline]] static Lanes exp(Lanes x) {
    const Lanes low = zero() - 87.33654f, high = zero() + 88.37626f;
    const Integers tiny = x < low;
    Lanes v = x > high ? high : x;
    v = tiny ? low : v;
    const Lanes magic = zero() + 12582912.0f;  // 1.5 · 2^23: adding it rounds to the nearest integer
    const Lanes n = (v * 1.44269504088896341f + magic) - magic;
    const Lanes r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
    Lanes p = zero() + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Integers exponent = (__builtin_convertvector(n, Integers) + 127) << 23;
    Lanes scale;
    __builtin_memcpy(&scale, &exponent, sizeof scale);
    const Lanes result = p * scale;
    return tiny ? zero() : result;
  }

  // ---- matrix product -------------------------------------------------------------------------------------------------------------

  /// Two columns of one panel at a time, as floats.
  [[gnu::always_inline]] static void expand_bf16(const std::uint32_t* p, Lanes& even, Lanes& odd) {
    Words w;
    __builtin_memcpy(&w, p, sizeof w);
    const Words low = w << 16, high = w & 0xffff0000U;
    __builtin_memcpy(&even, &low, sizeof even);
    __builtin_memcpy(&odd, &high, sizeof odd);
  }
  template <WeightType kType, int kTokens, int kPanels>
  [[gnu::always_inline]] static void block(const MatmulArgs& a, int token, int panel) {
    Lanes acc[kTokens][kPanels];
    for (auto& row : acc) {
      for (auto& v : row) v = zero();
    }
    const float* x = a.x + token * a.x_stride;
    if constexpr (kType == WeightType::Bf16) {
      const std::ptrdiff_t pairs = (a.cols + 1) / 2;
      const auto* w = static_cast<const std::uint32_t*>(a.weights) + panel * pairs * kPanelRows;
      const std::ptrdiff_t whole = a.cols / 2;
      for (std::ptrdiff_t k = 0; k < whole; ++k) {
        for (int p = 0; p < kPanels; ++p) {
          Lanes even, odd;
          expand_bf16(w + (p * pairs + k) * kPanelRows, even, odd);
          for (int t = 0; t < kTokens; ++t) {
            acc[t][p] += even * x[t * a.x_stride + 2 * k];
            acc[t][p] += odd * x[t * a.x_stride + 2 * k + 1];
          }
        }
      }
      if (a.cols % 2 != 0) {
        for (int p = 0; p < kPanels; ++p) {
          Lanes even, odd;
          expand_bf16(w + (p * pairs + whole) * kPanelRows, even, odd);
          for (int t = 0; t < kTokens; ++t) acc[t][p] += even * x[t * a.x_stride + 2 * whole];
        }
      }
    } else if constexpr (kType == WeightType::F32) {
      const auto* w = static_cast<const float*>(a.weights) + static_cast<std::ptrdiff_t>(panel) * a.cols * kPanelRows;
      for (std::ptrdiff_t k = 0; k < a.cols; ++k) {
        for (int p = 0; p < kPanels; ++p) {
          const Lanes weight = load(w + (static_cast<std::ptrdiff_t>(p) * a.cols + k) * kPanelRows);
          for (int t = 0; t < kTokens; ++t) acc[t][p] += weight * x[t * a.x_stride + k];
        }
      }
    }
    store_rows<kTokens, kPanels>(a, token, panel, acc);
  }

  template <int kTokens, int kPanels>
  [[gnu::always_inline]] static void store_rows(const MatmulArgs& a, int token, int panel, const Lanes (&acc)[kTokens][kPanels]) {
    for (int p = 0; p < kPanels; ++p) {
      const int row = (panel + p) * kPanelRows;
      const int here = a.rows - row < kPanelRows ? a.rows - row : kPanelRows;
      for (int t = 0; t < kTokens; ++t) {
        float* y = a.y + (token + t) * a.y_stride + row;
        if (here == kPanelRows) {
          store(y, acc[t][p]);
        } else {
          for (int i = 0; i < here; ++i) y[i] = acc[t][p][i];
        }
      }
    }
  }

  /// Integer sums within a block of columns, which are exact in any order; then one step in floats.
  template <int kTokens, int kPanels>
  [[gnu::always_inline]] static void block_int8(const MatmulArgs& a, int token, int panel) {
    constexpr int kWords = kInt8Block / 4;
    const std::ptrdiff_t blocks = (a.cols + kInt8Block - 1) / kInt8Block;
    const auto* w = static_cast<const std::uint32_t*>(a.weights) + panel * blocks * kWords * kPanelRows;
    const float* scales = a.scales + panel * blocks * kPanelRows;
    Lanes acc[kTokens][kPanels];
    for (auto& row : acc) {
      for (auto& v : row) v = zero();
    }
    for (std::ptrdiff_t b = 0; b < blocks; ++b) {
      Integers part[kTokens][kPanels];
      for (int t = 0; t < kTokens; ++t) {
        for (int p = 0; p < kPanels; ++p) part[t][p] = Integers{} + a.x8.offsets[(token + t) * blocks + b];
      }
      for (int g = 0; g < kWords; ++g) {
        std::int32_t x[kTokens];
        for (int t = 0; t < kTokens; ++t) __builtin_memcpy(&x[t], a.x8.values + ((token + t) * blocks + b) * kInt8Block + g * 4, 4);
        for (int p = 0; p < kPanels; ++p) {
          Words weight;
          __builtin_memcpy(&weight, w + ((p * blocks + b) * kWords + g) * kPanelRows, sizeof weight);
          for (int t = 0; t < kTokens; ++t) part[t][p] = Tag::dot4(part[t][p], weight, x[t]);
        }
      }
      for (int p = 0; p < kPanels; ++p) {
        const Lanes scale = load(scales + (p * blocks + b) * kPanelRows);
        for (int t = 0; t < kTokens; ++t) acc[t][p] += __builtin_convertvector(part[t][p], Lanes) * (scale * a.x8.scales[(token + t) * blocks + b]);
      }
    }
    store_rows<kTokens, kPanels>(a, token, panel, acc);
  }

  template <WeightType kType, int kTokens>
  static void tokens(const MatmulArgs& a, int token, int panel, int panels) {
    constexpr int kPanels = kType == WeightType::Int8 ? Tag::kPanels8 : Tag::kPanels;
    int p = 0;
    if constexpr (kType == WeightType::Int8) {
      for (; p + kPanels <= panels; p += kPanels) block_int8<kTokens, kPanels>(a, token, panel + p);
      for (; p < panels; ++p) block_int8<kTokens, 1>(a, token, panel + p);
    } else {
      for (; p + kPanels <= panels; p += kPanels) block<kType, kTokens, kPanels>(a, token, panel + p);
      for (; p < panels; ++p) block<kType, kTokens, 1>(a, token, panel + p);
    }
  }

  /// `count` tokens, at most kMost, in one block.
  template <WeightType kType, int kMost>
  static void some_tokens(const MatmulArgs& a, int token, int count, int panel, int panels) {
    if (count == kMost) return tokens<kType, kMost>(a, token, panel, panels);
    if constexpr (kMost > 1) some_tokens<kType, kMost - 1>(a, token, count, panel, panels);
  }

  template <WeightType kType>
  static void product(const MatmulArgs& a) {
    // A group of panels stays in the cache while all tokens pass over it.
    constexpr int kGroup = Tag::kPanels;
    constexpr int kTokens = kType == WeightType::Int8 ? Tag::kTokens8 : Tag::kTokens;
    for (int panel = a.first_panel; panel < a.last_panel; panel += kGroup) {
      const int panels = a.last_panel - panel < kGroup ? a.last_panel - panel : kGroup;
      for (int t = 0; t < a.tokens; t += kTokens) some_tokens<kType, kTokens>(a, t, a.tokens - t < kTokens ? a.tokens - t : kTokens, panel, panels);
    }
  }

  static void matmul(const MatmulArgs& a) {
    switch (a.type) {
      case WeightType::Bf16: return product<WeightType::Bf16>(a);
      case WeightType::F32: return product<WeightType::F32>(a);
      case WeightType::Int8: return product<WeightType::Int8>(a);
    }
  }

  // ---- attention ------------------------------------------------------------------------------------------------------------------

  [[gnu::always_inline]] static float dot(const float* a, const float* b, int size) {
    Lanes acc = zero(), acc2 = zero();
    int i = 0;
    for (; i + 32 <= size; i += 32) {
      acc += load(a + i) * load(b + i);
      acc2 += load(a + i + 16) * load(b + i + 16);
    }
    for (; i + 16 <= size; i += 16) acc += load(a + i) * load(b + i);
    float total = sum(acc + acc2);
    for (; i < size; ++i) total += a[i] * b[i];
    return total;
  }

  /// The sums of four vectors, each by the tree of sum().
  [[gnu::always_inline]] static void sum4(Lanes a, Lanes b, Lanes c, Lanes d, float* out) {
    const Lanes ab = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    const Lanes cd = __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) + __builtin_shufflevector(c, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    Lanes all = __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + __builtin_shufflevector(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    all += __builtin_shufflevector(all, all, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    all += __builtin_shufflevector(all, all, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    for (int i = 0; i < 4; ++i) out[i] = all[4 * i];
  }

  /// weights[h][i] = scale · q_h · row_i for some heads and some rows: each pair's sum is one chain over the columns, whatever the block.
  template <int kHeads, int kRows>
  [[gnu::always_inline]] static void score_block(const AttendArgs& a, int head, int first) {
    const float* q = a.queries + static_cast<std::ptrdiff_t>(head) * a.cache_dim;
    const float* rows[kRows];
    for (int i = 0; i < kRows; ++i) rows[i] = a.cache + static_cast<std::ptrdiff_t>(a.rows[first + i]) * a.cache_dim;
    Lanes acc[kHeads][kRows];
    for (auto& row : acc) {
      for (auto& v : row) v = zero();
    }
    int d = 0;
    for (; d + 16 <= a.cache_dim; d += 16) {
      Lanes key[kRows];
      for (int i = 0; i < kRows; ++i) key[i] = load(rows[i] + d);
      for (int h = 0; h < kHeads; ++h) {
        const Lanes query = load(q + static_cast<std::ptrdiff_t>(h) * a.cache_dim + d);
        for (int i = 0; i < kRows; ++i) acc[h][i] += query * key[i];
      }
    }
    for (int h = 0; h < kHeads; ++h) {
      float total[kRows];
      if constexpr (kRows == 4) {
        sum4(acc[h][0], acc[h][1], acc[h][2], acc[h][3], total);
      } else {
        for (int i = 0; i < kRows; ++i) total[i] = sum(acc[h][i]);
      }
      for (int i = 0; i < kRows; ++i) {
        for (int rest = d; rest < a.cache_dim; ++rest) total[i] += q[static_cast<std::ptrdiff_t>(h) * a.cache_dim + rest] * rows[i][rest];
        a.weights[static_cast<std::ptrdiff_t>(head + h) * a.chosen + first + i] = a.scale * total[i];
      }
    }
  }

  template <int kHeads>
  static void score_heads(const AttendArgs& a, int head) {
    int i = 0;
    for (; i + Tag::kRows <= a.chosen; i += Tag::kRows) score_block<kHeads, Tag::kRows>(a, head, i);
    for (; i < a.chosen; ++i) score_block<kHeads, 1>(a, head, i);
  }

  /// w = exp(w - max), and one over their sum.
  static float exponentials(float* w, int count) {
    Lanes most = zero() + w[0];
    int i = 0;
    for (; i + 16 <= count; i += 16) {
      const Lanes v = load(w + i);
      most = v > most ? v : most;
    }
    float top = most[0];
    for (int lane = 1; lane < 16; ++lane) top = most[lane] > top ? most[lane] : top;
    for (; i < count; ++i) top = w[i] > top ? w[i] : top;
    Lanes totals = zero();
    for (i = 0; i + 16 <= count; i += 16) {
      const Lanes e = exp(load(w + i) - top);
      store(w + i, e);
      totals += e;
    }
    float total = sum(totals);
    if (i < count) {
      Lanes rest = zero() - 1e30f;
      for (int j = i; j < count; ++j) rest[j - i] = w[j] - top;
      rest = exp(rest);
      for (int j = i; j < count; ++j) total += w[j] = rest[j - i];
    }
    return 1.0f / total;
  }

  /// out[h] = Σ_i weights[h][i] · row_i · inverse[h] over kVectors × 16 columns: one chain over the rows for each element.
  template <int kHeads, int kVectors>
  [[gnu::always_inline]] static void mix_block(const AttendArgs& a, int head, int column, const float* inverse) {
    Lanes acc[kHeads][kVectors];
    for (auto& row : acc) {
      for (auto& v : row) v = zero();
    }
    const float* w = a.weights + static_cast<std::ptrdiff_t>(head) * a.chosen;
    for (int i = 0; i < a.chosen; ++i) {
      const float* row = a.cache + static_cast<std::ptrdiff_t>(a.rows[i]) * a.cache_dim + column;
      Lanes value[kVectors];
      for (int v = 0; v < kVectors; ++v) value[v] = load(row + 16 * v);
      for (int h = 0; h < kHeads; ++h) {
        for (int v = 0; v < kVectors; ++v) acc[h][v] += value[v] * w[static_cast<std::ptrdiff_t>(h) * a.chosen + i];
      }
    }
    for (int h = 0; h < kHeads; ++h) {
      for (int v = 0; v < kVectors; ++v) store(a.out + static_cast<std::ptrdiff_t>(head + h) * a.latent_dim + column + 16 * v, acc[h][v] * inverse[h]);
    }
  }

  template <int kHeads>
  static void heads(const AttendArgs& a, int head) {
    score_heads<kHeads>(a, head);
    float inverse[kHeads];
    for (int h = 0; h < kHeads; ++h) inverse[h] = exponentials(a.weights + static_cast<std::ptrdiff_t>(head + h) * a.chosen, a.chosen);
    int d = 0;
    for (; d + 16 * Tag::kRows <= a.latent_dim; d += 16 * Tag::kRows) mix_block<kHeads, Tag::kRows>(a, head, d, inverse);
    for (; d + 16 <= a.latent_dim; d += 16) mix_block<kHeads, 1>(a, head, d, inverse);
    for (; d < a.latent_dim; ++d) {
      for (int h = 0; h < kHeads; ++h) {
        float total = 0;
        for (int i = 0; i < a.chosen; ++i) total += a.cache[static_cast<std::ptrdiff_t>(a.rows[i]) * a.cache_dim + d] * a.weights[static_cast<std::ptrdiff_t>(head + h) * a.chosen + i];
        a.out[static_cast<std::ptrdiff_t>(head + h) * a.latent_dim + d] = total * inverse[h];
      }
    }
  }

  template <int kMost>
  static void some_heads(const AttendArgs& a, int head, int count) {
    if (count == kMost) return heads<kMost>(a, head);
    if constexpr (kMost > 1) some_heads<kMost - 1>(a, head, count);
  }

  static void attend(const AttendArgs& a) {
    for (int h = 0; h < a.heads; h += Tag::kHeads) some_heads<Tag::kHeads>(a, h, a.heads - h < Tag::kHeads ? a.heads - h : Tag::kHeads);
  }

  // ---- indexer --------------------------------------------------------------------------------------------------------------------

  template <int kKeys>
  [[gnu::always_inline]] static void score(const IndexScoreArgs& a, const float* const* keys, float* out) {
    Lanes total[kKeys];
    for (auto& v : total) v = zero();
    for (int g = 0; g < a.head_groups; ++g) {
      const float* q = a.queries + static_cast<std::ptrdiff_t>(g) * a.index_dim * 16;
      Lanes acc[kKeys];
      for (auto& v : acc) v = zero();
      for (int d = 0; d < a.index_dim; ++d) {
        const Lanes query = load(q + static_cast<std::ptrdiff_t>(d) * 16);
        for (int k = 0; k < kKeys; ++k) acc[k] += query * keys[k][d];
      }
      const Lanes weight = load(a.head_weights + g * 16);
      for (int k = 0; k < kKeys; ++k) total[k] += (acc[k] > 0.0f ? acc[k] : zero()) * weight;
    }
    for (int k = 0; k < kKeys; ++k) out[k] = sum(total[k]);
  }

  static void index_scores(const IndexScoreArgs& a) {
    constexpr int kKeys = 4;
    const auto key = [&](int s) { return a.keys + (static_cast<std::ptrdiff_t>(a.pages[s / a.page_tokens]) * a.page_tokens + s % a.page_tokens) * a.index_dim; };
    int s = 0;
    for (; s + kKeys <= a.count; s += kKeys) {
      const float* keys[kKeys] = {key(s), key(s + 1), key(s + 2), key(s + 3)};
      score<kKeys>(a, keys, a.out + s);
    }
    for (; s < a.count; ++s) {
      const float* keys[1] = {key(s)};
      score<1>(a, keys, a.out + s);
    }
  }

  // ---- elementwise ----------------------------------------------------------------------------------------------------------------

  static void rms_norm(const float* x, const float* weight, float eps, int size, float* out) {
    const float scale = 1.0f / __builtin_sqrtf(dot(x, x, size) / static_cast<float>(size) + eps);
    int i = 0;
    for (; i + 16 <= size; i += 16) store(out + i, load(weight + i) * (load(x + i) * scale));
    for (; i < size; ++i) out[i] = weight[i] * (x[i] * scale);
  }

  static void silu_multiply(float* a, const float* b, int size) {
    int i = 0;
    for (; i + 16 <= size; i += 16) {
      const Lanes v = load(a + i);
      store(a + i, v / (exp(-v) + 1.0f) * load(b + i));
    }
    for (; i < size; ++i) {
      Lanes v = zero();
      v[0] = a[i];
      a[i] = (v / (exp(-v) + 1.0f))[0] * b[i];
    }
  }

  static float largest(const float* x, std::size_t size) {
    Lanes most = zero() - __builtin_inff();
    std::size_t i = 0;
    for (; i + 16 <= size; i += 16) {
      const Lanes v = load(x + i);
      most = v > most ? v : most;
    }
    float top = -__builtin_inff();
    for (int lane = 0; lane < 16; ++lane) top = most[lane] > top ? most[lane] : top;
    for (; i < size; ++i) top = x[i] > top ? x[i] : top;
    return top;
  }

  static double exponentials(const float* x, std::size_t size, float most, float factor, float* out, double* sums) {
    double total = 0;
    for (std::size_t start = 0, block = 0; start < size; start += kSumBlock, ++block) {
      const std::size_t end = start + kSumBlock < size ? start + kSumBlock : size;
      Doubles acc = {};
      for (std::size_t i = start; i < end; i += 16) {
        const std::size_t here = end - i < 16 ? end - i : 16;
        Lanes v = zero() - __builtin_inff();
        if (here == 16) {
          v = load(x + i);
        } else {
          for (std::size_t j = 0; j < here; ++j) v[j] = x[i + j];
        }
        const Lanes e = exp((v - most) * factor);
        const Lanes kept = v == v ? e : zero();
        acc += __builtin_convertvector(__builtin_shufflevector(kept, kept, 0, 1, 2, 3, 4, 5, 6, 7), Doubles);
        acc += __builtin_convertvector(__builtin_shufflevector(kept, kept, 8, 9, 10, 11, 12, 13, 14, 15), Doubles);
        if (out == nullptr) continue;
        if (here == 16) {
          store(out + i, kept);
        } else {
          for (std::size_t j = 0; j < here; ++j) out[i + j] = kept[j];
        }
      }
      double sum_here = 0;
      for (int lane = 0; lane < 8; ++lane) sum_here += acc[lane];
      if (sums != nullptr) sums[block] = sum_here;
      total += sum_here;
    }
    return total;
  }

  /// Rows of kInt8Block columns to 8 bits. Adding 1.5 · 2^23 rounds to the nearest integer and leaves it in the low bits. NaN and infinity make
  /// the scale NaN, and with it every product.
  static void quantise(const float* x, int cols, std::int8_t* values, float* scales, std::int32_t* offsets) {
    constexpr int kVectors = kInt8Block / 16;
    const float magic = 12582912.0f;
    for (int start = 0, b = 0; start < cols; start += kInt8Block, ++b) {
      float padded[kInt8Block] = {};
      const float* from = x + start;
      if (cols - start < kInt8Block) {
        for (int i = 0; i < cols - start; ++i) padded[i] = from[i];
        from = padded;
      }
      Lanes v[kVectors], most = zero(), poison = zero();
      for (int i = 0; i < kVectors; ++i) {
        v[i] = load(from + 16 * i);
        const Lanes size = v[i] < 0.0f ? -v[i] : v[i];
        most = size > most ? size : most;
        poison += v[i] - v[i];
      }
      float largest = 0;
      for (int lane = 0; lane < 16; ++lane) largest = most[lane] > largest ? most[lane] : largest;
      const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
      Integers total = {};
      for (int i = 0; i < kVectors; ++i) {
        const Lanes moved = v[i] * inverse + magic;
        Integers bits;
        __builtin_memcpy(&bits, &moved, sizeof bits);
        bits -= 0x4b400000;
        total += bits;
        Tag::narrow(bits, values + b * kInt8Block + 16 * i);
      }
      std::int32_t all = 0;
      for (int lane = 0; lane < 16; ++lane) all += total[lane];
      scales[b] = largest / 127.0f + sum(poison);
      offsets[b] = -128 * all;
    }
  }

  static std::uint32_t read(const void* data, std::size_t bytes) {
    const auto* p = static_cast<const unsigned char*>(data);
    Words acc[4] = {};
    std::size_t i = 0;
    for (; i + 256 <= bytes; i += 256) {
      for (std::size_t j = 0; j < 4; ++j) {
        Words w;
        __builtin_memcpy(&w, p + i + 64 * j, sizeof w);
        acc[j] ^= w;
      }
    }
    const Words all = (acc[0] ^ acc[1]) ^ (acc[2] ^ acc[3]);
    std::uint32_t out = 0;
    for (int lane = 0; lane < 16; ++lane) out ^= all[lane];
    return out;
  }

  static constexpr CpuKernels table(Isa isa) {
    return {.isa = isa, .matmul = matmul, .attend = attend, .index_scores = index_scores, .rms_norm = rms_norm, .silu_multiply = silu_multiply, .largest = largest, .exponentials = exponentials, .quantise = quantise, .read = read};
  }
};

}  // namespace gauntlet::simd

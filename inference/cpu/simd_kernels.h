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
using Integers = std::int32_t __attribute__((vector_size(64)));
using Bytes = std::int8_t __attribute__((vector_size(16)));

/// Tag: kTokens × kPanels accumulators fit the registers.
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
  [[gnu::always_inline]] static Lanes expand_int8(const std::int8_t* p) {
    Bytes b;
    __builtin_memcpy(&b, p, sizeof b);
    return __builtin_convertvector(__builtin_convertvector(b, Integers), Lanes);
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
    } else {
      const std::ptrdiff_t blocks = (a.cols + kInt8Block - 1) / kInt8Block;
      const auto* w = static_cast<const std::int8_t*>(a.weights) + static_cast<std::ptrdiff_t>(panel) * a.cols * kPanelRows;
      const float* scales = a.scales + panel * blocks * kPanelRows;
      for (std::ptrdiff_t b = 0; b < blocks; ++b) {
        Lanes part[kTokens][kPanels];
        for (auto& row : part) {
          for (auto& v : row) v = zero();
        }
        const std::ptrdiff_t end = (b + 1) * kInt8Block < a.cols ? (b + 1) * kInt8Block : a.cols;
        for (std::ptrdiff_t k = b * kInt8Block; k < end; ++k) {
          for (int p = 0; p < kPanels; ++p) {
            const Lanes weight = expand_int8(w + (static_cast<std::ptrdiff_t>(p) * a.cols + k) * kPanelRows);
            for (int t = 0; t < kTokens; ++t) part[t][p] += weight * x[t * a.x_stride + k];
          }
        }
        for (int p = 0; p < kPanels; ++p) {
          const Lanes scale = load(scales + (p * blocks + b) * kPanelRows);
          for (int t = 0; t < kTokens; ++t) acc[t][p] += part[t][p] * scale;
        }
      }
    }
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

  template <WeightType kType, int kTokens>
  static void tokens(const MatmulArgs& a, int token, int panel, int panels) {
    int p = 0;
    for (; p + Tag::kPanels <= panels; p += Tag::kPanels) block<kType, kTokens, Tag::kPanels>(a, token, panel + p);
    for (; p < panels; ++p) block<kType, kTokens, 1>(a, token, panel + p);
  }

  template <WeightType kType>
  static void product(const MatmulArgs& a) {
    // A group of panels stays in the cache while all tokens pass over it.
    constexpr int kGroup = Tag::kPanels;
    for (int panel = a.first_panel; panel < a.last_panel; panel += kGroup) {
      const int panels = a.last_panel - panel < kGroup ? a.last_panel - panel : kGroup;
      int t = 0;
      for (; t + Tag::kTokens <= a.tokens; t += Tag::kTokens) tokens<kType, Tag::kTokens>(a, t, panel, panels);
      for (; t < a.tokens; ++t) tokens<kType, 1>(a, t, panel, panels);
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

  [[gnu::always_inline]] static void add_scaled(float* out, const float* x, float factor, int size) {
    int i = 0;
    for (; i + 16 <= size; i += 16) store(out + i, load(out + i) + load(x + i) * factor);
    for (; i < size; ++i) out[i] += x[i] * factor;
  }

  static void attend(const AttendArgs& a) {
    // Rows are visited in small blocks so that one read serves all heads.
    constexpr int kBlock = 16;
    for (int start = 0; start < a.chosen; start += kBlock) {
      const int end = start + kBlock < a.chosen ? start + kBlock : a.chosen;
      for (int h = 0; h < a.heads; ++h) {
        for (int i = start; i < end; ++i) {
          a.weights[static_cast<std::ptrdiff_t>(h) * a.chosen + i] = a.scale * dot(a.queries + h * a.cache_dim, a.cache + static_cast<std::ptrdiff_t>(a.rows[i]) * a.cache_dim, a.cache_dim);
        }
      }
    }
    for (int h = 0; h < a.heads; ++h) {
      float* w = a.weights + static_cast<std::ptrdiff_t>(h) * a.chosen;
      float most = w[0];
      for (int i = 1; i < a.chosen; ++i) most = w[i] > most ? w[i] : most;
      Lanes totals = zero();
      int i = 0;
      for (; i + 16 <= a.chosen; i += 16) {
        const Lanes e = exp(load(w + i) - most);
        store(w + i, e);
        totals += e;
      }
      float total = sum(totals);
      if (i < a.chosen) {
        Lanes rest = zero() - 1e30f;
        for (int j = i; j < a.chosen; ++j) rest[j - i] = w[j] - most;
        rest = exp(rest);
        for (int j = i; j < a.chosen; ++j) total += w[j] = rest[j - i];
      }
      for (int j = 0; j < a.chosen; ++j) w[j] /= total;
      for (int d = 0; d < a.latent_dim; ++d) a.out[h * a.latent_dim + d] = 0;
    }
    for (int start = 0; start < a.chosen; start += kBlock) {
      const int end = start + kBlock < a.chosen ? start + kBlock : a.chosen;
      for (int h = 0; h < a.heads; ++h) {
        for (int i = start; i < end; ++i) {
          add_scaled(a.out + h * a.latent_dim, a.cache + static_cast<std::ptrdiff_t>(a.rows[i]) * a.cache_dim, a.weights[static_cast<std::ptrdiff_t>(h) * a.chosen + i], a.latent_dim);
        }
      }
    }
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
    return {.isa = isa, .matmul = matmul, .attend = attend, .index_scores = index_scores, .rms_norm = rms_norm, .silu_multiply = silu_multiply, .read = read};
  }
};

}  // namespace gauntlet::simd

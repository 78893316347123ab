#pragma once

// A weight matrix laid out for the CPU's kernels: panels of 16 rows, and within a panel column after column, so that one vector holds the
// same column of 16 outputs. Rows are padded with zeros to whole panels.
//   Bf16  [panels][ceil(cols / 2)][16] words: the even column in the low half, the odd one in the high half
//   F32   [panels][cols][16]
//   Int8  [panels][ceil(cols / 64)][16 groups of 4 columns][16 rows][4] bytes, each 128 + integer, and scales [panels][ceil(cols / 64)][16]:
//         weight ≈ integer · scale, integers in ±127

#include <cstddef>
#include <vector>

#include "inference/cpu/kernels.h"
#include "inference/weights.h"

namespace gauntlet {

enum class WeightFormat {
  Exact,  ///< bf16 where that loses nothing, else float32
  Int8,   ///< 8 bits in blocks of 64 columns
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// The rows of several matrices of equal width, one below the other.
  PackedMatrix(const std::vector<const Matrix*>& parts, WeightFormat format);
  /// `values` [rows, cols].
  PackedMatrix(const std::vector<float>& values, int rows, int cols, WeightFormat format);

  int rows() const { return rows_; }
  int cols() const { return cols_; }
  int panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  WeightType type() const { return type_; }
  std::size_t bytes() const { return data_.size() * sizeof(Line) + scales_.size() * sizeof(float); }

  /// The product's arguments but for panels: y[t] = W x[t]. For Int8 x8 is the caller's to fill.
  MatmulArgs product(const float* x, std::ptrdiff_t x_stride, int tokens, float* y, std::ptrdiff_t y_stride) const;

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  void pack(const std::vector<float>& values, WeightFormat format);

  WeightType type_ = WeightType::F32;
  int rows_ = 0, cols_ = 0;
  std::vector<Line> data_;
  std::vector<float> scales_;
};

}  // namespace gauntlet

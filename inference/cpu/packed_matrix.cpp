#include "inference/cpu/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "inference/float_types.h"

namespace gauntlet {
namespace {

bool fits_bf16(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return round_to_bf16(v) == v || std::isnan(v); });
}

std::vector<float> stacked(const std::vector<const Matrix*>& parts) {
  std::vector<float> out;
  for (const Matrix* part : parts) {
    const auto values = to_floats(*part);
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

}  // namespace

PackedMatrix::PackedMatrix(const std::vector<const Matrix*>& parts, WeightFormat format) {
  for (const Matrix* part : parts) {
    require(cols_ == 0 || cols_ == part->cols, ErrorKind::Internal, "stacked matrices have different widths");
    cols_ = part->cols;
    rows_ += part->rows;
  }
  pack(stacked(parts), format);
}

PackedMatrix::PackedMatrix(const std::vector<float>& values, int rows, int cols, WeightFormat format) : rows_(rows), cols_(cols) { pack(values, format); }

void PackedMatrix::pack(const std::vector<float>& values, WeightFormat format) {
  type_ = format == WeightFormat::Int8 ? WeightType::Int8 : fits_bf16(values) ? WeightType::Bf16 : WeightType::F32;
  const auto cols = static_cast<std::size_t>(cols_), lanes = static_cast<std::size_t>(kPanelRows);
  const std::size_t pairs = (cols + 1) / 2, blocks = (cols + kInt8Block - 1) / kInt8Block;
  const std::size_t panel_bytes = type_ == WeightType::Bf16 ? pairs * lanes * 4 : type_ == WeightType::F32 ? cols * lanes * 4 : blocks * kInt8Block * lanes;
  const std::size_t bytes = panel_bytes * static_cast<std::size_t>(panels());
  data_.assign((bytes + sizeof(Line) - 1) / sizeof(Line), Line{});
  auto* out = reinterpret_cast<std::byte*>(data_.data());
  if (type_ == WeightType::Int8) std::memset(out, 128, bytes);
  if (type_ == WeightType::Int8) scales_.assign(static_cast<std::size_t>(panels()) * blocks * lanes, 0.0f);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows_); ++r) {
    const std::size_t panel = r / lanes, lane = r % lanes;
    std::byte* base = out + panel * panel_bytes;
    const float* row = values.data() + r * cols;
    if (type_ == WeightType::Int8) {
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t end = std::min(cols, (b + 1) * kInt8Block);
        float amax = 0;
        for (std::size_t c = b * kInt8Block; c < end; ++c) amax = std::max(amax, std::fabs(row[c]));
        const float scale = amax / 127.0f;
        scales_[(panel * blocks + b) * lanes + lane] = scale;
        for (std::size_t c = b * kInt8Block; c < end; ++c) {
          base[(c / 4 * lanes + lane) * 4 + c % 4] = static_cast<std::byte>(128 + (scale > 0 ? static_cast<int>(std::nearbyint(row[c] / scale)) : 0));
        }
      }
      continue;
    }
    for (std::size_t c = 0; c < cols; ++c) {
      if (type_ == WeightType::F32) {
        std::memcpy(base + (c * lanes + lane) * 4, &row[c], 4);
      } else {
        const Bf16 value = to_bf16(row[c]);
        std::memcpy(base + ((c / 2) * lanes + lane) * 4 + (c % 2) * 2, &value.bits, 2);
      }
    }
  }
}

MatmulArgs PackedMatrix::product(const float* x, std::ptrdiff_t x_stride, int tokens, float* y, std::ptrdiff_t y_stride) const {
  return {.type = type_, .weights = data_.data(), .scales = scales_.data(), .rows = rows_, .cols = cols_, .x = x, .x_stride = x_stride, .tokens = tokens, .y = y, .y_stride = y_stride, .first_panel = 0, .last_panel = panels()};
}

}  // namespace gauntlet

#include "inference/cpu/products.h"

#include <algorithm>

namespace gauntlet {
namespace {

/// Panels of one task: enough of them to be worth a task, few enough to spread.
constexpr int kTaskPanels = 8;
constexpr std::size_t kTaskRows = 16;

template <class T>
T* room(std::vector<T>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

}  // namespace

QuantisedRows Products::quantise(InputRows in, int cols) {
  const auto rows = static_cast<std::size_t>(in.count), blocks = static_cast<std::size_t>((cols + kInt8Block - 1) / kInt8Block);
  std::int8_t* values = room(values_, rows * blocks * kInt8Block);
  float* scales = room(scales_, rows * blocks);
  std::int32_t* offsets = room(offsets_, rows * blocks);
  pool_.run((rows + kTaskRows - 1) / kTaskRows, [&](std::size_t task, int) {
    for (std::size_t r = task * kTaskRows; r < std::min(rows, (task + 1) * kTaskRows); ++r) {
      kernels_.quantise(in.data + static_cast<std::ptrdiff_t>(r) * in.stride, cols, values + r * blocks * kInt8Block, scales + r * blocks, offsets + r * blocks);
    }
  });
  return {.values = values, .scales = scales, .offsets = offsets};
}

void Products::multiply(const PackedMatrix& matrix, InputRows in, OutputRows out) {
  const PartProduct part{.matrix = &matrix, .first = 0, .count = in.count, .out = out};
  multiply({&part, 1}, in);
}

void Products::multiply(std::span<const PartProduct> parts, InputRows in) {
  QuantisedRows rounded;
  const auto needs = std::find_if(parts.begin(), parts.end(), [](const PartProduct& part) { return part.matrix->type() == WeightType::Int8; });
  if (needs != parts.end()) rounded = quantise(in, needs->matrix->cols());
  tasks_.clear();
  for (const auto& part : parts) {
    MatmulArgs product = part.matrix->product(in.data + part.first * in.stride, in.stride, part.count, part.out.data, part.out.stride);
    if (part.matrix->type() == WeightType::Int8) {
      const std::ptrdiff_t blocks = (part.matrix->cols() + kInt8Block - 1) / kInt8Block, first = part.first;
      product.x8 = {.values = rounded.values + first * blocks * kInt8Block, .scales = rounded.scales + first * blocks, .offsets = rounded.offsets + first * blocks};
    }
    for (int panel = 0; panel < part.matrix->panels(); panel += kTaskPanels) {
      product.first_panel = panel;
      product.last_panel = std::min(panel + kTaskPanels, part.matrix->panels());
      tasks_.push_back(product);
    }
  }
  pool_.run(tasks_.size(), [&](std::size_t task, int) { kernels_.matmul(tasks_[task]); });
}

}  // namespace gauntlet

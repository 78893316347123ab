#pragma once

// For tests and timed rows: a PagedBatch in device memory.

#include "inference/cuda/kernel_data.h"
#include "inference/cuda/paged_case.h"

namespace gauntlet::kernels {

class DeviceBatch {
 public:
  explicit DeviceBatch(const PagedBatch& batch)
      : ids_(batch.ids), positions_(batch.positions), sequences_(batch.sequences), pages_(batch.pages), tokens_(batch.tokens()), page_stride_(batch.page_stride) {}

  TokenBatch view() const {
    return {.tokens = tokens_, .ids = ids_.data(), .positions = positions_.data(), .sequences = sequences_.data(), .pages = pages_.data(), .page_stride = page_stride_};
  }

 private:
  OnDevice<std::int32_t> ids_, positions_, sequences_, pages_;
  int tokens_, page_stride_;
};

}  // namespace gauntlet::kernels

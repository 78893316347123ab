#include "inference/cuda/term_product.h"

#include <algorithm>
#include <string>

#include "inference/cuda/launch.cuh"
#include "inference/cuda/term_product_split.cuh"
#include "inference/cuda/term_product_staged.cuh"

namespace gauntlet::kernels {
namespace terms {
namespace {

/// Up to so many rows the inner dimension is spread over warps. Both ways give the same bits, so this is a matter of time alone.
constexpr int kFewRows = 512;

Slices slices_of(int inner) {
  const int steps = (inner + kStep * kMaxSlices - 1) / (kStep * kMaxSlices);
  return {.count = (inner + steps * kStep - 1) / (steps * kStep), .steps = steps, .one_over_inner = 1.0f / static_cast<float>(inner)};
}

dim3 grid_of(const TermProductArgs& args, int outputs, int rows, int more_outputs) {
  return {static_cast<unsigned>((args.outputs + outputs - 1) / outputs + more_outputs),
          static_cast<unsigned>((args.rows + rows - 1) / rows), static_cast<unsigned>(args.batches)};
}

template <class Tile, TermInput kInput, TermOutput kOutput, bool kVector>
void launch_split(const TermProductArgs& args, const Slices& slices, CudaStream stream) {
  constexpr int kOutputs = kOutput == TermOutput::GateTerms ? 8 * Tile::kM : 16 * Tile::kM;
  static_assert(Tile::shared_floats(kMaxSlices) * sizeof(float) <= 48 * 1024);
  const int write_norm = args.normed != nullptr || args.normed_high != nullptr ? 1 : 0;
  start_kernel(split_kernel<Tile, kInput, kOutput, kVector>, grid_of(args, kOutputs, Tile::kRows, write_norm), static_cast<unsigned>(slices.count) * 32,
               static_cast<std::size_t>(Tile::shared_floats(slices.count)) * sizeof(float), stream, args, slices);
}

template <class Tile, TermInput kInput, TermOutput kOutput>
void launch_staged(const TermProductArgs& args, const Slices& slices, CudaStream stream) {
  constexpr int kOutputs = kOutput == TermOutput::GateTerms ? Tile::kWeightRows / 2 : Tile::kWeightRows;
  constexpr bool kNormed = kInput == TermInput::Normed;
  const auto kernel = staged_kernel<Tile, kInput, kOutput>;
  // Always the same value: other backends of the process may launch the function at the same time.
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, std::min(Tile::shared_bytes(kTermProductInner, kNormed), shared_limit())));
  start_kernel(kernel, grid_of(args, kOutputs, Tile::kRows, 0), Tile::kThreads, static_cast<std::size_t>(Tile::shared_bytes(args.inner, kNormed)), stream, args, slices);
}

TermTile choose_tile(const TermProductArgs& args) {
  if (args.tile != TermTile::Auto) return args.tile;
  return args.rows <= kFewRows && slices_of(args.inner).steps <= 2 ? TermTile::Few : TermTile::Many;
}

/// Whether y can be written in fours.
bool aligned_output(const TermProductArgs& args) {
  const auto address = [](const void* at, std::uintptr_t unit) { return reinterpret_cast<std::uintptr_t>(at) % unit == 0; };
  return args.outputs % 4 == 0 && args.y_stride % 4 == 0 && args.y_distance % 4 == 0 && address(args.y, 16) && address(args.y_high, 8) && address(args.y_low, 8);
}

/// Whether every row, and every group of eight elements in it, can be loaded in units of 16 bytes.
bool aligned(const TermProductArgs& args) {
  const auto address = [](const void* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
  const int unit = args.x != nullptr ? 4 : 8;
  return args.inner % 8 == 0 && args.x_stride % unit == 0 && args.x_distance % unit == 0 && args.weights_distance % 8 == 0 && address(args.weights) && address(args.norm_weight) &&
         address(args.x) && address(args.x_high) && address(args.x_low) && address(args.normed) && address(args.normed_high);
}

template <TermInput kInput, TermOutput kOutput>
void launch_kind(const TermProductArgs& args, CudaStream stream) {
  constexpr int kFew = kOutput == TermOutput::GateTerms ? 2 : 1;
  const Slices slices = slices_of(args.inner);
  using Staged = StagedTile<4, 2>;
  // Chips with 99 KiB for a block have no room for the stages and a long norm.
  const bool staged = aligned_output(args) && Staged::shared_bytes(args.inner, kInput == TermInput::Normed) <= shared_limit();
  const TermTile tile = staged ? choose_tile(args) : TermTile::Few;
  if (!aligned(args) || (tile == TermTile::Few && slices.steps > 2)) {
    launch_split<SplitTile<2, 1, 0>, kInput, kOutput, false>(args, slices, stream);
  } else if (tile == TermTile::Few && slices.steps == 2) {
    launch_split<SplitTile<kFew, 1, 2>, kInput, kOutput, true>(args, slices, stream);
  } else if (tile == TermTile::Few) {
    launch_split<SplitTile<kFew, 1, 1>, kInput, kOutput, true>(args, slices, stream);
  } else {
    launch_staged<Staged, kInput, kOutput>(args, slices, stream);
  }
}

template <TermInput kInput>
void launch_input(const TermProductArgs& args, CudaStream stream) {
  switch (args.output) {
    case TermOutput::Float: return launch_kind<kInput, TermOutput::Float>(args, stream);
    case TermOutput::AddFloat: return launch_kind<kInput, TermOutput::AddFloat>(args, stream);
    case TermOutput::Terms: return launch_kind<kInput, TermOutput::Terms>(args, stream);
    case TermOutput::GateTerms: return launch_kind<kInput, TermOutput::GateTerms>(args, stream);
  }
}

}  // namespace
}  // namespace terms

void term_product(const TermProductArgs& args, CudaStream stream) {
  const bool writes_terms = args.output == TermOutput::Terms || args.output == TermOutput::GateTerms, write_norm = args.normed != nullptr || args.normed_high != nullptr;
  require(args.rows >= 0 && args.outputs > 0 && args.inner > 0 && args.inner <= kTermProductInner && args.batches > 0 && args.batches <= 65535, ErrorKind::Internal,
          "term_product: rows must not be negative, outputs and batches must be positive, inner 1 to " +
              std::to_string(kTermProductInner) + "; found " + std::to_string(args.inner));
  require((args.x != nullptr) != (args.x_high != nullptr) && (args.x == nullptr || args.x_low == nullptr), ErrorKind::Internal, "term_product: x is float32 or terms");
  require(args.norm_weight == nullptr || args.x != nullptr, ErrorKind::Internal, "term_product: only float32 rows are normed");
  require((args.y_high != nullptr) == writes_terms && (args.y != nullptr) != writes_terms, ErrorKind::Internal, "term_product: y is float32 or terms, as the output says");
  require(!write_norm || (args.norm_weight != nullptr && args.batches == 1), ErrorKind::Internal, "term_product: normed rows are written where rows are normed, for one problem");
  if (args.rows == 0) return;
  if (args.norm_weight != nullptr) {
    terms::launch_input<terms::TermInput::Normed>(args, stream);
  } else if (args.x != nullptr) {
    terms::launch_input<terms::TermInput::Float>(args, stream);
  } else {
    terms::launch_input<terms::TermInput::Terms>(args, stream);
  }
}

}  // namespace gauntlet::kernels

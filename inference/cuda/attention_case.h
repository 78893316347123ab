#pragma once

// For tests of attention kernels: a problem on the host, what the reference makes of it, and the same in device memory.

#include <algorithm>
#include <vector>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/kernel_case.h"
#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {

struct AttentionProblem {
  CacheLayout layout;
  PagedBatch batch;
  int heads = 0, k = 0, part = kAttentionPart;
  bool listed = false;               ///< whether `chosen` is given
  ListForm form = ListForm::Any;
  float scale = 0;
  std::vector<Bf16> queries;
  std::vector<std::int32_t> chosen;  ///< [tokens, k]
  std::vector<std::byte> rows;

  SparseAttentionArgs args() const {
    return {.batch = batch.view(), .layout = layout, .rows = batch.tokens(), .heads = heads, .longest = longest(), .part = part, .scale = scale, .queries = queries.data(),
            .chosen = listed ? chosen.data() : nullptr, .k = k, .form = form, .latent_rows = rows.data()};
  }
  int longest() const { return listed ? k : *std::ranges::max_element(batch.positions) + 1; }
  std::size_t out_row() const { return static_cast<std::size_t>(heads * layout.latent); }
};

struct AttentionResult {
  std::vector<Bf16> out;   ///< [tokens, heads, latent]
  std::vector<float> lse;  ///< [rows, heads]

  bool same_as(const AttentionResult& other) const { return same_bits(out, other.out) && same_bits(lse, other.lse); }
};

/// The references know no packed lists: what is not looked at becomes none.
inline std::vector<std::int32_t> lists_of_reference(const AttentionProblem& problem) {
  auto chosen = problem.chosen;
  const auto k = static_cast<std::size_t>(problem.k);
  for (std::size_t i = 0; problem.listed && problem.form == ListForm::Packed && i < chosen.size(); ++i) {
    if (i % k > static_cast<std::size_t>(problem.batch.positions[i / k])) chosen[i] = -1;
  }
  return chosen;
}

inline AttentionResult attention_reference(const AttentionProblem& problem) {
  AttentionResult result{.out = poisoned<Bf16>(static_cast<std::size_t>(problem.batch.tokens()) * problem.out_row()),
                         .lse = poisoned<float>(static_cast<std::size_t>(problem.batch.tokens() * problem.heads))};
  auto args = problem.args();
  const auto chosen = lists_of_reference(problem);
  if (problem.listed) args.chosen = chosen.data();
  args.out = result.out.data();
  args.lse = result.lse.data();
  sparse_attention_ref(args);
  return result;
}

/// The problem in device memory, and a kernel that is run on it.
class AttentionDevice {
 public:
  using Launch = void (*)(const SparseAttentionArgs& args, CudaStream stream);

  AttentionDevice(const AttentionProblem& problem, Launch launch)
      : problem_(problem), launch_(launch), batch_(problem.batch), queries_(problem.queries), chosen_(problem.chosen), rows_(problem.rows) {}

  /// The problem's rows [first, first + rows), lists said to be at most `longest`; without workspace and results.
  SparseAttentionArgs args(int first, int rows, int longest) const {
    auto args = problem_.args();
    args.batch = batch_.view();
    args.first = first;
    args.rows = rows;
    args.longest = longest;
    args.queries = queries_.data();
    if (args.chosen != nullptr) args.chosen = chosen_.data() + static_cast<std::int64_t>(first) * args.k;
    args.latent_rows = rows_.data();
    return args;
  }

  AttentionResult run(int first, int rows, int longest, bool with_lse = true) const {
    auto args = this->args(first, rows, longest);
    const auto slots = args.parts() > 1 ? static_cast<std::size_t>(rows * args.parts() * args.heads) : 0;
    const auto part_out = poisoned_on_device<float>(slots * static_cast<std::size_t>(args.layout.latent_padded())), part_stats = poisoned_on_device<float>(slots * 2);
    const auto out = poisoned_on_device<Bf16>(static_cast<std::size_t>(args.batch.tokens) * problem_.out_row());
    const auto lse = poisoned_on_device<float>(static_cast<std::size_t>(rows * args.heads));
    args.part_out = part_out.data();
    args.part_stats = part_stats.data();
    args.out = out.data();
    args.lse = with_lse ? lse.data() : nullptr;
    launch_(args, stream_.get());
    stream_.wait_blocking();
    return {.out = out.get(), .lse = lse.get()};
  }
  AttentionResult run() const { return run(0, problem_.batch.tokens(), problem_.longest()); }

 private:
  const AttentionProblem& problem_;
  Launch launch_;
  Stream stream_;
  DeviceBatch batch_;
  OnDevice<Bf16> queries_;
  OnDevice<std::int32_t> chosen_;
  OnDevice<std::byte> rows_;
};

}  // namespace gauntlet::kernels

#include "inference/cuda/select_positions.h"

#include <optional>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/fast_kernels.h"
#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

/// Tokens of several sequences with an FP8 cache, in device memory.
class Problem {
 public:
  Problem(std::uint64_t seed, int heads, int k, const std::vector<SequencePart>& parts) : heads_(heads), k_(k) {
    Rng rng(seed);
    batch_ = paged_batch(rng, parts);
    std::vector<std::uint8_t> queries;
    std::vector<Bf16> same;  // for the portable kernel
    for (const float value : random_floats(rng, static_cast<std::size_t>(rows() * heads * layout_.index), -448.0f, 448.0f)) {
      queries.push_back(to_fp8(value).bits);
      same.push_back(to_bf16(to_float(Fp8{queries.back()})));
    }
    queries_fp8_ = OnDevice<std::uint8_t>(queries);
    queries_ = OnDevice<Bf16>(same);
    weights_ = OnDevice<float>(uniforms(rng, rows() * heads));
    pages_ = OnDevice<std::byte>(random_index_keys(seed + 1, layout_, batch_));
    tokens_.emplace(batch_);
  }

  int rows() const { return batch_.tokens(); }
  std::int64_t stride() const { return round_up(batch_.longest(), 4); }

  /// Rows [first, first + rows) with room for the scores of `run` rows.
  std::vector<std::int32_t> select(int first, int rows, int run) const {
    const auto scratch = poisoned_on_device<float>(static_cast<std::size_t>(run * stride()));
    const auto chosen = poisoned_on_device<std::int32_t>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(k_));
    const SelectPositionsArgs args{.scores = scores(first, rows, scratch.data()), .scratch_floats = static_cast<std::int64_t>(scratch.size()), .k = k_, .chosen = chosen.data()};
    REQUIRE(select_positions_run(args) <= std::max(run, 1));
    const Stream stream;
    select_positions(args, stream.get());
    stream.wait_blocking();
    return chosen.get();
  }
  /// The two kernels apart, over all rows.
  std::vector<std::int32_t> apart() const {
    const auto all = poisoned_on_device<float>(static_cast<std::size_t>(rows() * stride()));
    const auto chosen = poisoned_on_device<std::int32_t>(static_cast<std::size_t>(rows()) * static_cast<std::size_t>(k_));
    const Stream stream;
    score_positions(scores(0, rows(), all.data()), stream.get());
    const TopPositionsArgs choice{.rows = rows(), .k = k_, .last = tokens_->view().positions, .scores = all.data(), .score_stride = stride(), .chosen = chosen.data()};
    choose_positions(choice, stream.get());
    stream.wait_blocking();
    // The choice from these scores by sorting.
    const auto host = all.get();
    std::vector<std::int32_t> expected(chosen.size());
    top_positions_ref({.rows = rows(), .k = k_, .last = batch_.positions.data(), .scores = host.data(), .score_stride = stride(), .chosen = expected.data()});
    REQUIRE(chosen.get() == expected);
    return expected;
  }

 private:
  IndexScoresArgs scores(int first, int rows, float* into) const {
    IndexScoresArgs out;
    out.batch = tokens_->view();
    out.layout = layout_;
    out.first = first;
    out.rows = rows;
    out.heads = heads_;
    out.longest = batch_.longest();
    out.queries = queries_.data();
    out.weights = weights_.data();
    out.queries_fp8 = queries_fp8_.data();
    out.weights_fp8 = weights_.data();
    out.index_pages = pages_.data();
    out.scores = into;
    out.score_stride = stride();
    return out;
  }

  CacheLayout layout_{.format = CacheFormat::Fp8, .latent = 16, .rope = 2, .index = 128};
  int heads_, k_;
  PagedBatch batch_;
  OnDevice<std::uint8_t> queries_fp8_;
  OnDevice<Bf16> queries_;
  OnDevice<float> weights_;
  OnDevice<std::byte> pages_;
  std::optional<DeviceBatch> tokens_;
};

TEST_CASE("a run of rows at a time gives the same positions as all at once, whatever memory there is") {
  if (skip_without_device()) return;
  for (const int heads : {32, 64}) {
    CAPTURE(heads);
    // Prompts from their beginning, and pieces of longer ones.
    const Problem problem(1, heads, 64, {{0, 70}, {1000, 37}, {4095, 1}, {300, 90}, {17, 5}});
    const auto expected = problem.apart();
    for (const int run : {1, 7, 16, 50, 64, 100, 202, 203, 1000}) {
      CAPTURE(run);
      REQUIRE(problem.select(0, problem.rows(), run) == expected);
    }
    REQUIRE(problem.select(71, 60, 20) == rows_of(expected, 64, 71, 60));
  }
}

TEST_CASE("long prompts are selected from in runs") {
  if (skip_without_device()) return;
  const Problem problem(2, 64, 2048, {{2040, 40}, {40'000, 100}});
  const auto expected = problem.apart();
  for (int i = 0; i < 5; ++i) {
    REQUIRE(problem.select(0, problem.rows(), 48) == expected);
    REQUIRE(problem.select(0, problem.rows(), 140) == expected);
  }
}

TEST_CASE("runs of rows are even and fit into the memory") {
  SelectPositionsArgs args;
  args.scores.score_stride = 1000;
  args.scores.rows = 4096;
  args.scratch_floats = 1'000'000;
  CHECK(select_positions_run(args) == 832);  // five runs
  args.scratch_floats = 1500;
  CHECK(select_positions_run(args) == 1);
  args.scratch_floats = 10'000'000;
  CHECK(select_positions_run(args) == 4096);
}

}  // namespace
}  // namespace gauntlet::kernels

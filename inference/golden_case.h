#pragma once

// For tests: the checkpoints in tests/golden/models with the outputs of an independent public implementation (README there).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "inference/safetensors.h"
#include "inference/weights.h"

namespace gauntlet {

struct GoldenCase {
  std::string name;
  std::unique_ptr<Checkpoint> checkpoint;
  ModelWeights weights;
  std::unique_ptr<Checkpoint> expected;
  std::vector<std::int32_t> ids;
  std::size_t greedy_prompt = 0;
  std::vector<std::int32_t> greedy;
  std::vector<double> greedy_margins;

  /// Rows of an expected float32 tensor.
  std::vector<float> floats(const std::string& tensor) const;
  std::vector<std::int32_t> integers(const std::string& tensor) const;
  bool has(const std::string& tensor) const { return expected->find(tensor) != nullptr; }
};

GoldenCase load_golden_case(const std::string& name);
inline const std::vector<std::string> kGoldenCases = {"v32-tiny", "v32-mid", "v32-real-dims", "v3-dense-attention"};

}  // namespace gauntlet

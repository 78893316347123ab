#include "inference/cuda/model_limits.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "inference/golden_case.h"

namespace gauntlet {
namespace {

TEST_CASE("models that the kernels cannot take are refused by the size that is out of bounds") {
  const ModelConfig real = load_golden_case("v32-real-dims").weights.config;
  const CudaLimits hopper{.major = 9, .minor = 0, .shared_bytes = 232448};
  const auto verdict = [&](auto change, CacheFormat cache = CacheFormat::Bf16, CudaLimits limits = {.major = 9, .minor = 0, .shared_bytes = 232448}) -> std::string {
    ModelConfig config = real;
    change(config);
    try {
      check_cuda_model(config, cache, kernels::ActivationTerms::Two, limits, "a device");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::Usage);
      return error.what();
    }
    return "";
  };
  CHECK(verdict([](auto&) {}) == "");
  CHECK(verdict([](auto&) {}, CacheFormat::Fp8) == "");
  CHECK(verdict([](auto&) {}, CacheFormat::Bf16, {.major = 7, .minor = 5, .shared_bytes = hopper.shared_bytes}) == "the CUDA backend needs compute capability 8.0 or later; a device has 7.5");
  CHECK(verdict([](auto& c) { c.kv_rank = 1040; }) == "CUDA: kv_lora_rank: found 1040; accepted: 1 to 1024");
  CHECK(verdict([](auto& c) { c.index_dim = 272; }) == "CUDA: index_head_dim: found 272; accepted: 1 to 256");
  CHECK(verdict([](auto& c) { c.heads = 65'536; }) == "CUDA: num_attention_heads: found 65536; accepted: 1 to 65535");
  CHECK(verdict([](auto& c) { c.index_heads = 65'536; }) == "CUDA: index_n_heads: found 65536; accepted: 1 to 65535");
  CHECK(verdict([](auto& c) { c.dim = 1 << 21; }) == "CUDA: hidden_size: found 2097152; accepted: 1 to 1048576");
  CHECK(verdict([](auto& c) { c.expert_width = 1 << 21; }) == "CUDA: moe_intermediate_size: found 2097152; accepted: 1 to 1048576");
  CHECK(verdict([](auto& c) { c.experts = 1024; }) == "CUDA: n_routed_experts: found 1024; accepted: 1 to 512");
  CHECK(verdict([](auto& c) { c.groups = 128; }) == "CUDA: n_group: found 128; accepted: 1 to 64");
  CHECK(verdict([](auto& c) { c.index_dim = 96; }) == "");
  CHECK(verdict([](auto& c) { c.index_dim = 96; }, CacheFormat::Fp8).find("found 96") != std::string::npos);
  CHECK(verdict([](auto&) {}, CacheFormat::Bf16, {.major = 8, .minor = 6, .shared_bytes = 101376}).find("CUDA: attention needs") == 0);
}

}  // namespace
}  // namespace gauntlet

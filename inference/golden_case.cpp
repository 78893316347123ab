#include "inference/golden_case.h"

#include <cstring>

#include "core/error.h"
#include "core/json.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

template <class T>
std::vector<T> values(const Checkpoint& checkpoint, const std::string& name, DType dtype) {
  const Tensor* tensor = checkpoint.find(name);
  require(tensor != nullptr && tensor->dtype == dtype, ErrorKind::Input, "the expected outputs lack " + name);
  std::vector<T> out(static_cast<std::size_t>(tensor->elements()));
  std::memcpy(out.data(), tensor->data.data(), tensor->data.size());
  return out;
}

}  // namespace

std::vector<float> GoldenCase::floats(const std::string& tensor) const { return values<float>(*expected, tensor, DType::F32); }
std::vector<std::int32_t> GoldenCase::integers(const std::string& tensor) const { return values<std::int32_t>(*expected, tensor, DType::I32); }

GoldenCase load_golden_case(const std::string& name) {
  const std::string folder = std::string(kTestData) + "/golden/models/" + name;
  GoldenCase out{.name = name, .checkpoint = std::make_unique<Checkpoint>(folder), .weights = {}, .expected = std::make_unique<Checkpoint>(folder + "/expected.safetensors"), .ids = {}, .greedy = {}, .greedy_margins = {}};
  out.weights = bind_weights(load_model_config(folder), *out.checkpoint);
  const Json json = read_json_file(folder + "/case.json");
  out.ids = json.at("input_ids").get<std::vector<std::int32_t>>();
  out.greedy_prompt = json.at("greedy_prompt_len").get<std::size_t>();
  out.greedy = json.at("greedy_ids").get<std::vector<std::int32_t>>();
  out.greedy_margins = json.at("greedy_margins").get<std::vector<double>>();
  return out;
}

}  // namespace gauntlet

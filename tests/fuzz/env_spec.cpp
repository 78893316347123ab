// parse_env_spec: refuses with Error(Input), or gives an environment whose worlds can be built.

#include "envs/env_spec.h"

#include "check.h"
#include "core/error.h"

namespace gauntlet {

namespace {

/// Every count in the document is small, so that building a world takes no time.
bool is_small(const Json& value) {
  if (value.is_number()) return value.get<double>() <= 20 && value.get<double>() >= -20;
  if (!value.is_structured()) return true;
  for (const auto& item : value) {
    if (!is_small(item)) return false;
  }
  return true;
}

bool builds_quickly(const EnvSpec& spec) {
  if (spec.entities.size() > 6) return false;
  for (const auto& entity : spec.entities) {
    if (!is_small(entity.count)) return false;
  }
  for (const auto& parameter : spec.parameters) {
    if (!is_small(parameter.fallback)) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const Json document = parse_json({reinterpret_cast<const char*>(data), size}, "input");
    const EnvSpec spec = parse_env_spec(document, "input");
    promise(spec.find_tool(spec.submit_tool) != nullptr, "an accepted environment has its submitting tool");
    if (!builds_quickly(spec)) return 0;
    const WorldKey key{.seed = 1, .parameters = Json::object(), .edits = Json::array()};
    const auto world = build_world(spec, key);
    promise(world_fingerprint(*world) == world_fingerprint(*build_world(spec, key)), "one key gives one world");
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "whatever is wrong with an environment is an input error");
  }
  return 0;
}

}  // namespace gauntlet

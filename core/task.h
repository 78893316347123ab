#pragma once

// A task: an environment's world, what is asked of the agent, and the evidence that it is well posed. Plain data; the
// constraint tree and the certificate travel as JSON and are interpreted by verifiers/ and synth/.

#include <cstdint>
#include <string>

#include "core/json.h"

namespace gauntlet {

/// Everything a world is built from, beside the environment's spec. Equal keys give equal worlds, byte for byte.
struct WorldKey {
  std::uint64_t seed = 0;
  Json parameters = Json::object();  ///< overrides of the spec's world parameters, by name
  Json edits = Json::array();        ///< cells changed after building: [{"table", "key", "column", "value"}]
};

struct Task {
  std::string task_id;      ///< "<environment>-<16 hex digits>": from the content hash, so equal tasks have equal ids
  std::string environment;  ///< name of its EnvSpec
  std::string env_sha256;   ///< of the canonical spec it was made from
  std::string named;        ///< "paper" and such, else empty
  WorldKey world;
  int level = 0;            ///< 1 to 5; 0 when asked for by vector
  std::string prompt;
  Json problem;             ///< slots, constraints, objective, answer form (verifiers/problem.h)
  Json difficulty;          ///< {"level", "vector": {…}}
  Json certificate;         ///< see docs/certificates.md
};

Json to_json(const Task& task);
Task task_from_json(const Json& value, const std::string& path);
Json to_json(const WorldKey& key);
WorldKey world_key_from_json(const Json& value, const std::string& path);

}  // namespace gauntlet

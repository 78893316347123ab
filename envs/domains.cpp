#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "embedded/domains.h"
#include "envs/env_spec.h"

namespace gauntlet {

std::vector<std::string> builtin_domains() {
  std::vector<std::string> names;
  for (const auto& file : embedded_domains()) {
    std::string name(file.name.substr(0, file.name.find('.')));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

EnvSpec load_builtin_domain(const std::string& name) {
  Json document;
  Json tasks;
  for (const auto& file : embedded_domains()) {
    if (file.name == name + ".json") document = parse_json(file.text, file.name);
    if (file.name == name + ".tasks.json") tasks = parse_json(file.text, file.name);
  }
  if (document.is_null()) {
    const auto names = builtin_domains();
    const std::string nearest = nearest_word(name, names);
    fail(ErrorKind::Usage,
         fmt::format("unknown domain \"{}\"{}; accepted: {}, or the path of a spec file", name,
                     nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
  }
  if (!tasks.is_null()) document["tasks"] = std::move(tasks);
  return parse_env_spec(document, name);
}

EnvSpec load_env_spec(const std::string& name_or_path) {
  const bool is_path = name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".json");
  return is_path ? parse_env_spec(read_json_file(name_or_path), name_or_path) : load_builtin_domain(name_or_path);
}

}  // namespace gauntlet

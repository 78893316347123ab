#pragma once

// Reading the parts of an environment document; each function names the place of what it refuses.

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "envs/env_spec.h"

namespace gauntlet {

/// Looks `word` up in a table of names; the error lists them.
template <class T, std::size_t N>
T one_of(const std::array<std::pair<std::string_view, T>, N>& names, const std::string& word, const std::string& path) {
  std::vector<std::string> accepted;
  for (const auto& [name, value] : names) {
    if (name == word) return value;
    accepted.emplace_back(name);
  }
  fail(ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted: {}", path, word, fmt::join(accepted, ", ")));
}

/// Names become SQL identifiers, so they are restricted rather than quoted.
std::string get_identifier(const Json& object, std::string_view key, const std::string& path);

std::vector<std::string> get_strings(const Json& object, std::string_view key, const std::string& path);

/// One member of "tools". `spec` holds the entities.
ToolDefinition parse_tool(const Json& value, const EnvSpec& spec, const std::string& path);

/// Problems of a document, so that all are reported at once.
class Problems {
 public:
  /// Runs `read`; an Error(Input) becomes a problem.
  template <class Read>
  void collect(Read&& read) {
    try {
      read();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Input) throw;
      found_.emplace_back(error.what());
    }
  }
  void add(std::vector<std::string> problems) { found_.insert(found_.end(), problems.begin(), problems.end()); }
  /// Throws Error(Input) listing them, if there are any.
  void raise(const std::string& what) const;

 private:
  std::vector<std::string> found_;
};

}  // namespace gauntlet

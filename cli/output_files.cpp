#include "cli/output_files.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/error.h"

namespace gauntlet {

void require_unused(const std::vector<std::string>& paths, Overwrite overwrite) {
  if (overwrite == Overwrite::Replace) return;
  for (const auto& path : paths) {
    std::error_code error;
    // Not of what a link leads to: a link would be replaced as well.
    const bool there = std::filesystem::exists(std::filesystem::symlink_status(path, error));
    require(!there, ErrorKind::Usage, fmt::format("--out: could not write {}: it exists already; choose another name, or give --overwrite", path));
  }
}

void require_different(const std::string& out, const std::string& in, const std::string& option_of_in) {
  std::error_code error;
  require(!std::filesystem::equivalent(out, in, error), ErrorKind::Usage, fmt::format("--out: could not write {}: it is the file of {}; choose another name", out, option_of_in));
}

}  // namespace gauntlet

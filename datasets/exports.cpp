#include "datasets/exports.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

namespace fs = std::filesystem;

std::string split_path(const std::string& folder, const std::string& split) {
  return (fs::path(folder) / (split + ".jsonl")).string();
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    fail(ErrorKind::Infrastructure,
         fmt::format("could not make the folder {}: {}", folder, error ? error.message() : "a file has that name"));
  }
}

/// A split left from another export would be loaded together with this one's.
void require_unused(const std::string& folder) {
  for (const std::string split : {"train", "validation"}) {
    const std::string path = split_path(folder, split);
    if (fs::exists(path)) {
      fail(ErrorKind::Usage,
           fmt::format("could not export to {}: {} exists already; choose another folder, or give --overwrite", folder, path));
    }
  }
}

}  // namespace

const EnvironmentInfo& get_environment_info(const EnvironmentInfos& environments, const std::string& env_sha256,
                                            const std::string& task_id) {
  const auto it = environments.find(env_sha256);
  if (it == environments.end()) {
    fail(ErrorKind::Usage,
         fmt::format("could not export the task {}: its environment with hash {} was not given", task_id, env_sha256));
  }
  return it->second;
}

Json to_json(const ExportSummary& summary) {
  Json files = Json::array();
  for (const auto& file : summary.files) files.push_back({{"path", file.path}, {"split", file.split}, {"rows", file.rows}});
  return {{"format", summary.format}, {"rows", summary.rows}, {"files", std::move(files)}, {"skipped", summary.skipped}};
}

std::string_view split_of(const std::string& task_id, double validation_share) {
  constexpr std::uint64_t kParts = 1'000'000;
  const std::uint64_t part = hash_text("split:" + task_id) % kParts;
  return static_cast<double>(part) < validation_share * static_cast<double>(kParts) ? "validation" : "train";
}

ExportWriter::ExportWriter(ExportTarget target, std::string format) : target_(std::move(target)) {
  summary_.format = std::move(format);
  if (!(target_.validation_share >= 0.0 && target_.validation_share < 1.0)) {
    fail(ErrorKind::Usage, fmt::format("could not export: a validation share of {}, expected at least 0 and less than 1",
                                       target_.validation_share));
  }
  if (target_.overwrite == Overwrite::Refuse) require_unused(target_.folder);
  for (const std::string name : {"train", "validation"}) {
    if (name == "validation" && target_.validation_share == 0.0) continue;
    splits_.push_back({.name = name, .file = std::nullopt});
  }
}

void ExportWriter::open() {
  make_folder(target_.folder);
  for (Split& split : splits_) split.file.emplace(split_path(target_.folder, split.name), target_.overwrite);
}

std::size_t ExportWriter::split_index(const std::string& task_id) const {
  return split_of(task_id, target_.validation_share) == "train" ? 0 : 1;
}

std::int64_t ExportWriter::next_index(const std::string& task_id) const { return splits_[split_index(task_id)].rows; }

void ExportWriter::add(const std::string& task_id, const Json& row) {
  if (summary_.rows == 0) open();
  Split& split = splits_[split_index(task_id)];
  split.file->write(dump_json(row) + "\n");
  ++split.rows;
  ++summary_.rows;
}

ExportSummary ExportWriter::finish(std::string_view nothing) {
  if (summary_.rows == 0) {
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : summary_.skipped) reasons.push_back(fmt::format("{} ({})", reason, count));
    fail(ErrorKind::Usage, fmt::format("could not export to {}: no {}{}", target_.folder, nothing,
                                       reasons.empty() ? "" : fmt::format("; left out: {}", fmt::join(reasons, ", "))));
  }
  for (Split& split : splits_) {
    // Loaders stop at an empty file, so a split without rows has none.
    if (split.rows == 0) continue;
    split.file->commit();
    summary_.files.push_back({.path = split.file->path(), .split = split.name, .rows = split.rows});
  }
  // Replaced exports must not leave a split of the one before.
  if (target_.overwrite == Overwrite::Replace) {
    for (const std::string name : {"train", "validation"}) {
      const bool written =
          std::any_of(summary_.files.begin(), summary_.files.end(), [&](const auto& file) { return file.split == name; });
      std::error_code ignored;
      if (!written) fs::remove(split_path(target_.folder, name), ignored);
    }
  }
  return summary_;
}

}  // namespace gauntlet

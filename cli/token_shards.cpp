#include "cli/token_shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "core/error.h"
#include "datasets/atomic_file.h"
#include "inference/safetensors.h"

namespace gauntlet {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kU16Ids = 65536;
constexpr std::int64_t kBytesPerToken = 4;
constexpr const char* kManifest = "tokens.json";

bool is_shard(const std::string& name) {
  return (name.starts_with("tokens-") && name.ends_with(".safetensors")) || (name.starts_with("text-") && name.ends_with(".jsonl"));
}

std::vector<fs::path> shard_files(const std::string& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (is_shard(at->path().filename().string())) found.push_back(at->path());
  }
  return found;
}

template <class T>
Tensor view(DType type, const std::vector<T>& values) {
  return {.dtype = type, .shape = {static_cast<std::int64_t>(values.size())}, .data = std::as_bytes(std::span(values))};
}

}  // namespace

ShardWriter::ShardWriter(ShardOptions options) : options_(std::move(options)) {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  require(!error && fs::is_directory(options_.folder), ErrorKind::Usage, fmt::format("--out: could not make the folder {}: {}", options_.folder, error ? error.message() : "a file of that name is there"));
  const auto old = shard_files(options_.folder);
  const fs::path manifest = fs::path(options_.folder) / kManifest;
  require(options_.overwrite || (old.empty() && !fs::exists(manifest, error)), ErrorKind::Usage,
          fmt::format("--out: {} holds shards or a manifest already; choose another folder, or give --overwrite", options_.folder));
  fs::remove(manifest, error);
  for (const auto& path : old) fs::remove(path, error);
}

std::string ShardWriter::name_of(std::size_t number) const { return options_.form == DocumentForm::Tokens ? fmt::format("tokens-{:05}.safetensors", number) : fmt::format("text-{:05}.jsonl", number); }

void ShardWriter::add(const ShardDocument& document) {
  ++documents_;
  ++shard_documents_;
  if (options_.form == DocumentForm::Text) {
    lines_ += document.line;
    lines_ += '\n';
    return;
  }
  const TokenDocument& tokens = document.tokens;
  if (!tokens.logprobs.empty() || !logprobs_.empty()) {
    logprobs_.resize(ids_.size(), 0.0f);
    logprobs_.insert(logprobs_.end(), tokens.logprobs.begin(), tokens.logprobs.end());
    logprobs_.resize(ids_.size() + tokens.ids.size(), 0.0f);
    recorded_.resize(ids_.size(), 0);
    recorded_.insert(recorded_.end(), tokens.recorded.begin(), tokens.recorded.end());
    recorded_.resize(logprobs_.size(), 0);
  }
  ids_.insert(ids_.end(), tokens.ids.begin(), tokens.ids.end());
  learnt_mask_.insert(learnt_mask_.end(), tokens.learnt.begin(), tokens.learnt.end());
  starts_.push_back(static_cast<std::int64_t>(ids_.size()));
  levels_.push_back(static_cast<std::uint8_t>(document.level));
  modes_.push_back(document.mode == ThinkingMode::Chat ? 1 : 0);
  parallel_.push_back(tokens.several_calls ? 1 : 0);
  const auto learnt = std::count(tokens.learnt.begin(), tokens.learnt.end(), std::uint8_t{1});
  tokens_ += static_cast<std::int64_t>(tokens.ids.size());
  learnt_ += learnt;
  shard_learnt_ += learnt;
}

bool ShardWriter::is_full() const {
  return options_.form == DocumentForm::Tokens ? static_cast<std::int64_t>(ids_.size()) >= options_.shard_tokens : static_cast<std::int64_t>(lines_.size()) >= kBytesPerToken * options_.shard_tokens;
}

bool ShardWriter::has_room() const { return options_.most_waiting <= 0 || static_cast<std::int64_t>(shard_files(options_.folder).size()) <= options_.most_waiting; }

void ShardWriter::write_tokens(const std::string& path) {
  std::map<std::string, Tensor> tensors;
  std::vector<std::uint16_t> narrow;
  if (options_.vocab <= kU16Ids) {
    narrow.assign(ids_.begin(), ids_.end());
    tensors["input_ids"] = view(DType::U16, narrow);
  } else {
    tensors["input_ids"] = view(DType::I32, ids_);
  }
  tensors["loss_mask"] = view(DType::U8, learnt_mask_);
  tensors["document_starts"] = view(DType::I64, starts_);
  tensors["level"] = view(DType::U8, levels_);
  tensors["mode"] = view(DType::U8, modes_);
  tensors["parallel"] = view(DType::U8, parallel_);
  if (!logprobs_.empty()) {
    tensors["logprobs"] = view(DType::F32, logprobs_);
    tensors["logprobs_recorded"] = view(DType::U8, recorded_);
  }
  const std::string partial = path + ".tmp";
  write_safetensors(partial, tensors);
  std::error_code error;
  fs::rename(partial, path, error);
  if (error) fail(ErrorKind::Infrastructure, fmt::format("could not rename {}: {}", partial, error.message()));
}

void ShardWriter::write() {
  if (shard_documents_ == 0) return;
  const std::string name = name_of(shards_.size());
  const std::string path = (fs::path(options_.folder) / name).string();
  Json entry = {{"file", name}, {"documents", shard_documents_}};
  if (options_.form == DocumentForm::Tokens) {
    write_tokens(path);
    entry["tokens"] = ids_.size();
    entry["learnt_tokens"] = shard_learnt_;
  } else {
    AtomicFile file(path, Overwrite::Replace);
    file.write(lines_);
    file.commit();
    entry["bytes"] = lines_.size();
  }
  shards_.push_back(std::move(entry));
  ids_.clear();
  learnt_mask_.clear();
  logprobs_.clear();
  recorded_.clear();
  starts_ = {0};
  levels_.clear();
  modes_.clear();
  parallel_.clear();
  lines_.clear();
  shard_learnt_ = shard_documents_ = 0;
}

void ShardWriter::finish(Json description) {
  write();
  description["documents"] = documents_;
  if (options_.form == DocumentForm::Tokens) {
    description["tokens"] = tokens_;
    description["learnt_tokens"] = learnt_;
  }
  description["shards"] = shards_;
  AtomicFile file((fs::path(options_.folder) / kManifest).string(), Overwrite::Replace);
  file.write(description.dump(1) + "\n");
  file.commit();
}

}  // namespace gauntlet

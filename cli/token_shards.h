#pragma once

// The files of `gauntlet export tokens` (docs/exports.md): numbered shards of whole documents, which a trainer may read and delete while
// more are written. A shard has its name only when it is whole.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/token_document.h"
#include "core/json.h"

namespace gauntlet {

enum class DocumentForm { Tokens, Text };

/// One document ready to be written.
struct ShardDocument {
  TokenDocument tokens;  ///< Tokens
  std::string line;      ///< Text: a JSON object
  int level = 0;
  ThinkingMode mode = ThinkingMode::Thinking;
};

struct ShardOptions {
  std::string folder;
  DocumentForm form = DocumentForm::Tokens;
  std::size_t vocab = 0;                     ///< Tokens: decides the type of ids
  std::int64_t shard_tokens = 4'000'000;     ///< a shard is written when it has so many; of text, so many times four bytes
  std::int64_t most_waiting = 0;             ///< 0: any number of shards may lie in the folder
  bool overwrite = false;
};

class ShardWriter {
 public:
  /// Makes the folder. Throws Error(Usage) if it holds shards or a manifest and they may not be replaced; else removes them.
  explicit ShardWriter(ShardOptions options);

  void add(const ShardDocument& document);
  /// The shard is full; write() it.
  bool is_full() const;
  /// A shard may be written now without too many lying in the folder.
  bool has_room() const;
  /// Writes what there is as a shard; nothing if there is nothing.
  void write();
  /// The manifest, last: the folder is complete. `description` is extended by what was written.
  void finish(Json description);

  std::int64_t documents() const { return documents_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t learnt() const { return learnt_; }
  std::size_t shards() const { return shards_.size(); }

 private:
  std::string name_of(std::size_t number) const;
  void write_tokens(const std::string& path);

  ShardOptions options_;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint8_t> learnt_mask_;
  std::vector<float> logprobs_;       ///< as long as ids_ once a document had some, else empty
  std::vector<std::uint8_t> recorded_;  ///< as long as logprobs_
  std::vector<std::int64_t> starts_ = {0};
  std::vector<std::uint8_t> levels_, modes_, parallel_;
  std::string lines_;
  std::int64_t documents_ = 0, tokens_ = 0, learnt_ = 0;
  std::int64_t shard_learnt_ = 0, shard_documents_ = 0;
  Json shards_ = Json::array();
};

}  // namespace gauntlet

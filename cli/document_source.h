#pragma once

// Where the documents of `gauntlet export tokens` come from: the oracle, played on the fly, or the episodes of a store.

#include <memory>
#include <string>
#include <vector>

#include "cli/environments.h"
#include "cli/token_shards.h"
#include "synth/trajectory.h"

namespace gauntlet {

/// What one draw or one episode gives.
struct MadeDocuments {
  std::vector<ShardDocument> documents;         ///< of a recorded episode there may be several
  std::string task_id;
  std::map<std::string, std::int64_t> dropped;  ///< reason to count
  bool cancelled = false;
};

/// How documents are written. Equal for all threads.
struct DocumentStyle {
  std::shared_ptr<const Tokenizer> tokenizer;  ///< null: as text
  std::int64_t max_tokens = 8192;              ///< longer ones are dropped
};

/// One for each thread.
class DocumentMaker {
 public:
  virtual ~DocumentMaker() = default;
  /// A function of `index` alone.
  virtual MadeDocuments make(std::int64_t index, const CancelFlag& cancel) = 0;
};

class DocumentSource {
 public:
  virtual ~DocumentSource() = default;
  /// It must not outlive the source.
  virtual std::unique_ptr<DocumentMaker> make_maker() const = 0;
  /// How many indexes there are; -1: no end.
  virtual std::int64_t size() const = 0;
  /// Whether a task gives at most one document.
  virtual bool distinct_tasks() const = 0;
  /// For the manifest.
  virtual Json describe() const = 0;
};

std::unique_ptr<DocumentSource> make_oracle_source(TrajectoryRequest request, DocumentStyle style);

/// As for `gauntlet export sft`.
struct EpisodeChoice {
  std::string store;
  std::string run;          ///< empty: all runs
  std::string environment;  ///< empty: all
  int level = -1;           ///< -1: all
  double min_score = 1.0;
};

/// Throws Error(Usage) if there is no such run.
std::unique_ptr<DocumentSource> make_episode_source(EpisodeChoice choice, DocumentStyle style);

}  // namespace gauntlet

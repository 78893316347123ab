#pragma once

// Constraints for requests: JSON that satisfies a schema, or a reply in a format's grammar (tool calls). docs/constrained-decoding.md says what
// is supported and what it costs.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/reply_grammar.h"
#include "inference/constraint/grammar_limits.h"
#include "inference/constraint/token_masks.h"
#include "inference/scheduler.h"
#include "inference/tokenizer.h"

namespace gauntlet {

/// One for a tokenizer; grammars that were compiled are kept for the next request, least recently used ones forgotten. Thread-safe.
class ConstraintFactory {
 public:
  explicit ConstraintFactory(std::shared_ptr<const Tokenizer> tokenizer, const GrammarLimits& limits = {});

  /// The text is one JSON value that satisfies the schema, and then ends in one of `end_ids`, which are the request's stop ids. Throws
  /// Error(Usage) naming keyword and path for a schema that is not supported, and for one that exceeds a limit; takes half a second at most.
  std::unique_ptr<TokenConstraint> make_json_constraint(const Json& schema, const std::vector<std::int32_t>& end_ids);
  /// The text is a reply by the format's grammar (PromptFormat::reply_grammar), its end token included. Throws as above.
  std::unique_ptr<TokenConstraint> make_reply_constraint(const ReplyGrammar& reply);

 private:
  std::shared_ptr<TokenMasks> find(const std::string& key);
  std::unique_ptr<TokenConstraint> keep(const std::string& key, Grammar grammar);

  std::shared_ptr<const Tokenizer> tokenizer_;
  GrammarLimits limits_;
  std::shared_ptr<const VocabularyTrie> trie_;
  std::vector<GrammarBuilder::Marker> markers_;
  std::mutex mutex_;
  struct Kept {
    std::string key;
    std::shared_ptr<TokenMasks> masks;
  };
  std::list<Kept> kept_;  ///< most recently used first
  std::unordered_map<std::string, std::list<Kept>::iterator> by_key_;
};

}  // namespace gauntlet

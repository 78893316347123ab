#pragma once

// The tokens that text is made of, by their bytes, as a tree in one flat array: masks are walks over it.

#include <cstdint>
#include <vector>

#include "inference/tokenizer.h"

namespace gauntlet {

class VocabularyTrie {
 public:
  struct Node {
    std::uint32_t after = 0;      ///< the node after all that are below this one
    std::uint32_t tokens_end = 0; ///< its tokens: from where those of the node before end
    std::uint8_t byte = 0;
  };

  /// All tokens but markers and those without bytes.
  explicit VocabularyTrie(const Tokenizer& tokenizer);

  /// In the order of a walk: a node, then what is below it. All nodes of the first level are siblings.
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  /// In bytes; of the markers too.
  std::size_t longest() const { return longest_; }

 private:
  std::vector<Node> nodes_;
  std::vector<std::int32_t> tokens_;
  std::size_t longest_ = 0;
};

}  // namespace gauntlet

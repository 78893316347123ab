#pragma once

// Where one may be in a grammar after some text: a set of stacks, made deterministic as it is used. Sets are numbered and their successors
// remembered, so that reading a byte mostly is one look-up.
//
// Stacks that end alike are shared (a graph-structured stack): a node is a state together with the nodes to return to, and of the nodes of
// one set no two have the same state and depth. So a set never holds more nodes than the grammar has states (for each depth of nesting), however
// ambiguous the grammar is, and no text takes exponential work.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "inference/constraint/grammar.h"

namespace gauntlet {

using SetId = std::int32_t;

/// Not thread-safe. The grammar must outlive it.
class StateSets {
 public:
  static constexpr SetId kDead = -1;

  StateSets(const Grammar& grammar, const GrammarLimits& limits);

  SetId start() const { return start_; }
  /// kDead: the grammar has no text that goes on like this. Throws Error(Usage) beyond the limit of parallel readings.
  SetId step(SetId set, std::uint8_t byte) {
    const SetId known = next_[static_cast<std::size_t>(set) * classes_ + grammar_.byte_class[byte]];
    return known != kUnknown ? known : compute(set, grammar_.byte_class[byte]);
  }
  SetId read(SetId set, std::string_view bytes);
  /// The tokens that the grammar names here, and what follows each.
  const std::vector<std::pair<std::int32_t, SetId>>& tokens(SetId set);
  /// Whether the text may end here.
  bool accepts(SetId set) const { return sets_[static_cast<std::size_t>(set)].accepts; }
  /// Whether nothing can follow.
  bool reads_nothing(SetId set) const { return sets_[static_cast<std::size_t>(set)].nodes.empty(); }
  /// A set with the same mask.
  SetId twin(SetId set);

  /// How many there are; they are never forgotten. Large ones count more.
  std::size_t size() const { return sets_.size() + references_ / 32; }
  /// Work done so far.
  std::uint64_t steps() const { return steps_; }
  /// From now on, until it is called again, more work than this throws Error(Usage).
  void allow_steps(std::uint64_t most) {
    allowed_ = most;
    stop_at_ = steps_ + most;
  }
  /// The same set, of another object for the same grammar.
  SetId adopt(const StateSets& other, SetId set);

 private:
  static constexpr SetId kUnknown = -2;
  static constexpr std::uint32_t kBottom = UINT32_MAX;  ///< in place of a node: nothing to return to

  struct Node {
    StateId state = 0;
    std::uint32_t frame = 0;
  };
  /// What the end of a rule returns to.
  struct Frame {
    std::uint32_t depth = 0;
    std::vector<std::uint32_t> nodes;  ///< sorted
    std::int64_t twin = -1;
  };
  struct Set {
    std::vector<std::uint32_t> nodes;  ///< sorted; each can read something
    bool accepts = false;
    SetId twin = kUnknown;
    bool tokens_known = false;
    std::vector<std::pair<std::int32_t, SetId>> tokens;
  };

  SetId compute(SetId set, std::uint8_t byte_class);
  void count(std::uint64_t steps);
  void begin_set();
  std::uint32_t node(StateId state, std::uint32_t frame);
  std::uint32_t frame(std::uint32_t depth, std::vector<std::uint32_t> nodes);
  void visit(StateId state, std::uint32_t frame);
  SetId close();
  /// Sorted nodes; those of one state and depth become one.
  std::vector<std::uint32_t> merged(std::vector<Node> nodes);
  SetId intern(std::vector<std::uint32_t> nodes, bool accepts);
  std::uint32_t twin_frame(std::uint32_t frame);
  std::uint32_t adopt_frame(const StateSets& other, std::uint32_t frame, std::unordered_map<std::uint32_t, std::uint32_t>& known);

  const Grammar& grammar_;
  GrammarLimits limits_;
  std::size_t classes_;
  std::vector<Node> nodes_;
  std::vector<Frame> frames_;
  std::vector<Set> sets_;
  std::vector<SetId> next_;  ///< [set, byte class]
  std::unordered_map<std::uint64_t, std::uint32_t> node_index_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> frame_index_, set_index_;
  SetId start_ = kDead;
  std::size_t references_ = 0;  ///< to nodes, of all sets and frames
  std::uint64_t steps_ = 0, stop_at_ = UINT64_MAX, allowed_ = UINT64_MAX;
  // Of the set that is being made.
  std::vector<Node> open_;
  std::unordered_map<std::uint64_t, bool> visited_;
};

}  // namespace gauntlet

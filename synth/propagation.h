#pragma once

// What the counting solver and the search share: narrowing the domains by the undecided constraints, and splitting the undecided
// slots into independent components.

#include <deque>
#include <vector>

#include "verifiers/compiled.h"

namespace gauntlet {

/// Storage for narrowed domains; released in the order taken.
class DomainArena {
 public:
  struct Mark {
    std::size_t block = 0;
    std::size_t used = 0;
  };
  Mark mark() const { return {block_, used_}; }
  void release(Mark mark) {
    block_ = mark.block;
    used_ = mark.used;
  }
  SlotValue* take(std::size_t count);

 private:
  static constexpr std::size_t kBlock = 1 << 14;
  std::deque<std::vector<SlotValue>> blocks_;
  std::size_t block_ = 0;
  std::size_t used_ = 0;
};


class Propagator {
 public:
  explicit Propagator(Evaluator& evaluator) : evaluator_(&evaluator) {}

  DomainArena& arena() { return arena_; }

  /// Drops constraints that hold, replaces decided conditionals and conjunctions by their parts, and narrows domains by constraints that
  /// have one undecided slot left, to a fixed point. False if a constraint cannot hold any more. Domains changed are left for the
  /// caller to restore.
  bool propagate(std::vector<int>& constraints);

  /// Undecided slots of `node`.
  SlotMask open_slots(const CompiledNode& node) const;
  SlotMask open_mask() const;

 private:
  bool simplify(int constraint, std::vector<int>& out);
  enum class Narrowed { Unchanged, Changed, Empty };
  Narrowed narrow(int constraint, int slot, bool& decided);

  Evaluator* evaluator_;
  DomainArena arena_;
};

/// Groups of open slots that some mask joins. Slots in no mask are each alone.
std::vector<SlotMask> components(const SlotMask& open, const std::vector<SlotMask>& joins);

/// The open slot to branch on: the one with the fewest candidates for each undecided constraint that touches it, those whose condition it
/// decides counting more.
int choose_slot(const Evaluator& evaluator, const SlotMask& open, const std::vector<int>& constraints);

std::vector<int> slots_of(const SlotMask& mask);

}  // namespace gauntlet

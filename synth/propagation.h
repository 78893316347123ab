#pragma once

// What the counting solver and the search share: narrowing the domains by the undecided constraints, and splitting the undecided
// slots into independent components.

#include <memory>
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
  /// Small, because most searches are: a block is not cleared, and fits what the allocator hands out without tidying up.
  static constexpr std::size_t kBlock = 1 << 12;
  struct Block {
    std::unique_ptr<SlotValue[]> data;
    std::size_t size = 0;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;
  std::size_t used_ = 0;
};

class Propagator {
 public:
  explicit Propagator(Evaluator& evaluator) : evaluator_(&evaluator) {}

  DomainArena& arena() { return arena_; }

  /// Also narrows rows that lie within another slot's row to those within what that slot may still be, while both are open. Parts of a
  /// problem come apart earlier so; a search that draws from the domains would take other turns.
  void narrow_within(bool on) { within_ = on; }

  /// Drops constraints that hold, replaces decided conditionals and conjunctions by their parts, and narrows domains by constraints that
  /// have one undecided slot left, to a fixed point. False if a constraint cannot hold any more. Domains changed are left for the
  /// caller to restore. `changed`: the slots whose domains differ from those under which all of `constraints` were last left undecided by
  /// this function; constraints that touch none of them need no second look. Null: every constraint is new.
  bool propagate(std::vector<int>& constraints, const SlotMask* changed);

  /// Undecided slots of `node`.
  SlotMask open_slots(const CompiledNode& node) const { return node.slots & evaluator_->open(); }
  const SlotMask& open_mask() const { return evaluator_->open(); }

 private:
  bool simplify(int constraint);
  enum class Narrowed { Unchanged, Changed, Empty };
  Narrowed narrow(int constraint, int slot, bool& decided);
  Narrowed narrow_contained(const CompiledNode& node, int& slot);
  /// The candidates that a constraint leaves.
  struct Kept {
    SlotValue* values = nullptr;
    std::int32_t count = 0;
    bool decided = true;  ///< it holds for all that are left

    void add(SlotValue value, Truth truth) {
      if (truth == Truth::False) return;
      if (truth == Truth::Unknown) decided = false;
      values[count++] = value;
    }
  };
  /// Makes what is kept the domain; `before` if that is all.
  Narrowed use(int slot, const Domain& before, const Kept& kept);
  bool narrow_by_attribute(const CompiledNode& node, int slot, Kept& kept) const;
  bool narrow_by_difference(const CompiledNode& node, int slot, Kept& kept) const;

  Evaluator* evaluator_;
  DomainArena arena_;
  bool within_ = false;
  std::vector<Cell> outer_;  ///< scratch of narrow_contained()
  struct Undecided {
    int constraint = -1;
    bool as_before = false;  ///< nothing that it touches has changed
  };
  std::vector<Undecided> undecided_;  ///< of the pass of propagate() that is under way
};

/// The domains of all slots at moments that a depth-first search returns to. Marks are given back in the reverse order of taking.
class DomainTrail {
 public:
  struct Mark {
    std::size_t at = 0;
    DomainArena::Mark arena;
  };
  DomainTrail(Evaluator& evaluator, DomainArena& arena) : evaluator_(&evaluator), arena_(&arena) {}

  Mark save();
  /// Back to what the domains were.
  void restore(const Mark& mark);
  /// Leaves the domains as they are; what was narrowed since stays in the arena.
  void keep(const Mark& mark) { saved_.resize(mark.at); }

 private:
  Evaluator* evaluator_;
  DomainArena* arena_;
  std::vector<Domain> saved_;
};

/// Groups of open slots that some mask joins. Slots in no mask are each alone.
std::vector<SlotMask> components(const SlotMask& open, const std::vector<SlotMask>& joins);

/// The open slot to branch on: the one with the fewest candidates for each undecided constraint that touches it, those whose condition it
/// decides counting more.
int choose_slot(const Evaluator& evaluator, const SlotMask& open, const std::vector<int>& constraints);

std::vector<int> slots_of(const SlotMask& mask);

}  // namespace gauntlet

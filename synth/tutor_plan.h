#pragma once

// The shape of problems that the tutor can reason through in small steps: groups of slots (days), each with a place (a city) that its
// other slots lie within, and rules on one group at a time. Derived from the constraint tree; other shapes are declined.

#include <optional>
#include <string>
#include <vector>

#include "envs/env_spec.h"
#include "verifiers/problem.h"

namespace gauntlet {

/// All bounds must hold for the column of the member's row.
struct TutorCondition {
  int column = -1;
  struct Bound {
    CompareOp op = CompareOp::Equal;
    Cell value = 0;
  };
  std::vector<Bound> bounds;

  bool holds(Cell cell) const;
  std::string text() const;  ///< " >=180 <300"
};

/// What is asked of one group. Members of a table of their own have conditions; two members that share a table (the two meals of a day)
/// are judged together: a threshold each, at least one above a threshold, a bound on the sum.
struct TutorRule {
  std::vector<std::vector<TutorCondition>> single;  ///< for each member
  std::optional<Cell> first_at_least, second_at_least, one_at_least;
  int rated_column = -1;
  int summed_column = -1;
  std::optional<TutorCondition::Bound> sum;

  bool asks_of_pair() const { return first_at_least || second_at_least || one_at_least || sum; }
};

struct TutorBranch {
  TutorCondition guard;
  TutorRule rule;
};

struct TutorMember {
  int slot = -1;
  int table = -1;
  int within_column = -1;  ///< of the table: holds the place
  int partner = -1;        ///< the other member of its table, or -1
};

struct TutorGroup {
  std::string name;
  int place_slot = -1;
  std::string fixed_place;      ///< empty: to be chosen
  int date_slot = -1;
  std::string date;
  std::vector<TutorMember> members;
  TutorRule rule;
  int guard_member = -1;        ///< whose column the branches' guards read
  std::vector<TutorBranch> branches;
};

struct TutorPlan {
  int place_table = -1;
  std::vector<TutorGroup> groups;
};

/// Nothing if the problem has another shape.
std::optional<TutorPlan> tutor_plan(const Problem& problem, const EnvSpec& spec);

/// Last part of the slot's path: what the answer calls it.
std::string slot_name(const SlotSpec& slot);

/// Operator as written in notes: ">=", "<".
std::string_view op_text(CompareOp op);
std::string number_text(Cell cell);  ///< thousandths as a decimal number without needless zeros

}  // namespace gauntlet

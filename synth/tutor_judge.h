#pragma once

// Whether a place can serve a group, worked out on paper: every row that is looked at, every comparison and every sum is written down, so
// that each step follows from what stands just before it. Reads only what the agent has seen.

#include <string>
#include <vector>

#include "synth/tutor_plan.h"

namespace gauntlet {

struct TutorVerdict {
  bool fits = false;
  std::vector<int> rows;  ///< for each member of the group, the row chosen; empty if it does not fit
};

/// Notes are lines.
void add_line(std::string& notes, const std::string& line);

class TutorJudge {
 public:
  /// All must outlive it; `seen` may grow in between.
  TutorJudge(const Problem& problem, const TutorPlan& plan, const World& seen) : problem_(problem), plan_(plan), seen_(seen) {}

  /// Rows of the member's table within the place, in the order in which they were listed.
  std::vector<int> rows_at(const TutorMember& member, const std::string& place) const;

  /// The group's whole rule in words, as the notes use them.
  std::string digest(const TutorGroup& group) const;

  /// The conditions of one member alone. The first row that meets them, or -1; what was compared is added to `notes`.
  int choose_single(const TutorGroup& group, std::size_t member, const std::vector<TutorCondition>& conditions, const std::string& place, std::string& notes) const;

  /// All of the group's rule. `chosen` is a member settled before (by choose_single) and its row; -1: none.
  TutorVerdict judge(const TutorGroup& group, const std::string& place, int chosen_member, int chosen_row, std::string& notes) const;

  std::string name(const TutorMember& member) const { return slot_name(problem_.slots[static_cast<std::size_t>(member.slot)]); }
  std::string key(const TutorMember& member, int row) const;

 private:
  bool judge_rule(const TutorGroup& group, const TutorRule& rule, const std::string& place, std::vector<int>& rows, std::string& notes) const;
  bool choose_pair(const TutorGroup& group, std::size_t first, const TutorRule& rule, const std::string& place, std::vector<int>& rows, std::string& notes) const;
  std::string rule_text(const TutorGroup& group, const TutorRule& rule) const;
  std::string single_text(const TutorGroup& group, std::size_t member, const std::vector<TutorCondition>& conditions) const;
  std::string pair_text(const TutorGroup& group, std::size_t first, const TutorRule& rule) const;
  const WorldColumn& column(const TutorMember& member, int column) const;
  std::string cell(const TutorMember& member, int column, int row) const;

  const Problem& problem_;
  const TutorPlan& plan_;
  const World& seen_;
};

}  // namespace gauntlet

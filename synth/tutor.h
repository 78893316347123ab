#pragma once

// The tutor: an oracle that works as a careful person would, one place after the other, and writes every comparison and sum down before it
// decides. Its episodes are what small models learn from: nothing that it does depends on anything but what stands in the conversation.
// It handles problems of the shape in tutor_plan.h; for others make_expert gives the oracle.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/rng.h"
#include "synth/seen_world.h"
#include "synth/tutor_judge.h"

namespace gauntlet {

struct TutorStyle {
  bool parallel = true;       ///< all calls of a step in one message; otherwise one call a message
  int slip_per_million = 0;   ///< chance of one misspelt call in the episode, noticed and repaired
};

TutorStyle draw_tutor_style(Rng& rng);

class TutorAgent : public ChatModel {
 public:
  /// `planner` must outlive it.
  TutorAgent(const Planner& planner, Problem problem, TutorPlan plan, TutorStyle style, Rng rng);

  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override;
  Json describe() const override;

 private:
  enum class Stage { Begin, Narrow, Listed, Known };

  void take_in(const std::vector<Message>& messages, std::string& notes);
  std::vector<PlannedCall> plan_calls(std::string& notes, std::string& answer);
  std::vector<PlannedCall> go_to(const std::string& place);
  const TutorMember& member_of(int table) const;
  std::vector<PlannedCall> listings(const std::vector<int>& tables) const;
  std::vector<PlannedCall> details(const std::vector<int>& tables) const;
  std::vector<PlannedCall> judge_here(std::string& notes, std::string& answer);
  std::vector<PlannedCall> leave(std::string& notes, std::string& answer);
  bool is_fixed(const std::string& place) const;
  std::vector<int> groups_here() const;
  std::vector<int> all_tables() const;
  std::vector<int> asked_tables(const std::vector<int>& groups) const;
  int narrowing_member(const std::vector<int>& groups) const;
  bool complete_assignment(std::vector<int>& of_group) const;
  std::string write_answer(const std::vector<int>& of_group) const;

  struct Fit {
    std::string place;
    std::map<int, std::vector<int>> rows;  ///< group to its members' rows
  };

  const Planner& planner_;
  Problem problem_;
  TutorPlan plan_;
  TutorStyle style_;
  Rng rng_;
  SeenWorld seen_;
  TutorJudge judge_;
  Stage stage_ = Stage::Begin;
  std::string place_;
  std::set<std::string> visited_;
  std::vector<Fit> fits_;
  std::set<int> settled_;                 ///< groups whose place no other group can want
  std::map<int, int> narrowed_;           ///< group to the row of the narrowing member at this place
  int narrow_member_ = -1;
  std::map<std::string, std::pair<PlannedCall, PlannedCall>> issued_;  ///< id to what was meant and what was sent
  std::vector<PlannedCall> again_;
  std::deque<PlannedCall> waiting_;
  std::size_t messages_read_ = 0;
  int calls_made_ = 0;
  int slip_at_ = -1;
};

enum class Expert { Tutor, Oracle };

/// The tutor takes problems of its shape and leaves others to the oracle. Its style is drawn. `planner` must outlive it.
std::unique_ptr<ChatModel> make_expert(Expert expert, const Planner& planner, const Problem& problem, Rng rng);

}  // namespace gauntlet

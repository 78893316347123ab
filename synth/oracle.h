#pragma once

// The oracle: solves a task through its tools alone. It explores only as far as it needs (a candidate that nothing observed contradicts is
// picked, the facts it rests on are looked up, and so on until one is certain), and writes down how, so its episodes are the expert
// trajectories of the exports. One object plays one episode.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_model.h"
#include "core/rng.h"
#include "synth/seen_world.h"

namespace gauntlet {

/// How it works and writes; drawn from a seed so that trajectories vary.
struct OracleStyle {
  bool parallel = true;          ///< several calls in a message where they do not depend on each other
  int siblings = 3;              ///< how many rows beside the candidate's it looks at in one go
  int slip_per_million = 0;      ///< chance of one wrong call in the episode, noticed and repaired
};

/// What it says at the end when it found no answer: there is none in what it saw, or its search was cut short.
inline constexpr std::string_view kNoPlanReply = "I could not find a plan that satisfies all requirements.";
inline constexpr std::string_view kSearchLimitReply = "I could not settle within my search limit whether a plan satisfies all requirements.";

OracleStyle draw_style(Rng& rng);

class OracleAgent : public ChatModel {
 public:
  /// `planner` must outlive it.
  OracleAgent(const Planner& planner, Problem problem, OracleStyle style, Rng rng);
  ~OracleAgent() override;

  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override;
  Json describe() const override;

 private:
  struct Issued {
    PlannedCall meant;
    PlannedCall sent;
  };

  void take_in(const std::vector<Message>& messages, std::string& thinking);
  std::vector<PlannedCall> next_calls(std::string& thinking, std::string& answer, const CancelFlag& cancel);
  std::vector<PlannedCall> listing_calls(std::string& thinking);
  std::vector<PlannedCall> fact_calls(const CompiledProblem& compiled, const std::vector<SlotValue>& candidate, std::string& thinking);
  std::vector<PlannedCall> exhaustive_calls(std::string& thinking);
  void relation_calls(const Node& node, std::vector<PlannedCall>& calls) const;
  std::vector<Json> possible_values(const Node& node) const;
  void add_tell(std::vector<PlannedCall>& calls, int table, int row, int column) const;
  std::string conclude(const CompiledProblem& compiled, const std::vector<SlotValue>& values, std::optional<Cell> optimum, std::string& thinking);
  bool unknown_cells(int table, int row) const;
  std::string key_text(int table, int row) const;
  std::string say(std::initializer_list<std::string_view> variants);

  const Planner& planner_;
  Problem problem_;
  OracleStyle style_;
  Rng rng_;
  SeenWorld seen_;
  std::map<int, std::vector<int>> relevant_;  ///< table to the columns that the problem reads
  std::map<std::string, Issued> issued_;
  std::vector<PlannedCall> again_;
  std::deque<PlannedCall> waiting_;  ///< planned together, but sent in several messages
  std::size_t messages_read_ = 0;
  int calls_made_ = 0;
  int slip_at_ = -1;
  std::size_t facts_ = 0;                ///< results taken in
  std::optional<std::size_t> solved_at_;  ///< facts_ when optimum_ was found
  std::optional<Cell> optimum_;
  bool limited_ = false;                 ///< the last search ended at its limit, so that nothing is proved
  bool first_ = true;
};

}  // namespace gauntlet

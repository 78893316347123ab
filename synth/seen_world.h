#pragma once

// What an agent has observed so far, as a partial world: the same tables, only the rows that were shown, unknown cells where nothing was
// told. Problems compile against it, and evaluation knows which look-ups are settled.

#include <set>
#include <tuple>

#include "synth/planner.h"

namespace gauntlet {

class SeenWorld : public Completeness {
 public:
  explicit SeenWorld(const Planner& planner);

  /// A name that the task's text states; `table` holds it.
  void learn_name(int table, const std::string& name);

  /// Takes in a successful call's result. Results of tools without a declared reveal teach nothing.
  void record(const PlannedCall& call, const Json& result);

  const World& world() const { return world_; }
  /// True if every row with these cells was shown.
  bool rows_known(int table, std::span<const int> columns, std::span<const Cell> values) const override;
  /// True if the table's lister was called for these arguments.
  bool called(const PlannedCall& call) const { return calls_.contains({call.tool, call.text()}); }

 private:
  int row_for(int table, const std::string& key);
  int append_row(int table);
  Cell parse_cell(const WorldColumn& column, const Json& value);
  void record_row(const Reveal& reveal, const PlannedCall& call, const Json& item);

  const Planner& planner_;
  World world_;
  std::set<std::tuple<int, std::vector<int>, std::vector<Cell>>> complete_;
  std::set<std::pair<int, std::string>> calls_;
};

}  // namespace gauntlet

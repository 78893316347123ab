#pragma once

// Which tool call shows which facts, derived from the `reveals` that the spec declares: how the oracle explores, and what the least
// number of calls is that shows all an answer rests on.

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "envs/env_spec.h"
#include "verifiers/evidence.h"

namespace gauntlet {

/// RevealSpec with names resolved to numbers of spec.entities and their columns (the same as a built world's tables and columns).
struct Reveal {
  int tool = -1;                                   ///< of spec.tools
  int table = -1;
  int key_column = -1;                             ///< of the table; -1 if its rows have no key
  std::vector<std::pair<std::string, int>> given;  ///< argument, column
  std::string keywords;
  std::vector<int> shows;                          ///< columns of the result (all that keywords may ask for)

  bool gives(int column) const;
  bool shows_column(int column) const;
  /// Lists rows by name (as opposed to telling about a row whose name is given).
  bool lists_rows() const;
};

struct PlannedCall {
  int tool = -1;
  Json arguments = Json::object();

  std::string text() const { return dump_json(arguments); }
  bool operator==(const PlannedCall& other) const { return tool == other.tool && arguments == other.arguments; }
};

class Planner {
 public:
  explicit Planner(const EnvSpec& spec);

  const EnvSpec& spec() const { return *spec_; }
  const std::vector<Reveal>& reveals() const { return reveals_; }
  /// The declared reveal of a tool, or null.
  const Reveal* of_tool(int tool) const;

  /// A tool that lists rows of the table for given cells of these columns; the one with the fewest arguments.
  const Reveal* lister(int table) const;
  /// These tables, and those whose rows their listers take as arguments (a library's branches, where only books are asked for).
  std::set<int> with_parents(std::set<int> tables) const;
  /// The call that tells `columns` of the row with this key, or nothing.
  std::optional<PlannedCall> tell(int table, const std::string& key, const std::vector<int>& columns) const;
  /// The call that settles a look-up in a relation, its cells as JSON; nothing if no tool is given by some of these columns.
  std::optional<PlannedCall> look_up(int table, const std::vector<int>& columns, const std::vector<Json>& cells) const;
  std::optional<PlannedCall> list(int table, const std::vector<std::pair<int, Json>>& given) const;

  /// The least number of calls, the submission included, after which every name of the answer and every fact that its verdict rests on
  /// has been seen. `told` are names that the task's text gives away. Nothing if some fact cannot be seen through tools.
  std::optional<int> count_calls(const CompiledProblem& problem, const std::vector<SlotValue>& answer, const std::set<std::string>& told) const;

 private:
  const EnvSpec* spec_;
  std::vector<Reveal> reveals_;
};

/// Row names that occur as constants in the problem: the prompt states them.
std::set<std::string> told_names(const Problem& problem, const World& world);

/// A cell as a tool argument or as found in a result.
Json cell_argument(const World& world, const WorldColumn& column, Cell cell);

}  // namespace gauntlet

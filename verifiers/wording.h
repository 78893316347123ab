#pragma once

// Values and predicates as text within one sentence. Two trees that mean different things never read the same: whatever is compound
// stands in brackets inside something else, and an alternative names its options by letter.

#include <string>
#include <vector>

#include "envs/env_spec.h"
#include "verifiers/phrases.h"
#include "verifiers/problem.h"

namespace gauntlet {

enum class Mood { Must, Is };  ///< a demand, or a statement inside a condition

/// Problem and spec must outlive it. Cheap to make.
class Wording {
 public:
  Wording(const Problem& problem, const EnvSpec& spec, const std::string& language);

  /// Under the heading of a group its slots are named without the group. "" for none.
  void set_heading(const std::string& group) { heading_ = group; }

  const Phrases& phrases() const { return phrases_; }
  const SlotSpec& slot(const std::string& id) const { return problem_.slots[static_cast<std::size_t>(problem_.find_slot(id))]; }
  /// Distinct groups in the order of the slots.
  const std::vector<std::string>& groups() const { return groups_; }

  std::string predicate(const Node& node, Mood mood) const;
  std::string value(const Node& node) const;
  /// In brackets if it is compound.
  std::string inner(const Node& node, Mood mood) const;
  std::string slot_name(const std::string& id) const;
  /// How the column is called: its label, or its name with spaces.
  std::string label(const std::string& table, const std::string& column) const;
  /// "day 1 and day 2", "day 1 to day 7"
  std::string groups_text(const std::vector<std::string>& groups) const;
  std::string option(std::size_t index, const std::string& text) const;

 private:
  /// Terms that say the same of some nouns in every one of several groups.
  struct Repeated {
    std::vector<std::string> groups;
    std::vector<const Node*> terms;  ///< those of the first group
  };

  bool is_date(const Node& node) const;
  bool reads_one_row(const Node& node) const;
  const ColumnSpec* column_of(const Node& node) const;
  std::string entity_text(const std::string& table) const;
  std::string unit_of(const Node& node) const;
  std::string constant(const Constant& constant, const std::string& unit) const;
  std::string comparison(const Node& left, CompareOp op, const Node& right, bool with_unit) const;
  std::string compare(const Node& node, Mood mood) const;
  std::string bracket(const Node& node, Mood mood) const;
  std::string member(const Node& node, Mood mood) const;
  std::string all_different(const Node& node, Mood mood) const;
  std::string conjunction(const Node& node, Mood mood) const;
  std::string conditional(const Node& node, Mood mood) const;
  std::string negation(const Node& node, Mood mood) const;
  std::string matches(const Node& node) const;
  std::string options(const std::vector<Node>& children) const;
  std::string operand(const Node& node) const;
  std::string operands(const std::vector<Node>& children) const;
  std::string aggregate(const Node& node, std::string_view key, std::string_view repeated_key) const;
  std::string link(const Node& node) const;
  bool find_repeated(const std::vector<Node>& children, Repeated& out) const;
  std::string term_without_group(const Node& node) const;

  const Problem& problem_;
  const EnvSpec& spec_;
  Phrases phrases_;
  std::vector<std::string> groups_;
  std::string heading_;
};

/// Two bounds on one value, lower then upper: said as one.
bool is_bracket(const Node& node);
/// Reads without brackets inside another sentence.
bool is_simple(const Node& node);
/// First letter in upper case, if it is an ASCII letter.
std::string capitalised(std::string text);

}  // namespace gauntlet

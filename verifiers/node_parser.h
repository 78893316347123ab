#pragma once

// Reads nodes of the constraint tree from JSON (the form is specified in problem.h): shape, arity and the types of operands.

#include <string>
#include <vector>

#include "verifiers/problem.h"

namespace gauntlet {

/// Reads any number of nodes of one problem; the limit on nodes is over all of them. Every function throws Error(Input) with
/// the JSON pointer of what is wrong.
class NodeParser {
 public:
  /// Without a problem, slots are taken as they come and their types are unknown. The problem must outlive the parser.
  explicit NodeParser(const Problem* problem) : problem_(problem) {}

  Node predicate(const Json& json, const std::string& path);
  Node value(const Json& json, const std::string& path);
  Node value_or_predicate(const Json& json, const std::string& path);
  /// A value with an order: what can be minimised or maximised.
  Node ordered_value(const Json& json, const std::string& path);

 private:
  /// What a value is, as far as that can be told without a world.
  enum class Type { Unknown, Number, Date, Boolean, Text };
  enum class Wanted { Predicate, Value, Either };

  Node parse(const Json& json, const std::string& path, Wanted wanted);
  void read_value(const Json& json, const std::string& path, Node& node);
  void read_predicate(const Json& json, const std::string& path, Node& node);
  void read_member(const Json& json, const std::string& path, Node& node);
  void read_at_least(const Json& json, const std::string& path, Node& node);
  void read_relation(const Json& json, const std::string& form, const std::string& path, Node& node);
  std::vector<Node> operands(const Json& list, const std::string& path, Wanted wanted);
  std::vector<Node> pair(const Json& list, const std::string& path);
  std::string slot(const Json& object, std::string_view key, const std::string& path) const;
  Type type_of(const Node& node) const;
  void check_compare(const Node& node, const std::string& path) const;
  void check_operands(const Node& node, const std::string& path) const;
  static std::string_view type_text(Type type);

  const Problem* problem_;
  int depth_ = 0;
  int nodes_ = 0;
};

}  // namespace gauntlet

#pragma once

// What a task asks, as data: decision slots, a tree of typed constraint nodes, and an optional objective. From this one source come
// the prompt (render.h), the verdict (verify.h), the solver's propagation (compiled.h, synth/solver.h) and the near-miss answers
// (mutants.h). The JSON form is specified here and by verifiers/problem.schema.json.
//
// Slots: {"id": "day1.hotel", "path": "/0/hotel", "group": "day 1", "noun": "hotel", DOMAIN, "within"?: {COLUMN: SLOT}}
//   DOMAIN is one of  "entity": NAME              the answer names a row by its key
//                     "texts": [TEXT, …]          the answer is one of these
//                     "dates": {"from", "to"}     "YYYY-MM-DD", both included
//                     "integers": {"from", "to"}  both included
//   "within": {"city": "day1.city"} means attr(city of this slot) == that slot; it is a constraint like any other, kept with the
//   slot because it is how the slots hang together.
// Values:     {"const": 800 | "train" | true}   {"const": "2025-10-01", "type": "date"}
//             {"slot": ID}                      the row (or value) that the slot holds
//             {"attr": COLUMN, "of": ID}        a column of the slot's row
//             {"link": TABLE, "match": {COLUMN: VALUE, …}, "attr": COLUMN, "agg": "min"|"max"|"sum"}   over the matching rows; no row: undefined.
//                                               A text needs columns that name one row.
//             {"sum": [VALUE…]} {"min": […]} {"max": […]} {"count": [PREDICATE…]} {"difference": [A, B]}  (dates: in days)
// Predicates: {"==": [A, B]} and !=, <, <=, >, >=      {"in": [VALUE, [CONST…]]}      {"all_different": [VALUE…]}
//             {"linked": TABLE, "match": {COLUMN: VALUE, …}}      at least one row of TABLE matches
//             {"if": P, "then": P, "else"?: P}   {"all": [P…]}   {"any": [P…]}   {"at_least": N, "of": [P…]}   {"not": P}
// A predicate over an undefined value is false (so is its comparison either way; "not" of it is true).
// Objective:  {"minimise": VALUE} or {"maximise": VALUE}: only answers that satisfy everything and reach the optimum pass.

#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "envs/world.h"

namespace gauntlet {

enum class NodeKind {
  Const, SlotValue, Attribute, Link, Sum, Min, Max, Count, Difference,      // values
  Compare, Member, AllDifferent, Linked, IfThenElse, AllOf, AnyOf, AtLeast, Not  // predicates
};

bool is_predicate(NodeKind kind);

enum class CompareOp { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual };
enum class Aggregate { Min, Max, Sum };

enum class ConstType { Number, Date, Boolean, Text };

struct Constant {
  ConstType type = ConstType::Number;
  Cell number = 0;          ///< Number, Date and Boolean in thousandths (envs/world.h)
  std::string text;         ///< Text

  bool operator==(const Constant&) const = default;
};

struct Node {
  NodeKind kind = NodeKind::Const;
  CompareOp op = CompareOp::Equal;        ///< Compare
  Constant constant;                      ///< Const
  std::string slot;                       ///< SlotValue, Attribute
  std::string column;                     ///< Attribute, Link: the column read
  std::string table;                      ///< Link, Linked
  Aggregate aggregate = Aggregate::Min;   ///< Link
  std::vector<std::string> match_columns; ///< Link, Linked: one for each child
  std::vector<Constant> members;          ///< Member
  int at_least = 0;                       ///< AtLeast
  std::vector<Node> children;             ///< operands in order; IfThenElse: condition, then, else (2 or 3); Compare, Difference: 2

  bool operator==(const Node&) const = default;
};

enum class SlotDomain { Entity, Texts, Dates, Integers };

struct SlotSpec {
  std::string id;
  std::string path;                       ///< JSON pointer into the answer
  std::string group;                      ///< "day 1"; empty if the slot stands alone
  std::string noun;                       ///< "hotel", "evening restaurant"
  SlotDomain domain = SlotDomain::Entity;
  std::string entity;
  std::vector<std::string> texts;
  std::int64_t from = 0, to = 0;          ///< Dates: days since 1970-01-01; Integers: plain
  std::vector<std::pair<std::string, std::string>> within;  ///< column of this slot's row, slot that it equals

  bool operator==(const SlotSpec&) const = default;
};

enum class ObjectiveSense { None, Minimise, Maximise };

struct Problem {
  std::vector<SlotSpec> slots;
  std::vector<Node> constraints;          ///< all must hold
  ObjectiveSense sense = ObjectiveSense::None;
  Node objective;                         ///< a value; meaningless when sense is None

  int find_slot(std::string_view id) const;  ///< -1 if absent

  bool operator==(const Problem&) const = default;
};

/// Checks shape, names of slots, arity and types of operands. Nesting at most 64, nodes at most 20,000. Throws Error(Input) with the
/// JSON pointer, what was found and what is accepted. Columns and tables are checked when it is compiled against a world.
Problem parse_problem(const Json& value, const std::string& path);
Json to_json(const Problem& problem);
Node parse_node(const Json& value, const std::string& path);
Json to_json(const Node& node);

/// verifiers/problem.schema.json, for programs that write problems. parse_problem accepts nothing that it refuses, and has the better
/// messages: a schema can only say that a node is none of two dozen forms.
Json problem_schema();

/// The `within` rules of all slots as Compare nodes, in slot order.
std::vector<Node> within_constraints(const Problem& problem);

}  // namespace gauntlet

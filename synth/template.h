#pragma once

// Task templates: JSON with holes, as domain files write them (docs/domains.md). Expansion draws the random parts, repeats and samples
// pieces, and fits thresholds to a planted answer, so that a domain needs no code.
//
//   "{name}" "{d-1}"            a variable, or one plus or minus a whole number, inside any string
//   "{=days-1}"                 the whole string: an integer
//   "{@name}"                   the whole string: a value bound by "$let"
//   {"$use": FRAGMENT}          the fragment of that name                 {"$splice": FRAGMENT}  the same, joined into the array around
//   {"$int": [a, b]}            a random integer                          {"$number": [a, b, step]}  a random number
//   {"$date": [from, to]}       a random date                             {"$date_plus": [date, days]}
//   {"$word": LIST}             a random word of the locale               {"$pick": [A, B, …]}  one of them
//   {"$let": {name: T}, "in": T}
//   {"$fit": {"of": VALUE, "side": "above"|"below", "slack": [a, b], "round": r, "when"?: PREDICATE, "otherwise"?: T}}
//                               a threshold that the planted answer meets: the value there, moved away by the slack, rounded outwards
// In arrays only:  {"$for": "d", "from": a, "to": b, "do": […]}   {"$if": [a, OP, b], "do": […]}, OP one of > < ==
//                  {"$maybe": per_million, "do": […]}
//                  {"$sample": n | [a, b], "of": […]}    n different ones, in their order
// A form is the first member of its object. (In another place an array-only form gives the array of what it makes.)

#include <map>
#include <string>
#include <vector>

#include "core/rng.h"
#include "envs/env_spec.h"
#include "verifiers/problem.h"

namespace gauntlet {

/// What "$fit" measures; null while no answer is planted yet. With a problem and no answer every value counts as 0: enough to try a template.
struct PlantedAnswer {
  const Problem* problem = nullptr;
  const World* world = nullptr;
  const Json* answer = nullptr;
};

/// The branches of a template in turn, in place of chance: a few expansions see all of them.
class BranchTurns {
 public:
  /// Which of `count` branches at this place of the template it is now.
  std::size_t next(const Json& place, std::size_t count);
  /// Whether each branch of every place that was come to has been taken.
  bool all_taken() const;

 private:
  struct Turn {
    std::size_t count = 0, taken = 0;
  };
  std::map<const Json*, Turn> turns_;
};

class Template {
 public:
  /// `fragments` and `turns` must outlive it. Without turns, branches are drawn.
  Template(const EnvSpec& spec, const Json& fragments, Rng rng, BranchTurns* turns = nullptr);

  void set_variable(const std::string& name, Json value) { variables_[name] = std::move(value); }
  void set_planted(const PlantedAnswer& planted) { planted_ = planted; }

  /// Throws Error(Input) with the path inside the document.
  Json expand(const Json& value, const std::string& path);
  /// An array, or a form that gives one, with the place in the document that each element of the result stands at.
  Json expand_list(const Json& list, const std::string& path, std::vector<std::string>& places);
  /// Placeholders only.
  std::string interpolate(const std::string& text, const std::string& path) const;

 private:
  /// Counts one level of nesting while it lives; refuses too many levels or values.
  class Nesting {
   public:
    Nesting(Template& owner, const std::string& path);
    ~Nesting() { --owner_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Template& owner_;
  };

  const Json& variable(const std::string& name, const std::string& path) const;
  const Json& find_fragment(const Json& name, const std::string& path) const;
  std::size_t branch(const Json& place, std::size_t count);
  Json expand_object(const Json& value, const std::string& path);
  void expand_into(const Json& item, Json& out, const std::string& path, std::vector<std::string>* places);
  Json fit(const Json& value, const std::string& path);
  Json special(const std::string& form, const Json& value, const std::string& path);
  std::int64_t integer(const Json& value, const std::string& path);
  Cell cell(const Json& value, const std::string& path);

  const EnvSpec& spec_;
  const Json& fragments_;
  Rng rng_;
  BranchTurns* turns_;
  std::map<std::string, Json> variables_;
  std::map<std::string, Json> bound_;
  PlantedAnswer planted_;
  int depth_ = 0;
  std::int64_t expanded_ = 0;
};

}  // namespace gauntlet

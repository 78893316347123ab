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

#include "core/rng.h"
#include "envs/env_spec.h"
#include "verifiers/problem.h"

namespace gauntlet {

/// What "$fit" measures; null while no answer is planted yet.
struct PlantedAnswer {
  const Problem* problem = nullptr;
  const World* world = nullptr;
  const Json* answer = nullptr;
};

class Template {
 public:
  /// `fragments` must outlive it.
  Template(const EnvSpec& spec, const Json& fragments, Rng rng);

  void set_variable(const std::string& name, Json value) { variables_[name] = std::move(value); }
  const Json& variable(const std::string& name) const;
  void set_planted(const PlantedAnswer& planted) { planted_ = planted; }

  /// Throws Error(Input) with the path inside the template.
  Json expand(const Json& value, const std::string& path);
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

  Json expand_object(const Json& value, const std::string& path);
  void expand_into(const Json& item, Json& out, const std::string& path);
  Json fit(const Json& value, const std::string& path);
  Json special(const std::string& form, const Json& value, const std::string& path);
  std::int64_t integer(const Json& value, const std::string& path);
  Cell cell(const Json& value, const std::string& path);

  const EnvSpec& spec_;
  const Json& fragments_;
  Rng rng_;
  std::map<std::string, Json> variables_;
  std::map<std::string, Json> bound_;
  PlantedAnswer planted_;
  int depth_ = 0;
  std::int64_t expanded_ = 0;
};

}  // namespace gauntlet

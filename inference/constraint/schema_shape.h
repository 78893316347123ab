#pragma once

// JSON Schemas taken apart: what all the schemas that one value must satisfy say together.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "inference/constraint/grammar_limits.h"
#include "inference/constraint/number_language.h"

namespace gauntlet {

enum JsonTypes : unsigned {
  kNullType = 1,
  kBooleanType = 2,
  kObjectType = 4,
  kArrayType = 8,
  kStringType = 16,
  kIntegerType = 32,
  kFractionType = 64,  ///< numbers that are not integers
  kNumberType = kIntegerType | kFractionType,
  kAllTypes = 127,
};

/// A schema inside the document, with its JSON pointer for errors.
struct SchemaPart {
  const Json* schema = nullptr;
  std::string path;
};

/// Only annotations, if anything.
bool says_nothing(const Json& schema);

/// Schemas that must all hold; none: anything.
using Conjunction = std::vector<SchemaPart>;

/// All that a conjunction says, without references and alternatives.
struct SchemaShape {
  struct Text {
    std::string value;
    std::string path;
  };
  struct Property {
    std::string name;
    Conjunction value;
  };
  /// What one schema says about the properties of an object that it does not name.
  struct Closing {
    std::set<std::string> names;             ///< that it does name
    std::optional<SchemaPart> additional;    ///< absent: anything
  };

  unsigned types = kAllTypes;
  std::optional<std::vector<Json>> values;   ///< enum, const
  NumberBounds numbers;
  std::uint64_t min_length = 0, max_length = UINT64_MAX;
  std::vector<Text> patterns, formats;
  std::vector<Conjunction> prefix;           ///< of arrays, by position
  Conjunction items;                         ///< of the positions after the prefix
  std::uint64_t min_items = 0, max_items = UINT64_MAX;
  std::vector<Property> properties;          ///< in the order in which the schemas name them
  std::vector<std::string> required;         ///< each once
  std::vector<Closing> closings;
  std::uint64_t min_properties = 0, max_properties = UINT64_MAX;
  std::string path;                          ///< of the first schema

  bool requires_property(const std::string& name) const;
  /// What the schemas together say of a property, named or not.
  Conjunction property(const std::string& name) const;
  /// Of properties that none of them names. Absent: no schema says anything about them, so that they are allowed, but not asked for.
  std::optional<Conjunction> additional() const;
};

/// The document's schemas. Throws Error(Usage) naming path and keyword for everything that is not supported; see docs/constrained-decoding.md.
class SchemaReader {
 public:
  /// `schema` must outlive it. `what` names it in errors.
  SchemaReader(const Json& schema, std::string what, const GrammarLimits& limits);

  Conjunction root() const { return {{&schema_, ""}}; }
  /// A value satisfies the conjunction if it has one of the shapes.
  std::vector<SchemaShape> shapes(const Conjunction& conjunction) const;
  /// Whether the value satisfies the conjunction.
  bool allows(const Conjunction& conjunction, const Json& value, int depth = 0) const;
  bool allows(const SchemaShape& shape, const Json& value, int depth = 0) const;
  /// Whether it is certain that no value has both shapes.
  bool disjoint(const SchemaShape& a, const SchemaShape& b, int depth = 0) const;
  /// The strings that the shape's lengths, patterns and formats allow. Throws Error(Usage) beyond the limit of pattern_states.
  CharLanguage strings(const SchemaShape& shape) const;

  std::string at(const std::string& path) const { return what_ + (path.empty() ? "" : " " + path); }

 private:
  struct Group {
    const Json* list = nullptr;
    std::string path;
    bool exactly_one = false;
  };
  struct Reading;
  struct Choices {
    std::map<const Json*, std::size_t> of;  ///< list of alternatives to the chosen one
    std::size_t steps = 0;
  };

  void collect(const Conjunction& conjunction, Choices& choices, std::vector<SchemaShape>& out) const;
  void require_disjoint(const Group& group, const std::vector<std::vector<SchemaShape>>& alternatives) const;
  void read(Reading& reading, const SchemaPart& part) const;
  void read_keyword(Reading& reading, const SchemaPart& part, const std::string& keyword, const Json& value) const;
  bool read_value_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) const;
  bool read_object_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) const;
  SchemaPart resolve(const std::string& reference, const std::string& path) const;
  SchemaPart child(const SchemaPart& part, const std::string& keyword, const Json& value) const;
  [[noreturn]] void refuse(const std::string& path, const Json& found, const std::string& accepted) const;

  const Json& schema_;
  std::string what_;
  GrammarLimits limits_;
};

}  // namespace gauntlet

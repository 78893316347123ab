#pragma once

// JSON Schemas taken apart: what all the schemas that one value must satisfy say together.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/json.h"
#include "inference/constraint/budget.h"
#include "inference/constraint/char_language.h"
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

/// All that a conjunction says, without references and alternatives. Names, texts and values are those of the document.
struct SchemaShape {
  struct Text {
    std::string_view value;
    std::string path;
  };
  struct Property {
    std::string_view name;
    Conjunction value;
  };
  /// What one schema says about the properties of an object that it does not name.
  struct Closing {
    std::shared_ptr<const std::unordered_set<std::string_view>> names;  ///< that it does name; shared by all shapes that read this schema
    std::optional<SchemaPart> additional;    ///< absent: anything
  };

  struct Values {
    std::vector<const Json*> list;
    std::unordered_set<std::string> keys;    ///< value_key() of each
  };

  unsigned types = kAllTypes;
  std::shared_ptr<const Values> values;      ///< enum, const; null: any. Shared by all shapes that read this schema
  NumberBounds numbers;
  std::uint64_t min_length = 0, max_length = UINT64_MAX;
  std::vector<Text> patterns, formats;
  std::vector<Conjunction> prefix;           ///< of arrays, by position
  Conjunction items;                         ///< of the positions after the prefix
  std::uint64_t min_items = 0, max_items = UINT64_MAX;
  std::vector<Property> properties;          ///< in the order in which the schemas name them
  std::unordered_map<std::string_view, std::size_t> positions;  ///< of each name in properties
  std::vector<std::string_view> required;    ///< each once
  std::unordered_set<std::string_view> required_names;
  std::vector<Closing> closings;
  std::uint64_t min_properties = 0, max_properties = UINT64_MAX;
  std::string path;                          ///< of the first schema

  bool requires_property(std::string_view name) const { return required_names.contains(name); }
  /// What the schemas together say of a property, named or not.
  Conjunction property(std::string_view name) const;
  /// Of properties that none of them names. Absent: no schema says anything about them, so that they are allowed, but not asked for.
  std::optional<Conjunction> additional() const;
};

/// The same text for equal values only: 1 and 1.0 are equal, and the order of members says nothing.
std::string value_key(const Json& value);

/// The document's schemas; what was found out is kept. Throws Error(Usage) naming path and keyword for everything that is not supported; see docs/constrained-decoding.md.
class SchemaReader {
 public:
  /// `schema` and `budget` must outlive it. `what` names it in errors.
  SchemaReader(const Json& schema, const std::string& what, const GrammarLimits& limits, Budget& budget);

  Conjunction root() const { return {{&schema_, ""}}; }
  /// A value satisfies the conjunction if it has one of the shapes. They stay where they are.
  const std::vector<SchemaShape>& shapes(const Conjunction& whole);
  /// The same without schemas that are nothing but a reference, or that say nothing: those that mean the same are then the same.
  Conjunction direct(const Conjunction& conjunction);
  /// shape.property(name), counted.
  Conjunction property(const SchemaShape& shape, std::string_view name);
  /// Whether the value, which is one of the document's, satisfies the conjunction.
  bool allows(const Conjunction& conjunction, const Json& value);
  bool allows(const SchemaShape& shape, const Json& value);
  /// Whether the value is of the types and has all of the shape but its enum.
  bool fits(const SchemaShape& shape, unsigned types, const Json& value);
  /// The strings that the shape's lengths, patterns and formats allow. Throws Error(Usage) beyond the limit of pattern_states.
  const CharLanguage& strings(const SchemaShape& shape);

  /// For errors: what the schema is, and the place in it. Long ones are cut.
  std::string at(const std::string& path) const;

 private:
  using Shapes = std::vector<SchemaShape>;
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

  /// The shapes of an oneOf's alternatives, which must exclude each other: those of alternative i are first[i] to first[i + 1] of the list.
  struct Exclusion {
    const Shapes* shapes = nullptr;
    std::string path;
    std::vector<std::size_t> first;
  };

  void collect(const Conjunction& conjunction, Choices& choices, Shapes& out, std::vector<Exclusion>& exclusions);
  void check_exclusions();
  void require_disjoint(const Exclusion& exclusion);
  /// Whether it is certain that no value has both shapes.
  bool disjoint(const SchemaShape& a, const SchemaShape& b, int depth);
  bool disjoint(const Shapes& xs, const Shapes& ys, int depth);
  void read(Reading& reading, const SchemaPart& part);
  void read_keyword(Reading& reading, const SchemaPart& part, const std::string& keyword, const Json& value);
  bool read_value_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value);
  bool read_object_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value);
  enum class Allowed { It, ItsItems };
  void read_values(SchemaShape& shape, const Json& value, Allowed allowed);
  std::shared_ptr<const std::unordered_set<std::string_view>> names_of(const Json& properties);
  /// Null: none. Large objects are indexed: this kind of object is a list.
  const Json* member(const Json& object, std::string_view name);
  SchemaPart resolve(const std::string& reference, const std::string& path);
  SchemaPart child(const SchemaPart& part, const std::string& keyword, const Json& value) const;
  [[noreturn]] void refuse(const std::string& path, const Json& found, const std::string& accepted) const;

  const Json& schema_;
  std::string what_;
  GrammarLimits limits_;
  Budget& budget_;
  std::map<std::vector<const Json*>, std::unique_ptr<Shapes>> shapes_;
  std::vector<Exclusion> exclusions_;  ///< to be checked
  bool checking_ = false;
  std::map<std::pair<const Shapes*, const Json*>, bool> allowed_;
  std::map<std::tuple<const Shapes*, const Shapes*, int>, bool> disjoint_;
  std::map<std::tuple<std::vector<const char*>, std::uint64_t, std::uint64_t>, CharLanguage> strings_;  ///< by patterns and formats, least and most characters
  std::unordered_map<const Json*, std::shared_ptr<const SchemaShape::Values>> values_;
  std::unordered_map<const Json*, std::shared_ptr<const std::unordered_set<std::string_view>>> names_;
  std::unordered_map<const Json*, std::unordered_map<std::string_view, const Json*>> members_;
};

}  // namespace gauntlet

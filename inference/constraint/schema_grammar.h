#pragma once

// From a JSON Schema to rules of a grammar.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/reply_grammar.h"
#include "inference/constraint/grammar.h"
#include "inference/constraint/schema_shape.h"
#include "inference/constraint/text_rules.h"

namespace gauntlet {

/// Adds to a builder, which must outlive it, as must the schema. Everything throws Error(Usage) for a schema that is not supported, naming path
/// and keyword.
class SchemaGrammar {
 public:
  /// What is written holds none of the texts `without`, in bytes.
  SchemaGrammar(GrammarBuilder& builder, const Json& schema, const std::string& what, std::vector<std::string> without = {});

  /// A value as JSON.
  RuleId json();
  /// An object as tags.
  RuleId tags(const TagSpelling& spelling);

 private:
  /// Rules are filled by fill(), one after another: chains of schemas can be long.
  RuleId value(const Conjunction& conjunction, unsigned types);
  void fill();
  void add_json(StateId from, const SchemaShape& shape, unsigned types, StateId to);
  void add_values(StateId from, const SchemaShape& shape, unsigned types, Spelling spelling, StateId to);
  void add_constant(StateId from, const Json& value, StateId to);
  void add_string(StateId from, const SchemaShape& shape, Spelling spelling, StateId to);
  void add_number(StateId from, const SchemaShape& shape, unsigned types, StateId to);
  RuleId array(const SchemaShape& shape);
  RuleId object(const SchemaShape& shape);
  void add_tags(StateId from, const SchemaShape& shape, const TagSpelling& spelling, StateId to);
  void add_tag(StateId from, const SchemaShape::Property& property, const TagSpelling& spelling, StateId to);
  /// The properties that may be written by name, in their order.
  std::vector<SchemaShape::Property> named(const SchemaShape& shape);
  void check_property_counts(const SchemaShape& shape, std::size_t names, bool open) const;
  void check_text(std::string_view text, const std::string& path) const;

  RuleId space();
  RuleId json_content();
  RuleId free_text();
  RuleId json_char();
  RuleId raw_char();
  /// Characters of which no text of `without` can be made.
  CharSet safe_chars() const;

  GrammarBuilder& builder_;
  SchemaReader reader_;
  std::vector<std::string> without_;
  struct Pending {
    Conjunction conjunction;
    unsigned types = 0;
    RuleId rule = 0;
  };
  std::map<std::pair<std::vector<const Json*>, unsigned>, RuleId> values_;
  std::vector<Pending> pending_;
  std::optional<RuleId> space_, json_content_, free_text_, json_char_, raw_char_, number_, integer_;
};

}  // namespace gauntlet

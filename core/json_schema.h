#pragma once

// JSON Schema (draft 2020-12), the subset that this project's own schemas use: type, enum, const, properties, required,
// additionalProperties, items, minItems, maxItems, uniqueItems, minimum, maximum, exclusiveMinimum, exclusiveMaximum,
// minLength, maxLength, pattern (core/text_pattern.h), anyOf, oneOf, allOf, not, $ref to "#/$defs/NAME" or "#", and format
// "date". Annotations are allowed and ignored.

#include <memory>
#include <string>
#include <vector>

#include "core/json.h"

namespace gauntlet {

class JsonSchema {
 public:
  /// Throws Error(Input) for a keyword outside the subset, a malformed keyword, or a reference that leads nowhere: a rule is
  /// never ignored. `what` names the schema in errors.
  JsonSchema(Json schema, const std::string& what);
  ~JsonSchema();
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;

  /// What is wrong with the value, each as "/tools/3/name: found 12; accepted: a string"; empty if it is valid. Stops at
  /// `limit` problems.
  std::vector<std::string> problems(const Json& value, std::size_t limit = 50) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet

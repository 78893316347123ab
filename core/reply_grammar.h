#pragma once

// What a reply must look like, in words that formats (agent/) write and the engine (inference/) compiles to masks of tokens.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"

namespace gauntlet {

/// How an object is written as one tag for each member: before_name NAME text_value STRING close, or before_name NAME json_value JSON close.
struct TagSpelling {
  std::string before_name;
  std::string text_value;  ///< a string follows as it is
  std::string json_value;  ///< any other value follows as JSON
  std::string close;
  std::string none;        ///< in place of the members when there is none
};

/// A tree. Special tokens whose text stands in a Literal or in a TagSpelling are matched as tokens; nothing else ever matches one, so what a client
/// named must be Plain.
struct ReplyGrammar {
  enum class Kind {
    Literal,   ///< `text`, which is the format's own
    Plain,     ///< `text` as ordinary characters
    Text,      ///< any text that holds none of `without`
    Value,     ///< a value that satisfies `schema`, as JSON
    Tags,      ///< an object that satisfies `schema`, as `tags`; values hold none of `without`
    Sequence,  ///< all `parts` in order
    Choice,    ///< one of `parts`
    Repeat,    ///< parts[0], `least` to `most` times
  };

  Kind kind = Kind::Sequence;
  std::string text;
  std::vector<std::string> without;
  Json schema;
  std::string what;  ///< names the schema in errors
  TagSpelling tags;
  std::vector<ReplyGrammar> parts;
  int least = 0, most = 0;

  static ReplyGrammar literal(std::string text) { return {.kind = Kind::Literal, .text = std::move(text)}; }
  static ReplyGrammar plain(std::string text) { return {.kind = Kind::Plain, .text = std::move(text)}; }
  static ReplyGrammar free_text(std::vector<std::string> without) { return {.kind = Kind::Text, .without = std::move(without)}; }
  static ReplyGrammar json(Json schema, std::string what) { return {.kind = Kind::Value, .schema = std::move(schema), .what = std::move(what)}; }
  static ReplyGrammar sequence(std::vector<ReplyGrammar> parts) { return {.kind = Kind::Sequence, .parts = std::move(parts)}; }
  static ReplyGrammar choice(std::vector<ReplyGrammar> parts) { return {.kind = Kind::Choice, .parts = std::move(parts)}; }
};

enum class ToolChoice {
  Auto,      ///< text, and calls if the model begins one
  None,      ///< text only
  Required,  ///< at least one call, and no text before it
};

/// What a request asks of the reply.
struct ReplyRules {
  ToolChoice choice = ToolChoice::Auto;
  std::string tool;             ///< with Required: only this one; empty: any
  int most_calls = 32;          ///< in one reply; 1: no parallel calls
  std::optional<Json> answer;   ///< the JSON Schema of the text; none: free text
};

}  // namespace gauntlet

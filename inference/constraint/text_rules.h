#pragma once

// Rules for text: free text, and strings as JSON or as they are. What they match is valid UTF-8.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/constraint/char_language.h"
#include "inference/constraint/grammar.h"

namespace gauntlet {

enum class Spelling {
  Quoted,  ///< inside quotation marks, with escapes where JSON needs them
  Raw,     ///< as it is
};

/// Text of any length that holds none of `without` (UTF-8, not empty). Control characters but tab, newline and carriage return are left out.
RuleId free_text_rule(GrammarBuilder& builder, std::span<const std::string> without);

/// The content of a JSON string, without the marks, in any spelling that JSON has (no lone surrogates), whose bytes hold none of `without`.
RuleId json_content_rule(GrammarBuilder& builder, std::span<const std::string> without);
/// One character of it; `chars` is what may be written without an escape.
RuleId json_char_rule(GrammarBuilder& builder, const CharSet& chars);
/// One of the characters as it is.
RuleId raw_char_rule(GrammarBuilder& builder, const CharSet& chars);

/// Strings of a language. In JSON a character is written as it is wherever JSON allows that, else by its shortest escape.
void spell(GrammarBuilder& builder, StateId from, const CharLanguage& language, Spelling spelling, StateId to);

/// A JSON string with its marks, spelled in the same way. `text` must be UTF-8.
std::string json_text(std::string_view text);

}  // namespace gauntlet

#pragma once

// tokenizer.json writes its regular expressions in Oniguruma's Ruby syntax. This turns the part of it that tokenizers use into
// PCRE2's syntax with the same meaning, and refuses the rest by name rather than guess.

#include <string>
#include <string_view>

namespace gauntlet {

/// `where` names the pattern in errors. Throws Error(Input) naming the construct that is not supported, or the pattern if it is longer than 16 KiB.
std::string to_pcre2_syntax(std::string_view oniguruma, std::string_view where);

/// A pattern that matches `text` (UTF-8) and nothing else.
std::string literal_pattern(std::string_view text);

}  // namespace gauntlet

#pragma once

// Regular expressions of JSON Schema's "pattern" and "format" as automata over characters.

#include <string>
#include <string_view>

#include "inference/constraint/char_language.h"

namespace gauntlet {

/// ECMA-262 syntax, of which are accepted: characters; "."; classes; the escapes d D w W s S t n r f v 0 xHH uHHHH u{H…} and escaped
/// punctuation; groups "(…)" and "(?:…)" and "(?<name>…)"; "|"; * + ? {n} {n,} {m,n}, greedy or lazy; "^" and "$" at any place. Refused: look-around, back
/// references, \b, \p, flags. As in JSON Schema a match anywhere in the string is enough, unless anchored. Characters are code points.
///
/// Throws Error(Usage) naming what is not accepted, or that the automaton has more than `most` states, or takes more than the budget has. `what` names
/// the schema.
CharLanguage pattern_language(std::string_view pattern, std::size_t most, const std::string& what, Budget& budget);

/// The strings of a format, in its usual spelling: date, time, date-time (years 1000 to 9999, no leap seconds, upper case T and Z), uuid, email
/// (ASCII, dots and the usual characters), ipv4, hostname, uri (http and https). Throws Error(Usage) naming these for another.
CharLanguage format_language(std::string_view format, const std::string& what, Budget& budget);

}  // namespace gauntlet

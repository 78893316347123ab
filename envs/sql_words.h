#pragma once

// The words of an SQL statement, for the few things that SQLite tells nobody before it does them.

#include <string>
#include <string_view>
#include <vector>

namespace gauntlet {

/// Bare words in upper case; every quoted text or name, number and punctuation character as one "" between them. Comments are
/// left out.
std::vector<std::string> sql_words(std::string_view sql);

/// The conflict clause of a statement that has one: "ROLLBACK", "FAIL", "REPLACE", "IGNORE" or "ABORT"; empty if none.
std::string conflict_clause(const std::vector<std::string>& words);

/// An ORDER BY anywhere in it.
bool has_order(const std::vector<std::string>& words);

}  // namespace gauntlet

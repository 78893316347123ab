#include "envs/sql_words.h"

#include <algorithm>

namespace gauntlet {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

/// Where the text that is quoted with `close` ends; a doubled quote stands for itself.
std::size_t end_of_quoted(std::string_view sql, std::size_t at, char close) {
  while (true) {
    at = sql.find(close, at);
    if (at == std::string_view::npos) return sql.size();
    if (close == ']' || at + 1 == sql.size() || sql[at + 1] != close) return at + 1;
    at += 2;
  }
}

}  // namespace

std::vector<std::string> sql_words(std::string_view sql) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < sql.size();) {
    const char c = sql[at];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      const std::size_t end = sql.find("*/", at + 2);
      at = end == std::string_view::npos ? sql.size() : end + 2;
    } else if (c == '\'' || c == '"' || c == '`' || c == '[') {
      at = end_of_quoted(sql, at + 1, c == '[' ? ']' : c);
      words.emplace_back();
    } else if (is_word(c)) {
      std::string word;
      while (at < sql.size() && is_word(sql[at])) word += upper(sql[at++]);
      words.push_back(word[0] >= '0' && word[0] <= '9' ? std::string() : std::move(word));
    } else {
      ++at;
      words.emplace_back();
    }
  }
  return words;
}

std::string conflict_clause(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "REPLACE" && words[i + 1] == "INTO") return "REPLACE";
    const bool conflict = (words[i] == "INSERT" || words[i] == "UPDATE") && words[i + 1] == "OR" && i + 2 < words.size();
    if (conflict) return words[i + 2];
  }
  return "";
}

bool has_order(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "ORDER" && words[i + 1] == "BY") return true;
  }
  return false;
}

}  // namespace gauntlet

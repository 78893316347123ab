#include "verifiers/phrases.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"
#include "embedded/phrases.h"
#include "verifiers/render.h"

namespace gauntlet {

std::vector<std::string> render_languages() {
  std::vector<std::string> languages;
  for (const auto& file : embedded_phrases()) languages.emplace_back(file.name.substr(0, file.name.find('.')));
  return languages;
}

namespace {

using Table = std::map<std::string, std::string, std::less<>>;

/// Parsed once: immutable, and rendering happens thousands of times a second.
const std::map<std::string, Table>& tables() {
  static const std::map<std::string, Table> kTables = [] {
    std::map<std::string, Table> all;
    for (const auto& file : embedded_phrases()) {
      const Json document = parse_json(file.text, file.name);
      Table& table = all[std::string(file.name.substr(0, file.name.find('.')))];
      for (const auto& item : get_object(document, "phrases", "").items()) table[item.key()] = item.value().get<std::string>();
    }
    return all;
  }();
  return kTables;
}

}  // namespace

Phrases::Phrases(const std::string& language) : language_(language) {
  const auto it = tables().find(language);
  if (it == tables().end()) {
    fail(ErrorKind::Usage, fmt::format("there are no phrases for the language \"{}\"; accepted: {}", language, fmt::join(render_languages(), ", ")));
  }
  table_ = &it->second;
}

std::string Phrases::operator()(std::string_view key, Arguments arguments) const {
  const auto it = table_->find(key);
  if (it == table_->end()) fail(ErrorKind::Input, fmt::format("the phrase \"{}\" is missing from the table of language \"{}\"", key, language_));
  // One pass, so that a value which itself holds braces is never taken for a placeholder.
  const std::string& pattern = it->second;
  std::string text;
  for (std::size_t at = 0; at < pattern.size();) {
    const std::size_t open = pattern.find('{', at);
    const std::size_t close = open == std::string::npos ? std::string::npos : pattern.find('}', open);
    if (close == std::string::npos) return text + pattern.substr(at);
    text += pattern.substr(at, open - at);
    const std::string_view name = std::string_view(pattern).substr(open + 1, close - open - 1);
    for (const auto& [placeholder, value] : arguments) {
      if (placeholder == name) text += value;
    }
    at = close + 1;
  }
  return text;
}

std::string Phrases::list(const std::vector<std::string>& items, std::string_view last) const {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? (*this)(last) : (*this)("comma");
    text += items[i];
  }
  return text;
}

}  // namespace gauntlet

#pragma once

// The words of one language, by key, with {placeholders}: all text that problems are rendered with.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gauntlet {

class Phrases {
 public:
  /// Throws Error(Usage) for a language that has no table.
  explicit Phrases(const std::string& language);

  using Arguments = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  /// The phrase with its placeholders filled. Throws Error(Input) naming key and language if the table lacks it.
  std::string operator()(std::string_view key, Arguments arguments = {}) const;

  /// "a", "a and b", "a, b and c"; `last` is the key of what stands before the last item.
  std::string list(const std::vector<std::string>& items, std::string_view last = "and") const;

 private:
  std::string language_;
  const std::map<std::string, std::string, std::less<>>* table_ = nullptr;  ///< static
};

}  // namespace gauntlet

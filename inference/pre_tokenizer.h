#pragma once

// Splitting text into the words that byte-pair encoding works on.

#include <string>
#include <string_view>
#include <vector>

#include "inference/text_matcher.h"

namespace gauntlet {

/// Cuts a piece of text around each match of a pattern.
struct SplitRule {
  std::string pattern;      ///< PCRE2's syntax
  bool keep_matches = true;  ///< what is not kept is dropped from the text
  bool keep_gaps = true;
};

/// GPT-2's pattern, as tokenizer.json's ByteLevel step uses it.
extern const std::string_view kByteLevelPattern;

class PreTokenizer {
 public:
  /// Rules are applied in order, each to every piece that the ones before have made. `where` names them in errors.
  PreTokenizer(const std::vector<SplitRule>& rules, std::string_view where);

  /// Searches with their own scratch memory; made once for a call, not shared by threads.
  class Splitter {
   public:
    Splitter(const PreTokenizer& owner, MatchBudget& budget);
    /// Appends the words of `text` (valid UTF-8), in order; none is empty.
    void split(std::string_view text, std::vector<std::string_view>& words) { apply(0, text, words); }

   private:
    void apply(std::size_t rule, std::string_view text, std::vector<std::string_view>& words);
    const PreTokenizer* owner_;
    std::vector<TextMatcher::Search> searches_;
  };

 private:
  struct Step {
    TextMatcher matcher;
    bool keep_matches;
    bool keep_gaps;
  };
  std::vector<Step> steps_;
};

}  // namespace gauntlet

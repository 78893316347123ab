#include "inference/pre_tokenizer.h"

namespace gauntlet {

const std::string_view kByteLevelPattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

PreTokenizer::PreTokenizer(const std::vector<SplitRule>& rules, std::string_view where) {
  for (const SplitRule& rule : rules) steps_.push_back({TextMatcher(rule.pattern, where), rule.keep_matches, rule.keep_gaps});
}

PreTokenizer::Splitter::Splitter(const PreTokenizer& owner, MatchBudget& budget) : owner_(&owner) {
  for (const Step& step : owner.steps_) searches_.emplace_back(step.matcher, budget);
}

void PreTokenizer::Splitter::apply(std::size_t rule, std::string_view text, std::vector<std::string_view>& words) {
  if (text.empty()) return;
  if (rule == owner_->steps_.size()) {
    words.push_back(text);
    return;
  }
  const Step& step = owner_->steps_[rule];
  std::size_t done = 0;
  while (const auto match = searches_[rule].find(text, done)) {
    if (step.keep_gaps) apply(rule + 1, text.substr(done, match->begin - done), words);
    if (step.keep_matches) apply(rule + 1, text.substr(match->begin, match->end - match->begin), words);
    done = match->end;
  }
  if (step.keep_gaps) apply(rule + 1, text.substr(done), words);
}

}  // namespace gauntlet

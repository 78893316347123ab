#include "inference/constraint/token_masks.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {

TokenMasks::TokenMasks(Grammar grammar, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const VocabularyTrie> trie, const GrammarLimits& limits)
    : grammar_(std::move(grammar)), limits_(limits), tokenizer_(std::move(tokenizer)), trie_(std::move(trie)), sets_(std::make_shared<StateSets>(grammar_, limits)) {}

GrammarPlace TokenMasks::start() {
  const std::lock_guard lock(mutex_);
  return {sets_, sets_->start()};
}

/// Into the present generation, or into a new one if that has grown too large.
void TokenMasks::move(GrammarPlace& place) {
  if (broken_ || sets_->size() > limits_.sets) {
    sets_ = std::make_shared<StateSets>(grammar_, limits_);
    sets_->allow_steps(limits_.steps_per_token);
    broken_ = false;
    kept_.clear();
    by_set_.clear();
  }
  if (place.sets == sets_) return;
  place.set = sets_->adopt(*place.sets, place.set);
  place.sets = sets_;
}

template <typename Use>
auto TokenMasks::limited(std::uint64_t& work, const Use& use) {
  const std::lock_guard lock(mutex_);
  require(work <= limits_.steps_per_request, ErrorKind::Usage, fmt::format("the grammar is too ambiguous: the request takes more than {} steps", limits_.steps_per_request));
  // A new generation counts anew.
  const auto before = sets_;
  const std::uint64_t begin = before->steps();
  const auto count = [&] { work += sets_->steps() - (sets_ == before ? begin : 0); };
  before->allow_steps(limits_.steps_per_token);
  try {
    auto out = use();
    count();
    return out;
  } catch (const Error&) {
    count();
    throw;
  } catch (...) {
    broken_ = true;
    throw;
  }
}

SharedMask TokenMasks::mask(GrammarPlace& place, std::uint64_t& work) {
  return limited(work, [&] { return find_mask(place); });
}

SharedMask TokenMasks::find_mask(GrammarPlace& place) {
  move(place);
  const SetId set = sets_->twin(place.set);
  if (const auto it = by_set_.find(set); it != by_set_.end()) {
    kept_.splice(kept_.begin(), kept_, it->second);
    ++stats_.found;
    return it->second->mask;
  }
  ++stats_.computed;
  kept_.push_front({set, compute(*sets_, set)});
  by_set_[set] = kept_.begin();
  if (kept_.size() > limits_.masks) {
    by_set_.erase(kept_.back().set);
    kept_.pop_back();
  }
  return kept_.front().mask;
}

SharedMask TokenMasks::compute(StateSets& sets, SetId set) {
  std::vector<std::uint64_t> mask((tokenizer_->vocab_size() + 63) / 64, 0);
  const auto allow = [&](std::int32_t id) { mask[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << (static_cast<std::size_t>(id) % 64); };
  for (const auto& [id, next] : sets.tokens(set)) allow(id);

  const auto& nodes = trie_->nodes();
  const auto& tokens = trie_->tokens();
  struct Level {
    std::uint32_t end;
    SetId set;
  };
  std::vector<Level> path = {{static_cast<std::uint32_t>(nodes.size()), set}};
  for (std::uint32_t at = 0; at < nodes.size();) {
    while (at == path.back().end) path.pop_back();
    const auto& node = nodes[at];
    const SetId next = sets.step(path.back().set, node.byte);
    if (next == StateSets::kDead) {
      at = node.after;
      continue;
    }
    for (std::uint32_t t = at == 0 ? 0 : nodes[at - 1].tokens_end; t < node.tokens_end; ++t) allow(tokens[t]);
    if (node.after > at + 1) {
      path.push_back({node.after, next});
    }
    ++at;
  }
  return std::make_shared<const std::vector<std::uint64_t>>(std::move(mask));
}

bool TokenMasks::accept(GrammarPlace& place, std::int32_t id, std::uint64_t& work) {
  return limited(work, [&] { return read(place, id); });
}

bool TokenMasks::read(GrammarPlace& place, std::int32_t id) {
  move(place);
  SetId next = StateSets::kDead;
  for (const auto& [token, after] : sets_->tokens(place.set)) {
    if (token == id) next = after;
  }
  if (next == StateSets::kDead) {
    const std::string_view bytes = tokenizer_->token_bytes(id);
    if (bytes.empty() || tokenizer_->is_marker(id) || tokenizer_->is_special(id)) return false;
    next = sets_->read(place.set, bytes);
  }
  if (next == StateSets::kDead) return false;
  place.set = next;
  return true;
}

bool TokenMasks::accepts(const GrammarPlace& place) {
  const std::lock_guard lock(mutex_);
  return place.sets->accepts(place.set);
}

bool TokenMasks::finished(GrammarPlace& place) {
  const std::lock_guard lock(mutex_);
  return place.sets->accepts(place.set) && place.sets->reads_nothing(place.set);
}

MaskStats TokenMasks::stats() {
  const std::lock_guard lock(mutex_);
  MaskStats out = stats_;
  out.sets = sets_->size();
  return out;
}

}  // namespace gauntlet

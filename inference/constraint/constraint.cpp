// Tested through tests/constrained_calls_test.cpp.

#include "inference/constraint/constraint.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/sha256.h"
#include "inference/constraint/reply_compiler.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMostGrammars = 32;

class GrammarConstraint : public TokenConstraint {
 public:
  explicit GrammarConstraint(std::shared_ptr<TokenMasks> masks) : masks_(std::move(masks)), place_(masks_->start()) {}

  TokenMask mask() override {
    if (finished_) return last_;
    if (!mask_) mask_ = masks_->mask(place_, *work_);
    return *mask_;
  }

  void accept(std::int32_t id) override {
    if (finished_) return;
    require(masks_->accept(place_, id, *work_), ErrorKind::Internal, fmt::format("token {} was sampled against its mask", id));
    mask_.reset();
    finished_ = masks_->finished(place_);
    if (!finished_) return;
    // A caller that goes on after the end gets the end again.
    last_.assign(static_cast<std::size_t>(id) / 64 + 1, 0);
    last_.back() = std::uint64_t{1} << (static_cast<std::size_t>(id) % 64);
  }

  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<GrammarConstraint>(*this); }

 private:
  std::shared_ptr<TokenMasks> masks_;  ///< shared with the factory and with other sequences
  GrammarPlace place_;
  SharedMask mask_;                    ///< of place_, once it was asked for
  std::shared_ptr<std::uint64_t> work_ = std::make_shared<std::uint64_t>(0);  ///< steps; shared by all samples of a request, which one thread runs
  bool finished_ = false;
  std::vector<std::uint64_t> last_;
};

void append(std::string& key, std::string_view text) { key += fmt::format("{}:{};", text.size(), text); }

void describe(std::string& key, const ReplyGrammar& reply) {
  key += fmt::format("({} {} {} ", static_cast<int>(reply.kind), reply.least, reply.most);
  append(key, reply.text);
  for (const auto& text : reply.without) append(key, text);
  if (reply.kind == ReplyGrammar::Kind::Value || reply.kind == ReplyGrammar::Kind::Tags) append(key, dump_json(reply.schema));
  for (const auto& text : {reply.tags.before_name, reply.tags.text_value, reply.tags.json_value, reply.tags.close, reply.tags.none}) append(key, text);
  for (const auto& part : reply.parts) describe(key, part);
  key += ")";
}

}  // namespace

ConstraintFactory::ConstraintFactory(std::shared_ptr<const Tokenizer> tokenizer, const GrammarLimits& limits)
    : tokenizer_(std::move(tokenizer)), limits_(limits), trie_(std::make_shared<const VocabularyTrie>(*tokenizer_)) {
  for (const auto& added : tokenizer_->added_tokens()) {
    if (tokenizer_->is_marker(added.id)) markers_.push_back({added.content, added.id});
  }
}

std::shared_ptr<TokenMasks> ConstraintFactory::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, it->second);
  return it->second->masks;
}

std::unique_ptr<TokenConstraint> ConstraintFactory::keep(const std::string& key, Grammar grammar) {
  const auto masks = std::make_shared<TokenMasks>(std::move(grammar), tokenizer_, trie_, limits_);
  const std::lock_guard lock(mutex_);
  if (!by_key_.contains(key)) {
    kept_.push_front({key, masks});
    by_key_[key] = kept_.begin();
    if (kept_.size() > kMostGrammars) {
      by_key_.erase(kept_.back().key);
      kept_.pop_back();
    }
  }
  return std::make_unique<GrammarConstraint>(masks);
}

std::unique_ptr<TokenConstraint> ConstraintFactory::make_json_constraint(const Json& schema, const std::vector<std::int32_t>& end_ids) {
  std::string key = "json ";
  for (const auto id : end_ids) key += fmt::format("{} ", id);
  key = sha256_hex(key + dump_json(schema));
  if (auto known = find(key)) return std::make_unique<GrammarConstraint>(std::move(known));
  return keep(key, compile_json(schema, end_ids, {.markers = markers_, .longest = trie_->longest()}, "schema", limits_));
}

std::unique_ptr<TokenConstraint> ConstraintFactory::make_reply_constraint(const ReplyGrammar& reply) {
  std::string key = "reply ";
  describe(key, reply);
  key = sha256_hex(key);
  if (auto known = find(key)) return std::make_unique<GrammarConstraint>(std::move(known));
  return keep(key, compile_reply(reply, {.markers = markers_, .longest = trie_->longest()}, limits_));
}

}  // namespace gauntlet

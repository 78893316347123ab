// The C++ half of tests/constraint_peer_test.py, which checks with Python's jsonschema.

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "core/error.h"
#include "core/rng.h"
#include "inference/constraint/reply_compiler.h"
#include "inference/constraint/token_masks.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

class Peer {
 public:
  explicit Peer(const std::string& tokenizer) : tokenizer_(std::make_shared<const Tokenizer>(Tokenizer::load(tokenizer))), trie_(std::make_shared<const VocabularyTrie>(*tokenizer_)), end_(tokenizer_->find_id("<｜end▁of▁sentence｜>")) {
    for (const char* text : {"\"", "}", "]"}) closing_.push_back(tokenizer_->find_id(text));
    closing_.push_back(end_);
  }

  /// {"error"} or {"walks": [text], "accepted": [bool]}
  Json answer(const Json& item, Rng& rng) {
    const std::vector<std::int32_t> end = {end_};
    try {
      TokenMasks masks(compile_json(item["schema"], end, {.markers = {}, .longest = trie_->longest()}, "schema", {}), tokenizer_, trie_, {});
      Json out = {{"walks", Json::array()}, {"accepted", Json::array()}};
      for (std::int64_t i = 0; i < item.value("walks", std::int64_t{0}); ++i) out["walks"].push_back(walk(masks, rng));
      for (const auto& text : item["documents"]) out["accepted"].push_back(accepts(masks, text.get<std::string>()));
      return out;
    } catch (const Error& error) {
      return {{"error", error.what()}};
    }
  }

 private:
  static bool has(const std::vector<std::uint64_t>& mask, std::int32_t id) { return ((mask[static_cast<std::size_t>(id) / 64] >> (static_cast<std::size_t>(id) % 64)) & 1U) != 0; }

  /// Random tokens from beginning to end; null if that takes too long.
  Json walk(TokenMasks& masks, Rng& rng) {
    std::vector<std::int32_t> ids;
    GrammarPlace place = masks.start();
    std::uint64_t work = 0;
    while (!masks.finished(place)) {
      if (ids.size() > 6000) return nullptr;
      const SharedMask mask = masks.mask(place, work);
      std::vector<std::int32_t> allowed;
      if (ids.size() > 150 && rng.chance(600'000)) {
        for (const auto id : closing_) {
          if (has(*mask, id)) allowed.push_back(id);
        }
      }
      if (allowed.empty()) {
        for (std::int32_t id = 0; id < static_cast<std::int32_t>(mask->size() * 64); ++id) {
          if (has(*mask, id)) allowed.push_back(id);
        }
      }
      REQUIRE_FALSE(allowed.empty());
      ids.push_back(rng.pick(allowed));
      REQUIRE(masks.accept(place, ids.back(), work));
    }
    ids.pop_back();  // the end
    return tokenizer_->decode(ids, SkipSpecial::No);
  }

  bool accepts(TokenMasks& masks, const std::string& text) {
    GrammarPlace place = masks.start();
    std::uint64_t work = 0;
    auto ids = tokenizer_->encode(text, SpecialTokens::AsText);
    ids.push_back(end_);
    for (const auto id : ids) {
      const bool allowed = has(*masks.mask(place, work), id);
      CHECK(masks.accept(place, id, work) == allowed);
      if (!allowed) return false;
    }
    return masks.finished(place);
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const VocabularyTrie> trie_;
  std::int32_t end_;
  std::vector<std::int32_t> closing_;
};

TEST_CASE("walks through a folder's schemas are written for another validator when a folder is named") {
  const char* folder_name = std::getenv("GAUNTLET_CONSTRAINT_PEER");
  if (folder_name == nullptr) return;
  const std::string folder = folder_name;
  Peer peer(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json");
  Rng rng(11);
  std::ofstream out(folder + "/answers.jsonl");
  for (const auto& item : read_json_file(folder + "/schemas.json")) out << dump_json(peer.answer(item, rng)) << "\n";
}

}  // namespace
}  // namespace gauntlet

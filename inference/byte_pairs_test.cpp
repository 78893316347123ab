#include "inference/byte_pairs.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

/// Bytes as ids 0 to 255, then one token for each rule.
struct Toy {
  TokenTable table{1000, 100'000};
  std::vector<MergeRule> rules;

  Toy() {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      table.add(byte, {&c, 1}, TokenTable::Findable::Yes);
    }
  }

  void merge(std::int32_t left, std::int32_t right) {
    const std::string bytes = std::string(table.bytes(left)) + std::string(table.bytes(right));
    std::int32_t id = table.find(bytes);
    if (id == kNoToken) {
      id = next_++;
      table.add(id, bytes, TokenTable::Findable::Yes);
    }
    rules.push_back({left, right, id});
  }

 private:
  std::int32_t next_ = 256;
};

/// The definition, one merge at a time.
std::vector<std::int32_t> plainly(const Toy& toy, std::string_view word) {
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> ranks;
  for (std::size_t i = 0; i < toy.rules.size(); ++i) ranks[{toy.rules[i].left, toy.rules[i].right}] = i;
  std::vector<std::int32_t> ids;
  for (const char c : word) ids.push_back(static_cast<unsigned char>(c));
  while (true) {
    std::size_t best = toy.rules.size(), place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto rank = ranks.find({ids[i], ids[i + 1]});
      if (rank != ranks.end() && rank->second < best) {
        best = rank->second;
        place = i;
      }
    }
    if (best == toy.rules.size()) return ids;
    ids[place] = toy.rules[best].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

std::vector<std::int32_t> encoded(const BytePairs& pairs, std::string_view word) {
  std::vector<std::int32_t> ids;
  pairs.encode(word, ids);
  return ids;
}

TEST_CASE("random merges give what the definition gives, for short words and long ones") {
  Rng rng(11);
  for (int round = 0; round < 60; ++round) {
    Toy toy;
    const auto rules = 1 + rng.below(60);
    for (std::uint64_t i = 0; i < rules; ++i) {
      const auto side = [&] {
        const auto old = static_cast<std::int32_t>(rng.below(3 + toy.rules.size()));
        return old < 3 ? 'a' + old : toy.rules[static_cast<std::size_t>(old - 3)].merged;
      };
      const std::int32_t left = side();
      const std::int32_t right = side();
      if (toy.table.bytes(left).size() + toy.table.bytes(right).size() < 60) toy.merge(left, right);
    }
    const BytePairs pairs(toy.table, toy.rules, {});
    for (int word = 0; word < 40; ++word) {
      std::string text;
      for (auto length = rng.below(word % 4 == 0 ? 300 : 50); length > 0; --length) text += static_cast<char>('a' + rng.below(3));
      CHECK(encoded(pairs, text) == plainly(toy, text));
    }
  }
}

TEST_CASE("a word of a million equal letters takes no time to speak of") {
  Toy toy;
  toy.merge('a', 'a');
  for (std::int32_t id = 256; id < 266; ++id) toy.merge(id, id);
  const BytePairs pairs(toy.table, toy.rules, {});
  const auto ids = encoded(pairs, std::string(1 << 20, 'a'));
  CHECK(ids == std::vector<std::int32_t>((1 << 20) / 2048, 266));
}

TEST_CASE("a word that is a token becomes it at once only if merges are ignored") {
  Toy toy;
  toy.table.add(300, "xyz", TokenTable::Findable::Yes);
  CHECK(encoded(BytePairs(toy.table, {}, {}), "xyz") == std::vector<std::int32_t>{'x', 'y', 'z'});
  CHECK(encoded(BytePairs(toy.table, {}, {.ignore_merges = true}), "xyz") == std::vector<std::int32_t>{300});
  CHECK(encoded(BytePairs(toy.table, {}, {.ignore_merges = true, .never = {300}}), "xyz") == std::vector<std::int32_t>{'x', 'y', 'z'});
}

TEST_CASE("no merge makes a token that no word may become") {
  Toy toy;
  toy.merge('a', 'b');
  toy.merge(256, 'c');
  CHECK(encoded(BytePairs(toy.table, toy.rules, {}), "abc") == std::vector<std::int32_t>{257});
  CHECK(encoded(BytePairs(toy.table, toy.rules, {.never = {257}}), "abc") == std::vector<std::int32_t>{256, 'c'});
}

TEST_CASE("of two rules for one pair the last holds") {
  Toy toy;
  toy.merge('a', 'b');
  toy.merge('b', 'c');
  toy.merge('a', 'b');
  CHECK(encoded(BytePairs(toy.table, toy.rules, {}), "abc") == std::vector<std::int32_t>{'a', 257});
}

}  // namespace
}  // namespace gauntlet

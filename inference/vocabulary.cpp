#include "inference/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "inference/byte_alphabet.h"

namespace gauntlet {
namespace {

/// Not in any UTF-8 text, so that no vocabulary needs them.
bool never_in_utf8(int byte) { return byte == 0xC0 || byte == 0xC1 || byte >= 0xF5; }

std::string shown(std::string_view text) { return std::string(text.substr(0, 80)); }

class TableBuilder {
 public:
  TableBuilder(const TokenizerDocument& document, const std::vector<AddedToken>& added, const std::string& what)
      : document_(document), added_(added), what_(what), table_(count_ids(), count_bytes()) {}

  TokenTable build() {
    for (const auto& entry : document_.vocab) add_vocab(document_.view(entry.token), static_cast<std::int32_t>(entry.id));
    for (const AddedToken& token : added_) add_added(token);
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      if (!never_in_utf8(byte) && table_.find({&c, 1}) == kNoToken) {
        fail(ErrorKind::Input, fmt::format("{}: /model/vocab: the byte 0x{:02X} has no token; byte-level BPE needs one for each", what_, byte));
      }
    }
    return std::move(table_);
  }

 private:
  std::size_t count_ids() const {
    const auto bound = static_cast<std::int64_t>(2 * (document_.vocab.size() + added_.size()) + 1024);
    std::int64_t largest = -1;
    const auto check = [&](std::int64_t id, std::string_view token) {
      if (id < 0 || id >= bound) {
        fail(ErrorKind::Input, fmt::format("{}: the token \"{}\" has the id {}; accepted with so many tokens: 0 to {}", what_, shown(token), id, bound - 1));
      }
      largest = std::max(largest, id);
    };
    for (const auto& entry : document_.vocab) check(entry.id, document_.view(entry.token));
    for (const AddedToken& token : added_) check(token.id, token.content);
    return static_cast<std::size_t>(largest + 1);
  }

  std::size_t count_bytes() const {
    std::size_t total = 0;
    for (const auto& entry : document_.vocab) total += entry.token.size;
    for (const AddedToken& token : added_) total += token.content.size();
    return total;
  }

  void require_free(std::int32_t id, std::string_view token) const {
    if (table_.holds(id)) {
      fail(ErrorKind::Input, fmt::format("{}: the tokens \"{}\" and \"{}\" both have the id {}", what_, shown(spelling_of_bytes(table_.bytes(id))), shown(token), id));
    }
  }

  [[noreturn]] void fail_twice(std::string_view token) const {
    fail(ErrorKind::Input, fmt::format("{}: the token \"{}\" appears twice", what_, shown(token)));
  }

  void add_vocab(std::string_view token, std::int32_t id) {
    require_free(id, token);
    const std::optional<std::string> bytes = bytes_of_spelling(token);
    if (bytes && !bytes->empty()) {
      if (table_.find(*bytes) != kNoToken) fail_twice(token);
      table_.add(id, *bytes, TokenTable::Findable::Yes);
      return;
    }
    if (!outside_alphabet_.emplace(token, id).second) fail_twice(token);
    table_.add(id, token, TokenTable::Findable::No);
  }

  void add_added(const AddedToken& token) {
    const std::optional<std::string> bytes = bytes_of_spelling(token.content);
    const auto other = outside_alphabet_.find(token.content);
    const std::int32_t in_vocab = bytes ? table_.find(*bytes) : other == outside_alphabet_.end() ? kNoToken : other->second;
    if (in_vocab == kNoToken) {
      require_free(token.id, token.content);
      table_.add(token.id, token.content, TokenTable::Findable::No);
      return;
    }
    if (in_vocab != token.id) {
      fail(ErrorKind::Input, fmt::format("{}: the added token \"{}\" has the id {}, but the vocabulary has it as {}", what_, token.content, token.id, in_vocab));
    }
    if (bytes && *bytes != token.content) {
      fail(ErrorKind::Input, fmt::format("{}: the added token \"{}\" spells other bytes in the vocabulary", what_, token.content));
    }
    if (token.marker && token.content.size() == 1) {
      fail(ErrorKind::Input, fmt::format("{}: the special token \"{}\" is also the token of that byte, so that plain text would hold it", what_, token.content));
    }
  }

  const TokenizerDocument& document_;
  const std::vector<AddedToken>& added_;
  const std::string& what_;
  TokenTable table_;
  std::unordered_map<std::string_view, std::int32_t> outside_alphabet_;  ///< the document owns the keys
};

}  // namespace

TokenTable build_token_table(const TokenizerDocument& document, const std::vector<AddedToken>& added, const std::string& what) {
  if (!document.has_vocab) fail(ErrorKind::Input, what + ": /model/vocab: expected an object of token ids");
  return TableBuilder(document, added, what).build();
}

std::vector<MergeRule> build_merge_rules(const TokenizerDocument& document, const TokenTable& table, const std::string& what) {
  if (!document.has_merges) fail(ErrorKind::Input, what + ": /model/merges: expected an array");
  std::vector<MergeRule> rules;
  rules.reserve(document.merges.size());
  for (const auto& merge : document.merges) {
    const std::string_view sides[2] = {document.view(merge.left), document.view(merge.right)};
    std::string joined;
    const auto find = [&](const std::optional<std::string>& bytes, std::string_view token) {
      const std::int32_t id = bytes ? table.find(*bytes) : kNoToken;
      if (id == kNoToken) {
        fail(ErrorKind::Input, fmt::format("{}: /model/merges/{}: (\"{}\", \"{}\"): \"{}\" is not in the vocabulary", what, rules.size(),
                                           shown(sides[0]), shown(sides[1]), shown(token)));
      }
      joined += *bytes;
      return id;
    };
    MergeRule rule;
    rule.left = find(bytes_of_spelling(sides[0]), sides[0]);
    rule.right = find(bytes_of_spelling(sides[1]), sides[1]);
    const std::string result = joined;
    rule.merged = find(result, std::string(sides[0]) + std::string(sides[1]));
    rules.push_back(rule);
  }
  return rules;
}

}  // namespace gauntlet

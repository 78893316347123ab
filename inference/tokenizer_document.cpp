#include "inference/tokenizer_document.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Everything but vocabulary and merges: a few hundred values, plus eight for each added token.
constexpr std::size_t kMostOtherValues = 1'000'000;
/// Members of an ordered object are searched one by one.
constexpr std::size_t kMostMembers = 100;

/// Receives the parser's events. Returning false ends the parse; problem() then says why.
class DocumentReader : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentReader(TokenizerDocument& out) : out_(out), builder_(out.rest, false) {}

  bool null() override { return scalar("null") && builder_.null(); }
  bool boolean(bool value) override { return scalar("a boolean") && builder_.boolean(value); }
  bool number_float(double value, const std::string& text) override { return scalar("a fraction") && builder_.number_float(value, text); }
  bool binary(Json::binary_t& value) override { return scalar("binary") && builder_.binary(value); }

  bool number_integer(std::int64_t value) override {
    if (list_ == List::Vocab) return vocab_id(value);
    return scalar("a number") && builder_.number_integer(value);
  }

  bool number_unsigned(std::uint64_t value) override {
    if (list_ == List::Vocab) return vocab_id(static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX)));
    return scalar("a number") && builder_.number_unsigned(value);
  }

  bool string(std::string& value) override {
    if (list_ == List::Merges) return in_pair_ ? pair_part(value) : merge_line(value);
    return scalar("a string") && builder_.string(value);
  }

  bool start_object(std::size_t size) override {
    if (list_ != List::None) return stop(fmt::format("{}: expected {}, found an object", list_path(), list_holds()));
    const List entered = list_below();
    if (entered == List::Merges) return stop("/model/merges: expected an array, found an object");
    if (entered == List::Vocab) {
      list_ = List::Vocab;
      out_.has_vocab = true;
      return builder_.null();
    }
    return enter() && builder_.start_object(size);
  }

  bool key(std::string& name) override {
    if (list_ == List::Vocab) return vocab_token(name);
    auto& names = levels_.back();
    if (names.size() == kMostMembers) return stop(fmt::format("an object has more than {} members", kMostMembers));
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return stop(fmt::format("the key \"{}\" appears twice in one object", name.substr(0, 80)));
    }
    names.push_back(name);
    return builder_.key(name);
  }

  bool end_object() override {
    if (list_ == List::Vocab) {
      list_ = List::None;
      return true;
    }
    levels_.pop_back();
    return builder_.end_object();
  }

  bool start_array(std::size_t size) override {
    if (list_ == List::Merges && !in_pair_) {
      in_pair_ = true;
      parts_ = 0;
      return true;
    }
    if (list_ != List::None) return stop(fmt::format("{}: expected {}, found an array", list_path(), list_holds()));
    if (list_below() == List::Merges) {
      list_ = List::Merges;
      out_.has_merges = true;
      return builder_.null();
    }
    return enter() && builder_.start_array(size);
  }

  bool end_array() override {
    if (in_pair_) {
      in_pair_ = false;
      if (parts_ != 2) return stop(fmt::format("/model/merges/{}: expected two tokens, found {}", out_.merges.size(), parts_));
      return add_merge(pair_[0], pair_[1]);
    }
    if (list_ == List::Merges) {
      list_ = List::None;
      return true;
    }
    levels_.pop_back();
    return builder_.end_array();
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    return problem_.empty() ? stop(fmt::format("byte {}: {}", position, error.what())) : false;
  }

  const std::string& problem() const { return problem_; }

 private:
  enum class List { None, Vocab, Merges };

  bool stop(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  std::string_view list_path() const { return list_ == List::Vocab ? "/model/vocab" : "/model/merges"; }
  std::string_view list_holds() const { return list_ == List::Vocab ? "token ids" : "\"a b\" or [\"a\", \"b\"]"; }

  /// What the member whose value begins here is.
  List list_below() const {
    if (levels_.size() != 2 || levels_[0].empty() || levels_[1].empty() || levels_[0].back() != "model") return List::None;
    return levels_[1].back() == "vocab" ? List::Vocab : levels_[1].back() == "merges" ? List::Merges : List::None;
  }

  bool count_value() { return ++values_ <= kMostOtherValues || stop(fmt::format("more than {} values besides the vocabulary", kMostOtherValues)); }

  bool scalar(std::string_view found) {
    if (list_ != List::None) return stop(fmt::format("{}: expected {}, found {}", list_path(), list_holds(), found));
    return count_value();
  }

  bool enter() {
    if (levels_.size() == static_cast<std::size_t>(kMaxJsonDepth)) return stop(fmt::format("nesting is deeper than {}", kMaxJsonDepth));
    levels_.emplace_back();
    return count_value();
  }

  TokenizerDocument::Text keep(std::string_view text) {
    const TokenizerDocument::Text kept{static_cast<std::uint32_t>(out_.text.size()), static_cast<std::uint32_t>(text.size())};
    out_.text += text;
    return kept;
  }

  bool vocab_token(std::string_view token) {
    if (token.size() > kLongestToken) return stop(fmt::format("/model/vocab: a token has {} bytes; at most {}", token.size(), kLongestToken));
    if (out_.vocab.size() == kMostTokens) return stop(fmt::format("/model/vocab: more than {} tokens", kMostTokens));
    out_.vocab.push_back({keep(token), 0});
    return true;
  }

  bool vocab_id(std::int64_t id) {
    out_.vocab.back().id = id;
    return true;
  }

  bool merge_line(std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      return stop(fmt::format("/model/merges/{}: expected two tokens with a space between, found \"{}\"", out_.merges.size(), line.substr(0, 80)));
    }
    return add_merge(line.substr(0, space), line.substr(space + 1));
  }

  bool pair_part(std::string_view part) {
    if (parts_ < 2) pair_[parts_] = part;
    ++parts_;
    return true;
  }

  bool add_merge(std::string_view left, std::string_view right) {
    if (left.size() > kLongestToken || right.size() > kLongestToken) {
      return stop(fmt::format("/model/merges/{}: a token is longer than {} bytes", out_.merges.size(), kLongestToken));
    }
    if (out_.merges.size() == kMostMerges) return stop(fmt::format("/model/merges: more than {} merges", kMostMerges));
    const TokenizerDocument::Text kept_left = keep(left);
    out_.merges.push_back({kept_left, keep(right)});
    return true;
  }

  TokenizerDocument& out_;
  nlohmann::detail::json_sax_dom_parser<Json> builder_;
  /// Member names so far of each object that is open; of an array: none.
  std::vector<std::vector<std::string>> levels_;
  List list_ = List::None;
  bool in_pair_ = false;
  std::size_t parts_ = 0;
  std::string pair_[2];
  std::size_t values_ = 0;
  std::string problem_;
};

}  // namespace

TokenizerDocument parse_tokenizer_document(std::string_view json, std::string_view what) {
  if (json.size() > kLargestTokenizerFile) {
    fail(ErrorKind::Input, fmt::format("{}: has {} bytes; a tokenizer has at most {}", what, json.size(), kLargestTokenizerFile));
  }
  TokenizerDocument out;
  DocumentReader reader(out);
  if (!Json::sax_parse(json.begin(), json.end(), &reader)) {
    fail(ErrorKind::Input, fmt::format("could not read {} as a tokenizer: {}", what, reader.problem().empty() ? "syntax error" : reader.problem()));
  }
  return out;
}

}  // namespace gauntlet

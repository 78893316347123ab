#include "inference/tokenizer_json.h"

#include <fmt/format.h>

#include <limits>
#include <unordered_set>

#include "core/error.h"
#include "inference/pattern_syntax.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMostSplits = 32;

const Json* find_member(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string type_of(const Json& part, const std::string& path) { return get_string(part, "type", path); }

[[noreturn]] void unsupported(const std::string& path, const std::string& what, std::string_view accepted) {
  fail(ErrorKind::Input, fmt::format("{}: {} is not supported; accepted: {}", path, what, accepted));
}

void read_normalizer(const Json& part, const std::string& path) {
  const std::string type = type_of(part, path);
  if (type != "Sequence") unsupported(path, fmt::format("the normalizer \"{}\"", type), "null, or an empty Sequence");
  refuse_unknown_members(part, {"type", "normalizers"}, path);
  const Json& parts = get_array(part, "normalizers", path);
  for (std::size_t i = 0; i < parts.size(); ++i) read_normalizer(parts[i], fmt::format("{}/normalizers/{}", path, i));
}

class SplitReader {
 public:
  /// ByteLevel must come, and last: what precedes it works on text, the vocabulary on bytes.
  std::vector<SplitRule> read(const Json& part, const std::string& path) {
    read_part(part, path);
    if (!byte_level_) unsupported(path, "a pre-tokenizer without ByteLevel", "byte-level BPE");
    return std::move(rules_);
  }

 private:
  void read_part(const Json& part, const std::string& path) {
    const std::string type = type_of(part, path);
    if (byte_level_) unsupported(path, fmt::format("\"{}\" after ByteLevel", type), "ByteLevel as the last step");
    if (type == "Sequence") {
      refuse_unknown_members(part, {"type", "pretokenizers"}, path);
      const Json& parts = get_array(part, "pretokenizers", path);
      for (std::size_t i = 0; i < parts.size(); ++i) read_part(parts[i], fmt::format("{}/pretokenizers/{}", path, i));
    } else if (type == "Split") {
      read_split(part, path);
    } else if (type == "Digits") {
      refuse_unknown_members(part, {"type", "individual_digits"}, path);
      add({.pattern = boolean_or(part, "individual_digits", false, path) ? "\\p{N}" : "\\p{N}+"}, path);
    } else if (type == "ByteLevel") {
      refuse_unknown_members(part, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, path);
      if (boolean_or(part, "add_prefix_space", true, path)) unsupported(path, "add_prefix_space", "false");
      if (boolean_or(part, "use_regex", true, path)) add({.pattern = to_pcre2_syntax(kByteLevelPattern, path)}, path);
      byte_level_ = true;
    } else {
      unsupported(path, fmt::format("the pre-tokenizer \"{}\"", type), "Sequence, Split, Digits, ByteLevel");
    }
  }

  void read_split(const Json& part, const std::string& path) {
    refuse_unknown_members(part, {"type", "pattern", "behavior", "invert"}, path);
    const Json& pattern = get_object(part, "pattern", path);
    refuse_unknown_members(pattern, {"Regex", "String"}, path + "/pattern");
    SplitRule rule;
    if (pattern.contains("Regex")) {
      rule.pattern = to_pcre2_syntax(get_string(pattern, "Regex", path + "/pattern"), path + "/pattern");
    } else {
      rule.pattern = literal_pattern(get_string(pattern, "String", path + "/pattern"));
    }
    const bool invert = boolean_or(part, "invert", false, path);
    const std::string behavior = get_string(part, "behavior", path);
    if (behavior == "Removed") {
      rule.keep_matches = invert;
      rule.keep_gaps = !invert;
    } else if (behavior != "Isolated") {
      unsupported(path, fmt::format("the behavior \"{}\"", behavior), "Isolated, Removed");
    }
    add(std::move(rule), path);
  }

  void add(SplitRule rule, const std::string& path) {
    if (rules_.size() == kMostSplits) fail(ErrorKind::Input, fmt::format("{}: more than {} steps", path, kMostSplits));
    rules_.push_back(std::move(rule));
  }

  std::vector<SplitRule> rules_;
  bool byte_level_ = false;
};

void read_decoder(const Json& part, const std::string& path) {
  const std::string type = type_of(part, path);
  if (type == "Sequence" && get_array(part, "decoders", path).size() == 1) return read_decoder(part["decoders"][0], path + "/decoders/0");
  if (type != "ByteLevel") unsupported(path, fmt::format("the decoder \"{}\"", type), "ByteLevel");
}

bool read_model(const Json& model, const std::string& path) {
  const std::string type = string_or(model, "type", "BPE", path);
  if (type != "BPE") unsupported(path + "/type", fmt::format("\"{}\"", type), "BPE");
  refuse_unknown_members(model, {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                                 "byte_fallback", "ignore_merges", "vocab", "merges"}, path);
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* value = find_member(model, affix);
    if (value != nullptr && *value != "") unsupported(path + "/" + affix, dump_json(*value).substr(0, 80), "null");
  }
  const Json* dropout = find_member(model, "dropout");
  if (dropout != nullptr && *dropout != 0.0) unsupported(path + "/dropout", dump_json(*dropout).substr(0, 80), "null");
  if (boolean_or(model, "byte_fallback", false, path)) unsupported(path + "/byte_fallback", "true", "false (byte-level BPE needs none)");
  return boolean_or(model, "ignore_merges", false, path);
}

std::vector<AddedToken> read_added_tokens(const Json& list, const std::string& path) {
  if (!list.is_array()) fail(ErrorKind::Input, fmt::format("{}: expected an array, found {}", path, list.type_name()));
  const TextMatcher beyond_words(to_pcre2_syntax(R"([^\s\p{L}\p{M}\p{N}])", path), path);
  std::vector<AddedToken> out;
  std::unordered_set<std::string> contents;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string at = fmt::format("{}/{}", path, i);
    refuse_unknown_members(list[i], {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, at);
    const std::int64_t id = get_integer(list[i], "id", at);
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) fail(ErrorKind::Input, fmt::format("{}/id: {} is out of range", at, id));
    AddedToken token{.content = get_string(list[i], "content", at),
                     .id = static_cast<std::int32_t>(id),
                     .special = boolean_or(list[i], "special", false, at),
                     .lstrip = boolean_or(list[i], "lstrip", false, at),
                     .rstrip = boolean_or(list[i], "rstrip", false, at),
                     .normalized = boolean_or(list[i], "normalized", true, at)};
    if (boolean_or(list[i], "single_word", false, at)) unsupported(at + "/single_word", "true", "false");
    if (token.content.empty() || token.content.size() > kLongestAddedToken) {
      fail(ErrorKind::Input, fmt::format("{}/content: has {} bytes; accepted: 1 to {}", at, token.content.size(), kLongestAddedToken));
    }
    if (!contents.insert(token.content).second) fail(ErrorKind::Input, fmt::format("{}/content: \"{}\" appears twice", at, token.content));
    MatchBudget budget(token.content.size());
    token.marker = token.special || TextMatcher::Search(beyond_words, budget).find(token.content, 0).has_value();
    out.push_back(std::move(token));
  }
  return out;
}

}  // namespace

TokenizerSettings read_tokenizer_settings(const Json& rest, const std::string& what) {
  const std::string root = what + ": ";
  refuse_unknown_members(rest, {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                                "decoder", "model"}, root);
  TokenizerSettings out;
  out.ignore_merges = read_model(get_object(rest, "model", root), root + "/model");
  if (const Json* normalizer = find_member(rest, "normalizer")) read_normalizer(*normalizer, root + "/normalizer");
  out.splits = SplitReader().read(get_object(rest, "pre_tokenizer", root), root + "/pre_tokenizer");
  read_decoder(get_object(rest, "decoder", root), root + "/decoder");
  if (const Json* added = find_member(rest, "added_tokens")) out.added = read_added_tokens(*added, root + "/added_tokens");
  return out;
}

}  // namespace gauntlet

#pragma once

// JSON as used everywhere: key order is kept, so that what was written is what is read back.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gauntlet {

using Json = nlohmann::ordered_json;

/// Nesting beyond this depth is refused by parse_json (hostile input must not exhaust the stack).
inline constexpr int kMaxJsonDepth = 200;

/// Parses one JSON document. `what` names the source in the error ("tasks.json", "line 12 of x.jsonl", …).
/// Throws Error(Input) on a syntax error, a depth beyond kMaxJsonDepth, a duplicate key or trailing text.
Json parse_json(std::string_view text, std::string_view what);

/// Reads and parses a file. Throws Error(Input), naming the path.
Json read_json_file(const std::string& path);

/// Whole file as bytes. Throws Error(Input), naming the path.
std::string read_text_file(const std::string& path);

/// One line, no spaces, keys in the order held; invalid UTF-8 becomes U+FFFD. Never throws on content.
std::string dump_json(const Json& value);

/// The same with keys sorted: equal values give equal bytes (used for hashes and signatures).
std::string canonical_json(const Json& value);

/// Replaces each invalid UTF-8 sequence by U+FFFD, so that the text can be stored and sent.
std::string valid_utf8(std::string_view bytes);

/// Typed member access for documents that people write. `path` is the JSON pointer of `object`, used in errors such as
/// "/tools/3/name: expected a string, found 12". Each throws Error(Input) on a wrong type; get_* throws if absent.
const Json& get_member(const Json& object, std::string_view key, const std::string& path);
std::string get_string(const Json& object, std::string_view key, const std::string& path);
std::int64_t get_integer(const Json& object, std::string_view key, const std::string& path);
double get_number(const Json& object, std::string_view key, const std::string& path);
const Json& get_array(const Json& object, std::string_view key, const std::string& path);
const Json& get_object(const Json& object, std::string_view key, const std::string& path);
std::string string_or(const Json& object, std::string_view key, std::string_view fallback, const std::string& path);
std::int64_t integer_or(const Json& object, std::string_view key, std::int64_t fallback, const std::string& path);
double number_or(const Json& object, std::string_view key, double fallback, const std::string& path);
bool boolean_or(const Json& object, std::string_view key, bool fallback, const std::string& path);

/// Refuses members outside `allowed`, suggesting the nearest allowed one: typing errors never pass silently.
void refuse_unknown_members(const Json& object, std::initializer_list<std::string_view> allowed, const std::string& path);

/// The candidate nearest to `word` by edit distance if it is near enough to be a misspelling, else "".
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace gauntlet

#pragma once

// JSON as Python's `json` module reads and writes it, because the prompt format of DeepSeek-V3.2 is defined by that module's output:
// integers of any size, shortest floats with ".0", NaN and Infinity, ", " and ": " between items, non-ASCII text as it is.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gauntlet {

/// Nesting beyond this depth is refused, so that hostile input cannot exhaust the stack.
inline constexpr int kMaxPythonJsonDepth = 500;

/// One value. Keys keep the order read; a repeated key keeps its first place and takes the last value.
struct PythonJson {
  enum class Kind { Null, Boolean, Number, String, Array, Object };

  Kind kind = Kind::Null;
  bool boolean = false;
  std::string text;                ///< a string's content (UTF-8), or a number as Python prints it
  std::vector<std::string> keys;   ///< objects: parallel to `items`
  std::vector<PythonJson> items;

  bool is_string() const { return kind == Kind::String; }
  bool is_null() const { return kind == Kind::Null; }
  bool is_array() const { return kind == Kind::Array; }
  bool is_object() const { return kind == Kind::Object; }
  const PythonJson* find(std::string_view key) const;  ///< null if absent or if this is no object
};

enum class JsonDialect {
  Python,  ///< also NaN, Infinity and -Infinity
  Strict,  ///< RFC 8259
};

struct PythonJsonReading {
  std::optional<PythonJson> value;
  std::string problem;  ///< what was found where, in bytes from the start; empty if `value` holds
};

/// Reads exactly one document. Refused besides syntax errors: invalid UTF-8, lone surrogates (they have no UTF-8 form), deep nesting.
PythonJsonReading read_python_json(std::string_view text, JsonDialect dialect = JsonDialect::Python);

/// json.dumps(value, ensure_ascii=False)
std::string dump_python_json(const PythonJson& value);
/// json.dumps of one string.
std::string quote_python_json(std::string_view text);
/// repr(float) as json.dumps writes it.
std::string python_float(double value);

/// bool(value) in Python: empty strings and containers, null, false and zero are false.
bool python_truth(const PythonJson& value);

}  // namespace gauntlet

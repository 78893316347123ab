#include "agent/python_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <unordered_map>

#include "core/json.h"

namespace gauntlet {
namespace {

void append_utf8(std::uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Recursive descent. Every read_* returns false after setting problem_.
class Reader {
 public:
  Reader(std::string_view text, JsonDialect dialect) : text_(text), dialect_(dialect) {}

  PythonJsonReading read() {
    PythonJson value;
    bool good = read_value(value, 0);
    if (good) {
      skip_space();
      if (at_ < text_.size()) good = stop("text after the end of the document");
    }
    if (!good) return {std::nullopt, problem_};
    return {std::move(value), {}};
  }

 private:
  bool stop(std::string_view what) {
    problem_ = fmt::format("byte {}: {}", at_, what);
    return false;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }

  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool read_value(PythonJson& out, int depth) {
    if (depth > kMaxPythonJsonDepth) return stop(fmt::format("nesting is deeper than {}", kMaxPythonJsonDepth));
    skip_space();
    switch (peek()) {
      case '{': return read_object(out, depth);
      case '[': return read_array(out, depth);
      case '"': out.kind = PythonJson::Kind::String; return read_string(out.text);
      default: return read_word(out) || (problem_.empty() && read_number(out));
    }
  }

  bool read_word(PythonJson& out) {
    if (take("null")) return true;
    const bool yes = take("true");
    if (yes || take("false")) {
      out.kind = PythonJson::Kind::Boolean;
      out.boolean = yes;
      return true;
    }
    if (dialect_ == JsonDialect::Strict) return false;
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (!take(word)) continue;
      out.kind = PythonJson::Kind::Number;
      out.text = word;
      return true;
    }
    return false;
  }

  void skip_digits() {
    while (is_digit(peek())) ++at_;
  }

  bool read_number(PythonJson& out) {
    const std::size_t begin = at_;
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) {
      at_ = begin;
      return stop("a value was expected");
    }
    if (peek() == '0') ++at_;
    else skip_digits();
    bool integer = true;
    if (peek() == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1])) {
      integer = false;
      ++at_;
      skip_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      std::size_t digits = at_ + 1;
      if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-')) ++digits;
      if (digits < text_.size() && is_digit(text_[digits])) {
        integer = false;
        at_ = digits;
        skip_digits();
      }
    }
    out.kind = PythonJson::Kind::Number;
    out.text = text_.substr(begin, at_ - begin);
    if (!integer) out.text = python_float(std::strtod(out.text.c_str(), nullptr));
    if (out.text == "-0") out.text = "0";
    return true;
  }

  bool read_hex(std::uint32_t& code) {
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() < 4 || error != std::errc{} || end != digits.data() + 4) return stop("four hexadecimal digits were expected");
    at_ += 4;
    return true;
  }

  bool read_escape(std::string& out) {
    const char c = peek();
    ++at_;
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (const auto i = kLetters.find(c); i != std::string_view::npos && c != '\0') {
      out += kMeanings[i];
      return true;
    }
    if (c != 'u') return stop("unknown escape");
    std::uint32_t code = 0;
    if (!read_hex(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && take("\\u")) {
      std::uint32_t low = 0;
      if (!read_hex(low)) return false;
      if (low < 0xDC00 || low > 0xDFFF) return stop("a lone surrogate cannot be written as UTF-8");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code <= 0xDFFF) return stop("a lone surrogate cannot be written as UTF-8");
    append_utf8(code, out);
    return true;
  }

  bool read_string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return stop("control character in a string");
      ++at_;
      if (c != '\\') out += c;
      else if (!read_escape(out)) return false;
    }
    return stop("the string does not end");
  }

  bool read_array(PythonJson& out, int depth) {
    out.kind = PythonJson::Kind::Array;
    ++at_;
    skip_space();
    if (take("]")) return true;
    while (true) {
      if (!read_value(out.items.emplace_back(), depth + 1)) return false;
      skip_space();
      if (take("]")) return true;
      if (!take(",")) return stop("\",\" or \"]\" was expected");
    }
  }

  bool read_object(PythonJson& out, int depth) {
    out.kind = PythonJson::Kind::Object;
    std::unordered_map<std::string, std::size_t> places;
    ++at_;
    skip_space();
    if (take("}")) return true;
    while (true) {
      skip_space();
      if (peek() != '"') return stop("a key in double quotes was expected");
      std::string key;
      if (!read_string(key)) return false;
      skip_space();
      if (!take(":")) return stop("\":\" was expected");
      PythonJson value;
      if (!read_value(value, depth + 1)) return false;
      const auto [place, is_new] = places.try_emplace(key, out.items.size());
      if (is_new) {
        out.keys.push_back(std::move(key));
        out.items.push_back(std::move(value));
      } else {
        out.items[place->second] = std::move(value);
      }
      skip_space();
      if (take("}")) return true;
      if (!take(",")) return stop("\",\" or \"}\" was expected");
    }
  }

  std::string_view text_;
  JsonDialect dialect_;
  std::size_t at_ = 0;
  std::string problem_;
};

void dump_into(const PythonJson& value, std::string& out) {
  switch (value.kind) {
    case PythonJson::Kind::Null: out += "null"; return;
    case PythonJson::Kind::Boolean: out += value.boolean ? "true" : "false"; return;
    case PythonJson::Kind::Number: out += value.text; return;
    case PythonJson::Kind::String: out += quote_python_json(value.text); return;
    case PythonJson::Kind::Array:
    case PythonJson::Kind::Object: break;
  }
  out += value.is_array() ? '[' : '{';
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    if (i > 0) out += ", ";
    if (value.is_object()) out += quote_python_json(value.keys[i]) + ": ";
    dump_into(value.items[i], out);
  }
  out += value.is_array() ? ']' : '}';
}

}  // namespace

const PythonJson* PythonJson::find(std::string_view key) const {
  const auto it = std::find(keys.begin(), keys.end(), key);
  return it == keys.end() ? nullptr : &items[static_cast<std::size_t>(it - keys.begin())];
}

PythonJsonReading read_python_json(std::string_view text, JsonDialect dialect) {
  if (valid_utf8(text) != text) return {std::nullopt, "the text is not valid UTF-8"};
  return Reader(text, dialect).read();
}

std::string python_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<std::size_t>(result.ptr - buffer));
  const std::size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  const bool negative = shortest.front() == '-';
  std::string digits;
  for (const char c : shortest.substr(0, e)) {
    if (is_digit(c)) digits += c;
  }
  const std::string sign = negative ? "-" : "";
  if (exponent < -4 || exponent > 15) {
    const std::string fraction = digits.size() > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], fraction, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string quote_python_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else out += c;
    }
  }
  return out + '"';
}

std::string dump_python_json(const PythonJson& value) {
  std::string out;
  dump_into(value, out);
  return out;
}

bool python_truth(const PythonJson& value) {
  switch (value.kind) {
    case PythonJson::Kind::Null: return false;
    case PythonJson::Kind::Boolean: return value.boolean;
    case PythonJson::Kind::Number: return value.text != "0" && value.text != "0.0" && value.text != "-0.0";
    case PythonJson::Kind::String: return !value.text.empty();
    case PythonJson::Kind::Array:
    case PythonJson::Kind::Object: return !value.items.empty();
  }
  return false;
}

}  // namespace gauntlet

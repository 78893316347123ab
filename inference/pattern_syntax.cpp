#include "inference/pattern_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kLongestPattern = 16 * 1024;

/// Unicode's White_Space. PCRE2's own \s differs from Oniguruma's (U+180E).
constexpr std::string_view kSpaceRanges =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

/// General categories: these mean the same to both. Scripts do not (PCRE2 takes script extensions), nor do \w and POSIX classes.
constexpr std::array<std::string_view, 37> kCategories = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
                                                          "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
                                                          "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cs", "Co", "Cn"};

constexpr std::array<std::string_view, 7> kGroups = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translator {
 public:
  Translator(std::string_view source, std::string_view where) : source_(source), where_(where) {}

  std::string run() {
    if (source_.size() > kLongestPattern) refuse("more than 16 KiB");
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (c == '\\') {
        escape(Place::Outside);
      } else if (c == '[') {
        character_class();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        interval();
      } else if (c == '^' || c == '$') {
        refuse(fmt::format("the anchor {}", c));
      } else {
        take(1);
      }
    }
    return std::move(out_);
  }

 private:
  enum class Place { Outside, Class, NegatedClass };

  [[noreturn]] void refuse(std::string_view construct) const {
    fail(ErrorKind::Input, fmt::format("{}: the pattern \"{}\" uses {} (byte {}), which is not supported", where_,
                                       source_.substr(0, 200), construct, at_));
  }

  std::string_view rest() const { return source_.substr(at_); }

  void take(std::size_t count) {
    out_ += source_.substr(at_, count);
    at_ += count;
  }

  void put(std::string_view text, std::size_t consumed) {
    out_ += text;
    at_ += consumed;
  }

  void escape(Place place) {
    if (at_ + 1 == source_.size()) refuse("a backslash at its end");
    const char c = source_[at_ + 1];
    const bool inside = place != Place::Outside;
    if (c == 's') {
      put(inside ? std::string(kSpaceRanges) : fmt::format("[{}]", kSpaceRanges), 2);
    } else if (c == 'S' && !inside) {
      put(fmt::format("[^{}]", kSpaceRanges), 2);
    } else if (c == 'd') {
      put("\\p{Nd}", 2);
    } else if (c == 'D') {
      put("\\P{Nd}", 2);
    } else if (c == 'r' || c == 'n' || c == 't' || c == 'f') {
      take(2);
    } else if (c == 'v') {
      put("\\x0b", 2);
    } else if (c == 'p' || c == 'P') {
      property();
    } else if (c == 'x' || c == 'u') {
      code_point(c);
    } else if (c > ' ' && c < 0x7F && !is_digit(c) && !is_ascii_letter(c)) {
      take(2);
    } else {
      refuse(fmt::format("\\{}{}", c, inside ? " inside [ ]" : ""));
    }
  }

  void property() {
    const std::size_t close = rest().find('}');
    if (close == std::string_view::npos || rest().size() < 4 || rest()[2] != '{') refuse("\\p without {…}");
    const std::string_view name = rest().substr(3, close - 3);
    if (std::find(kCategories.begin(), kCategories.end(), name) == kCategories.end()) refuse(fmt::format("\\p{{{}}}", name));
    take(close + 1);
  }

  /// \xHH, \x{H…} and \uHHHH.
  void code_point(char kind) {
    const bool braces = kind == 'x' && rest().size() > 2 && rest()[2] == '{';
    const std::size_t begin = braces ? 3 : 2;
    const std::size_t most = braces ? 6 : kind == 'x' ? 2 : 4;
    std::size_t digits = 0;
    while (digits < most && begin + digits < rest().size() && is_hex(rest()[begin + digits])) ++digits;
    const bool closed = !braces || (begin + digits < rest().size() && rest()[begin + digits] == '}');
    if (digits == 0 || !closed || (!braces && digits != most)) refuse(fmt::format("an incomplete \\{}", kind));
    const std::string hex(rest().substr(begin, digits));
    // Oniguruma takes \x80 and up as a byte of an encoded character.
    if (!braces && kind == 'x' && hex[0] >= '8') refuse("\\x80 and above without braces");
    put(fmt::format("\\x{{{}}}", hex), begin + digits + (braces ? 1 : 0));
  }

  void character_class() {
    take(1);
    Place place = Place::Class;
    if (rest().starts_with("^")) {
      place = Place::NegatedClass;
      take(1);
    }
    if (rest().starts_with("]")) refuse("a class that begins with ]");
    while (!rest().starts_with("]")) {
      if (rest().empty()) refuse("a class without its ]");
      if (rest()[0] == '[') refuse("[ inside [ ]");
      if (rest().starts_with("&&")) refuse("&& inside [ ]");
      if (rest()[0] == '\\') {
        escape(place);
      } else {
        take(1);
      }
    }
    take(1);
  }

  void group() {
    if (rest().starts_with("(*")) refuse("(*");
    if (!rest().starts_with("(?")) return take(1);
    for (const std::string_view opening : kGroups) {
      if (rest().starts_with(opening)) return take(opening.size());
    }
    refuse(fmt::format("the group {}", rest().substr(0, 4)));
  }

  void interval() {
    std::size_t length = 1;
    const auto digits = [&] {
      const std::size_t begin = length;
      while (length < rest().size() && is_digit(rest()[length])) ++length;
      return length - begin;
    };
    if (digits() == 0) refuse("{ without a number");
    if (length < rest().size() && rest()[length] == ',') {
      ++length;
      digits();
    }
    if (length >= rest().size() || rest()[length] != '}') refuse("{ without }");
    take(length + 1);
    // {n}+ and {n}? are read differently by the two.
    if (rest().starts_with("+") || rest().starts_with("?")) refuse(fmt::format("}}{}", rest()[0]));
  }

  std::string_view source_;
  std::string_view where_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string to_pcre2_syntax(std::string_view oniguruma, std::string_view where) { return Translator(oniguruma, where).run(); }

std::string literal_pattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = is_digit(c) || is_ascii_letter(c) || static_cast<unsigned char>(c) >= 0x80 || static_cast<unsigned char>(c) <= ' ';
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace gauntlet

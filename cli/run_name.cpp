#include "cli/run_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/output.h"
#include "core/error.h"
#include "core/json.h"

namespace gauntlet {
namespace {

constexpr std::string_view kSafeInShells = "_-./:@%+=,";  // beside letters and digits

/// C0 and DEL, and the C1 controls, which are two bytes in UTF-8 and which terminals obey as well.
bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next < 0xa0)) return true;
  }
  return false;
}

std::string on_one_line(std::string text) {
  text = printable(text);
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return text;
}

}  // namespace

void check_run_name(const std::string& name) {
  require(!has_control(name) && valid_utf8(name) == name, ErrorKind::Usage,
          fmt::format("--run: found \"{}\" with a line break or another control character; accepted: a name on one line, in UTF-8", on_one_line(name)));
}

std::string shell_word(std::string_view text) {
  const auto is_safe = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || kSafeInShells.find(c) != std::string_view::npos; };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_safe)) return std::string(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string run_hint(const std::string& store, const std::string& run) {
  return fmt::format("run {0}: gauntlet report --db {1} --run {2}, gauntlet show --db {1} --run {2}", on_one_line(run), shell_word(store), shell_word(run));
}

}  // namespace gauntlet

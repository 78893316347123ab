#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace gauntlet {

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  fail(ErrorKind::Infrastructure, fmt::format("could not write to standard output: {}", std::strerror(errno)));
}

void write_json_line(const Json& value) { write_out(dump_json(value) + "\n"); }

void write_note(std::string_view text) {
  fmt::print(stderr, "{}\n", text);
  std::fflush(stderr);
}

bool out_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool err_is_terminal() { return isatty(STDERR_FILENO) == 1; }

Style Style::of_stdout() {
  const char* no_colour = std::getenv("NO_COLOR");
  return Style(out_is_terminal() && (no_colour == nullptr || *no_colour == '\0'));
}

std::string Style::wrap(std::string_view code, std::string_view text) const {
  return colours_ ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    out += control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return out;
}

std::string counted(std::int64_t n, std::string_view noun) { return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s"); }

}  // namespace gauntlet

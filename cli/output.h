#pragma once

// Writing for people and for pipes: data to stdout, everything else to stderr.

#include <string>
#include <string_view>

#include "core/json.h"

namespace gauntlet {

/// Throws Error(Infrastructure) if the reader has gone or the disk is full, so that lost output never looks like success.
void write_out(std::string_view text);
/// One line of JSON.
void write_json_line(const Json& value);
/// A line for people, to stderr.
void write_note(std::string_view text);

bool out_is_terminal();
bool err_is_terminal();

/// ANSI colours if stdout is a terminal and NO_COLOR is not set; else plain text.
class Style {
 public:
  explicit Style(bool colours) : colours_(colours) {}
  static Style of_stdout();

  std::string bold(std::string_view text) const { return wrap("1", text); }
  std::string dim(std::string_view text) const { return wrap("2", text); }
  std::string good(std::string_view text) const { return wrap("32", text); }
  std::string bad(std::string_view text) const { return wrap("31", text); }
  std::string accent(std::string_view text) const { return wrap("36", text); }

 private:
  std::string wrap(std::string_view code, std::string_view text) const;
  bool colours_;
};

/// Text from a model or a tool with control characters other than line feed and tab made visible, so that it cannot drive the terminal.
std::string printable(std::string_view text);

/// "12 tasks", "1 task"
std::string counted(std::int64_t n, std::string_view noun);

}  // namespace gauntlet

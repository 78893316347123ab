// The three forms of a page.

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "cli/manual.h"
#include "cli/output.h"

namespace gauntlet {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kTermWidth = 24;  // longer terms get a line of their own

/// Words broken into lines of at most `width` bytes, each line after the first indented; a paragraph's own line breaks are no words.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out;
  std::istringstream paragraphs(text);
  std::size_t column = indent;
  bool paragraph_ended = false;
  for (std::string line; std::getline(paragraphs, line);) {
    if (line.empty()) {
      paragraph_ended = !out.empty();
      continue;
    }
    if (paragraph_ended) {
      out += "\n\n" + std::string(indent, ' ');
      column = indent;
      paragraph_ended = false;
    }
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      const bool first = column == indent;
      if (!first && column + 1 + word.size() > width) {
        out += "\n" + std::string(indent, ' ') + word;
        column = indent + word.size();
        continue;
      }
      out += (first ? "" : " ") + word;
      column += word.size() + (first ? 0 : 1);
    }
  }
  return out;
}

std::string entry_text(const ManualEntry& entry, std::size_t columns) {
  const std::size_t indent = kTermWidth + 4;
  const std::string gap = entry.term.size() > kTermWidth ? "\n" + std::string(indent, ' ') : std::string(indent - 2 - entry.term.size(), ' ');
  return "  " + entry.term + gap + wrapped(entry.text, indent, columns) + "\n";
}

/// Roff takes a leading dot or quote for a command, and '-' for a hyphen.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string roff_paragraphs(const std::string& text) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out += line.empty() ? ".PP\n" : roff(line) + "\n";
  return out;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// Angle brackets would be taken for tags, and a bar would end a table's cell.
std::string markdown(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '|') out += "\\|";
    else out += c;
  }
  return out;
}

}  // namespace

std::size_t page_columns() {
  winsize size{};
  if (!out_is_terminal() || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kColumns;
  return std::clamp<std::size_t>(size.ws_col, 60, kColumns);
}

std::string page_text(const ManualPage& page, std::size_t columns) {
  const std::string head = page.name + " - ";
  std::string out = fmt::format("{}{}\n\nUsage: {}\n", head, wrapped(page.summary, head.size(), columns), wrapped(page.synopsis, 7, columns));
  if (!page.manual.description.empty()) out += "\n" + wrapped(page.manual.description, 0, columns) + "\n";
  for (const auto& group : page.groups) {
    out += fmt::format("\n{}:\n", group.heading);
    for (const auto& entry : group.entries) out += entry_text(entry, columns);
  }
  if (!page.manual.examples.empty()) out += "\nExamples:\n";
  for (const auto& [does, command] : page.manual.examples) out += fmt::format("  # {}\n  {}\n", does, command);
  out += "\nExit status:\n";
  for (const auto& [code, meaning] : page.manual.exit_status) out += fmt::format("  {}  {}\n", code, wrapped(meaning, 5, columns));
  if (!page.manual.see_also.empty()) out += fmt::format("\nSee also: {}\n", wrapped(fmt::format("{}", fmt::join(page.manual.see_also, ", ")), 10, columns));
  return out;
}

std::string page_roff(const ManualPage& page, const std::string& version) {
  std::string dashed = page.name;
  std::replace(dashed.begin(), dashed.end(), ' ', '-');
  std::string out = fmt::format(".TH {} 1 \"\" \"gauntlet {}\" \"User commands\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n", upper(roff(dashed)), version, roff(dashed),
                                roff(page.summary), roff(page.synopsis));
  if (!page.manual.description.empty()) out += ".SH DESCRIPTION\n" + roff_paragraphs(page.manual.description);
  for (const auto& group : page.groups) {
    out += fmt::format(".SH {}\n", upper(roff(group.heading)));
    for (const auto& entry : group.entries) out += fmt::format(".TP\n.B {}\n{}\n", roff(entry.term), roff(entry.text));
  }
  if (!page.manual.examples.empty()) out += ".SH EXAMPLES\n";
  for (const auto& [does, command] : page.manual.examples) out += fmt::format(".PP\n{}\n.PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n", roff(does), roff(command));
  out += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : page.manual.exit_status) out += fmt::format(".TP\n.B {}\n{}\n", code, roff(meaning));
  if (!page.manual.see_also.empty()) out += fmt::format(".SH SEE ALSO\n{}\n", roff(fmt::format("{}", fmt::join(page.manual.see_also, ", "))));
  return out;
}

std::string page_markdown(const ManualPage& page) {
  std::string out = fmt::format("## {}\n\n{}.\n\n```\n{}\n```\n", page.name, markdown(page.summary), page.synopsis);
  if (!page.manual.description.empty()) out += "\n" + markdown(page.manual.description) + "\n";
  for (const auto& group : page.groups) {
    out += fmt::format("\n| {} | |\n|---|---|\n", markdown(group.heading));
    for (const auto& entry : group.entries) out += fmt::format("| `{}` | {} |\n", entry.term, markdown(entry.text));
  }
  if (!page.manual.examples.empty()) {
    out += "\n```\n";
    for (const auto& [does, command] : page.manual.examples) out += fmt::format("# {}\n{}\n", does, command);
    out += "```\n";
  }
  out += "\nExit status:";
  for (const auto& [code, meaning] : page.manual.exit_status) out += fmt::format("{} {} {}", code == page.manual.exit_status.front().first ? "" : ";", code, markdown(meaning));
  out += ".\n";
  if (!page.manual.see_also.empty()) out += fmt::format("\nSee also: {}.\n", fmt::join(page.manual.see_also, ", "));
  return out;
}

}  // namespace gauntlet

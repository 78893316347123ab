#pragma once

// The manual: one page for each command, made from its options and a Manual, so that --help, `gauntlet help`, the man pages and
// docs/commands.md are one text.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace gauntlet {

/// What a page says beyond the command's summary and options. Paragraphs are parted by an empty line.
struct Manual {
  std::string description;
  std::vector<std::pair<std::string, std::string>> examples;  ///< what it does, the command line
  std::vector<std::pair<int, std::string>> exit_status;       ///< empty: the general ones
  std::vector<std::string> see_also;
};

using Manuals = std::map<const CLI::App*, Manual>;

struct ManualEntry {
  std::string term;  ///< "--count N"
  std::string text;  ///< with its default
};

struct ManualGroup {
  std::string heading;
  std::vector<ManualEntry> entries;
};

struct ManualPage {
  std::string name;     ///< "gauntlet export rl"
  std::string summary;  ///< one line
  std::string synopsis;
  std::vector<ManualGroup> groups;  ///< arguments, options, commands
  Manual manual;
};

ManualPage make_page(const CLI::App& command, const Manuals& manuals);

/// The visible commands, each before those inside it; the root first.
std::vector<const CLI::App*> list_commands(const CLI::App& root);
/// "gauntlet export rl"
std::string command_path(const CLI::App& command);

/// For reading on a terminal of so many columns.
std::string page_text(const ManualPage& page, std::size_t columns);
/// For man(1): roff with the man macros.
std::string page_roff(const ManualPage& page, const std::string& version);
std::string page_markdown(const ManualPage& page);

/// Columns of the terminal on stdout, at most 100; 100 if it is none.
std::size_t page_columns();

}  // namespace gauntlet

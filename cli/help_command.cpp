#include <fmt/format.h>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/version.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::string_view kMarkdownHead =
    "# Commands\n\nWritten by `gauntlet help --format markdown`; a test keeps it equal to what the program says. Data goes to stdout, everything for\n"
    "people to stderr, with progress that is refreshed on a terminal and plain lines elsewhere. `--json` gives one JSON object, or one a line.\n"
    "Ctrl-C stops cleanly: what is finished gets stored; a second one ends the program at once.\n";

const CLI::App& find_command(const CLI::App& root, const std::vector<std::string>& words) {
  const CLI::App* command = &root;
  for (const auto& word : words) {
    std::vector<std::string> names;
    const CLI::App* found = nullptr;
    for (const CLI::App* sub : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_group().empty()) continue;
      names.push_back(sub->get_name());
      if (sub->get_name() == word) found = sub;
    }
    if (found == nullptr) {
      const std::string nearest = nearest_word(word, names);
      fail(ErrorKind::Usage, fmt::format("{} has no command \"{}\"{}{}", command_path(*command), word, nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest),
                                         names.empty() ? "" : fmt::format("; there are: {}", fmt::join(names, ", "))));
    }
    command = found;
  }
  return *command;
}

}  // namespace

void add_help_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("help", "The page of a command; all pages as man pages or Markdown");
  command->group("This program");
  struct Options {
    std::vector<std::string> words;
    std::string format = "text";
  };
  auto options = std::make_shared<Options>();
  command->add_option("COMMAND", options->words, "The command, such as: export rl; none: the overview");
  command->add_option("--format", options->format, "text, man (roff, for man -l), or markdown (without COMMAND: all pages)")->type_name("FORMAT")->capture_default_str();
  context.manuals[command] = {.description = "The same page as COMMAND --help.",
                              .examples = {{"The page of a command", "gauntlet help export rl"}, {"As a man page", "gauntlet help synth --format man | man -l -"}},
                              .exit_status = {},
                              .see_also = {}};
  command->callback([options, &app, &context] {
    const CLI::App& of = find_command(app, options->words);
    const ManualPage page = make_page(of, context.manuals);
    if (options->format == "text") return write_out(page_text(page, page_columns()));
    if (options->format == "man") return write_out(page_roff(page, std::string(kVersion)));
    require(options->format == "markdown", ErrorKind::Usage, fmt::format("--format: found \"{}\"; accepted: text, man, markdown", options->format));
    if (!options->words.empty()) return write_out(page_markdown(page));
    std::string all(kMarkdownHead);
    for (const CLI::App* each : list_commands(app)) all += "\n" + page_markdown(make_page(*each, context.manuals));
    write_out(all);
  });
}

}  // namespace gauntlet

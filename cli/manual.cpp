#include "cli/manual.h"

#include <fmt/format.h>

#include <algorithm>

namespace gauntlet {
namespace {

constexpr std::string_view kHelpText = "Print this page";

bool is_hidden(const CLI::App& app) { return app.get_group().empty(); }

bool is_positional(const CLI::Option& option) { return option.get_lnames().empty() && option.get_snames().empty(); }

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool takes_many(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

ManualEntry option_entry(const CLI::Option& option) {
  ManualEntry entry;
  for (const auto& name : option.get_snames()) entry.term += (entry.term.empty() ? "-" : ", -") + name;
  for (const auto& name : option.get_lnames()) entry.term += (entry.term.empty() ? "--" : ", --") + name;
  if (takes_value(option)) entry.term += fmt::format(" {}{}", option.get_type_name(), takes_many(option) ? "..." : "");
  entry.text = option.get_description();
  if (option.get_required()) entry.text += " (required)";
  if (takes_value(option) && !option.get_default_str().empty()) entry.text += fmt::format(" (default: {})", option.get_default_str());
  return entry;
}

std::string positional_name(const CLI::Option& option) { return option.get_name() + (takes_many(option) ? "..." : ""); }

}  // namespace

std::string command_path(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : command_path(*parent) + " " + command.get_name();
}

std::vector<const CLI::App*> list_commands(const CLI::App& root) {
  std::vector<const CLI::App*> out = {&root};
  for (const CLI::App* sub : root.get_subcommands([](const CLI::App*) { return true; })) {
    if (is_hidden(*sub)) continue;
    for (const CLI::App* inner : list_commands(*sub)) out.push_back(inner);
  }
  return out;
}

ManualPage make_page(const CLI::App& command, const Manuals& manuals) {
  ManualPage page{.name = command_path(command), .summary = command.get_description(), .synopsis = "", .groups = {}, .manual = {}};
  const auto manual = manuals.find(&command);
  if (manual != manuals.end()) page.manual = manual->second;

  ManualGroup arguments{.heading = "Arguments", .entries = {}}, options{.heading = "Options", .entries = {}};
  std::string required, positionals;
  for (const CLI::Option* option : command.get_options()) {
    if (is_positional(*option)) {
      arguments.entries.push_back({positional_name(*option), option->get_description()});
      positionals += option->get_required() ? " " + positional_name(*option) : fmt::format(" [{}]", positional_name(*option));
      continue;
    }
    ManualEntry entry = option_entry(*option);
    if (option == command.get_help_ptr()) entry.text = kHelpText;
    if (option->get_required()) required += " " + entry.term;
    options.entries.push_back(std::move(entry));
  }
  // --help is declared first by CLI11 and the least news.
  if (!options.entries.empty()) std::rotate(options.entries.begin(), options.entries.begin() + 1, options.entries.end());

  std::vector<ManualGroup> commands;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    if (is_hidden(*sub)) continue;
    const std::string heading = command.get_parent() == nullptr ? sub->get_group() : "Commands";
    auto place = std::find_if(commands.begin(), commands.end(), [&](const ManualGroup& group) { return group.heading == heading; });
    if (place == commands.end()) place = commands.insert(commands.end(), {.heading = heading, .entries = {}});
    place->entries.push_back({sub->get_name(), sub->get_description()});
  }
  page.synopsis = page.name + (commands.empty() ? required + " [OPTIONS]" + positionals : " COMMAND [OPTIONS]");
  page.groups = std::move(commands);
  if (!arguments.entries.empty()) page.groups.push_back(std::move(arguments));
  if (!options.entries.empty()) page.groups.push_back(std::move(options));
  if (page.manual.exit_status.empty()) page.manual.exit_status = {{0, "done"}, {2, "wrong usage"}, {3, "could not be done"}};
  return page;
}

}  // namespace gauntlet

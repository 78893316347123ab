#include "cli/usage.h"

#include <fmt/format.h>

#include "cli/manual.h"
#include "core/json.h"

namespace gauntlet {
namespace {

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) names.push_back(sub->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string did_you_mean(const std::string& nearest) { return nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest); }

/// A wrong word counts from here; CLI11's own words for the rest.
std::string translated(const CLI::App& command, const CLI::ParseError& error) {
  const std::string text = error.what();
  const std::string_view unconverted = "Could not convert: ";
  const auto equals = text.find(" = ");
  if (text.starts_with(unconverted) && equals != std::string::npos) {
    const std::string name = text.substr(unconverted.size(), equals - unconverted.size());
    const CLI::Option* option = command.get_option_no_throw(name);
    const bool whole = option != nullptr && option->get_type_name() == "N";
    return fmt::format("{}: found \"{}\"; accepted: {}", name, text.substr(equals + 3), whole ? "a whole number" : "a number");
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && text.ends_with(" is required")) {
    const std::string name = text.substr(0, text.size() - std::string_view(" is required").size());
    const CLI::Option* option = command.get_option_no_throw(name);
    return option == nullptr ? text : fmt::format("{} is missing: {}", name, option->get_description());
  }
  return text;
}

}  // namespace

UsageProblem explain_usage(const CLI::App& root, const std::vector<std::string>& words, const CLI::ParseError& error) {
  const CLI::App* command = &root;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") break;
    if (word.size() > 1 && word[0] == '-') {
      const auto equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const CLI::Option* option = command->get_option_no_throw(name);
      if (option == nullptr) {
        return {command, fmt::format("{} has no option {}{}", command_path(*command), name, did_you_mean(nearest_word(name, option_names(*command))))};
      }
      if (equals == std::string::npos && option->get_items_expected_max() > 0) ++i;  // its value
      continue;
    }
    const auto names = command_names(*command);
    if (names.empty()) continue;
    const auto subs = command->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
    if (subs.empty()) {
      return {command, fmt::format("{} has no command \"{}\"{}; there are: {}", command_path(*command), word, did_you_mean(nearest_word(word, names)), fmt::join(names, ", "))};
    }
    command = subs.front();
  }
  if (!command_names(*command).empty()) return {command, ""};
  return {command, translated(*command, error)};
}

}  // namespace gauntlet

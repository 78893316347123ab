#include <fmt/format.h>

#include "cli/context.h"
#include "cli/output.h"
#include "envs/env_spec.h"

namespace gauntlet {
namespace {

struct Completions {
  std::string path;                       ///< "gauntlet export rl"
  std::vector<std::string> words;         ///< subcommands and options
  std::vector<std::string> descriptions;  ///< one for each word
  bool takes_domain = false;
};

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\'' || c == ':' || c == '[' || c == ']' || c == '"' || c == '`' || c == '$' || c == '\\'; }, ' ');
  return text;
}

void collect(const CLI::App& app, const std::string& path, std::vector<Completions>& out) {
  Completions entry{.path = path};
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;  // hidden
    entry.words.push_back(sub->get_name());
    entry.descriptions.push_back(one_line(sub->get_description()));
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) {
      entry.words.push_back("--" + name);
      entry.descriptions.push_back(one_line(option->get_description()));
    }
    if (option->get_lnames().empty() && (option->get_name() == "DOMAIN" || option->get_name() == "ENVIRONMENT")) entry.takes_domain = true;
  }
  if (entry.takes_domain) {
    for (const auto& domain : builtin_domains()) {
      entry.words.push_back(domain);
      entry.descriptions.push_back("built-in environment");
    }
  }
  out.push_back(entry);
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) collect(*sub, path + " " + sub->get_name(), out);
  }
}

/// The longest known command path at the beginning of the line decides.
constexpr std::string_view kBash = R"(_gauntlet() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" path="gauntlet" word
  local -A words=(
{}  )
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ -n "${{words[$path $word]+x}}" ]] && path="$path $word"
  done
  case "${{COMP_WORDS[COMP_CWORD-1]}}" in
    --db|--out|--answer|--system-prompt) COMPREPLY=($(compgen -f -- "$cur")); return;;
    --mode) COMPREPLY=($(compgen -W "thinking chat" -- "$cur")); return;;
    --model) COMPREPLY=($(compgen -W "oracle noop constant echo random greedy" -- "$cur")); return;;
    --thinking-policy) COMPREPLY=($(compgen -W "since_last_user all last none" -- "$cur")); return;;
  esac
  COMPREPLY=($(compgen -W "${{words[$path]}}" -- "$cur"))
  [[ ${{#COMPREPLY[@]}} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$cur"))
  return 0
}}
complete -o filenames -F _gauntlet gauntlet
)";

constexpr std::string_view kZsh = R"(#compdef gauntlet
_gauntlet() {{
  local path="gauntlet" word
  local -A described
{}  for word in "${{(@)words[2,CURRENT-1]}}"; do
    [[ -n "${{described[$path $word]}}" ]] && path="$path $word"
  done
  case "${{words[CURRENT-1]}}" in
    --db|--out|--answer|--system-prompt) _files; return;;
    --mode) compadd thinking chat; return;;
    --model) compadd oracle noop constant echo random greedy; return;;
    --thinking-policy) compadd since_last_user all last none; return;;
  esac
  local -a choices
  choices=("${{(@f)described[$path]}}")
  _describe 'gauntlet' choices || _files
}}
compdef _gauntlet gauntlet
)";

std::string bash_script(const std::vector<Completions>& all) {
  std::string table;
  for (const auto& entry : all) table += fmt::format("    [\"{}\"]=\"{}\"\n", entry.path, fmt::join(entry.words, " "));
  return fmt::format(kBash, table);
}

std::string zsh_script(const std::vector<Completions>& all) {
  std::string table;
  for (const auto& entry : all) {
    std::string lines;
    for (std::size_t i = 0; i < entry.words.size(); ++i) lines += fmt::format("{}{}:{}", i == 0 ? "" : "\n", entry.words[i], entry.descriptions[i]);
    table += fmt::format("  described[{}]='{}'\n", entry.path, lines);
  }
  return fmt::format(kZsh, table);
}

}  // namespace

void add_completion_command(CLI::App& app, Context& /*context*/) {
  CLI::App* command = app.add_subcommand("completion", "Completion script for bash or zsh");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->footer("Examples:\n  source <(gauntlet completion bash)\n  gauntlet completion zsh > ~/.zfunc/_gauntlet");
  command->callback([shell, &app] {
    std::vector<Completions> all;
    collect(app, "gauntlet", all);
    write_out(*shell == "bash" ? bash_script(all) : zsh_script(all));
  });
}

}  // namespace gauntlet

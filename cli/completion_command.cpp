#include <fmt/format.h>

#include <algorithm>

#include "cli/builtin_model.h"
#include "cli/context.h"
#include "cli/output.h"
#include "core/error.h"
#include "envs/env_spec.h"
#include "inference/random_checkpoint.h"
#include "synth/agents.h"

namespace gauntlet {
namespace {

struct Completions {
  std::string path;                       ///< "gauntlet export rl"
  std::vector<std::string> words;         ///< subcommands, options and built-in names
  std::vector<std::string> descriptions;  ///< one for each word
};

struct Values {
  std::string option;              ///< "gauntlet bench --mode"
  std::vector<std::string> words;  ///< with no files and no words any value may follow, so nothing is offered
  bool files = false;              ///< files may follow as well
};

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\'' || c == ':' || c == '[' || c == ']' || c == '"' || c == '`' || c == '$' || c == '\\'; }, ' ');
  return text;
}

std::vector<std::string> model_words() {
  std::vector<std::string> words = agent_names();
  words.emplace_back(kBuiltinModel);
  words.push_back("replay:");
  return words;
}

std::vector<std::string> size_words() {
  std::vector<std::string> words;
  for (const auto& size : random_sizes()) words.emplace_back(size.name);
  return words;
}

/// What may follow an option, where that is a list, beside the files that may follow it too. An option of one command comes before those
/// of all commands.
std::vector<std::string> known_values(const std::string& option) {
  static const std::pair<std::string_view, std::vector<std::string>> kKnown[] = {
      {"gauntlet bench --thinking-policy", {"since_last_user", "all", "last", "none"}},
      {"gauntlet bench --model", model_words()},
      {"gauntlet bench --environment", builtin_domains()},
      {"gauntlet export rl --environment", builtin_domains()},
      {"gauntlet export sft --environment", builtin_domains()},
      {"gauntlet env dump --domain", builtin_domains()},
      {"gauntlet export rl --format", {"superset", "nemo_gym"}},
      {"gauntlet export sft --format", {"messages", "sharegpt"}},
      {"gauntlet help --format", {"text", "man", "markdown"}},
      {"gauntlet export tokens --environment", builtin_domains()},
      {"gauntlet export tokens --oracle", builtin_domains()},
      {"gauntlet export tokens --tokenizer", {std::string(kBuiltinModel)}},
      {"gauntlet model logits --device", {"cpu", "cuda"}},
      {"gauntlet model generate --device", {"cpu", "cuda"}},
      {"gauntlet model bench --device", {"cpu", "cuda"}},
      {"--device", {"auto", "cpu", "cuda"}},
      {"--dtype", {"f32", "bf16", "fp8"}},
      {"--weights", {"exact", "int8"}},
      {"--cache", {"bf16", "fp8"}},
      {"--queries", {"bf16", "fp8"}},
      {"--attention", {"sparse", "dense"}},
      {"--size", size_words()},
      {"--expert", {"tutor", "oracle"}},
      {"--mode", {"thinking", "chat"}},
      {"--model", {std::string(kBuiltinModel)}},
  };
  for (const auto& [name, words] : kKnown) {
    if (option == name || (name.starts_with("--") && option.ends_with(" " + std::string(name)))) return words;
  }
  return {};
}

void collect(const CLI::App& root, std::vector<Completions>& out, std::vector<Values>& values) {
  for (const CLI::App* command : list_commands(root)) {
    Completions entry{.path = command_path(*command), .words = {}, .descriptions = {}};
    const auto add = [&](const std::string& word, const std::string& description) {
      entry.words.push_back(word);
      entry.descriptions.push_back(one_line(description));
    };
    for (const CLI::App* sub : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (!sub->get_group().empty()) add(sub->get_name(), sub->get_description());
    }
    for (const CLI::Option* option : command->get_options()) {
      const std::string name = option->get_name();
      if (option->get_lnames().empty()) {
        if (name == "DOMAIN" || name == "ENVIRONMENT") {
          for (const auto& domain : builtin_domains()) add(domain, "built-in environment");
        } else if (name == "DIR") {
          add(std::string(kBuiltinModel), "the model that comes with this program");
        } else if (name == "SHELL") {
          add("bash", "completion script");
          add("zsh", "completion script");
        } else if (name == "COMMAND") {
          for (const CLI::App* other : root.get_subcommands([](const CLI::App*) { return true; })) {
            if (!other->get_group().empty()) add(other->get_name(), other->get_description());
          }
        }
        continue;
      }
      for (const auto& long_name : option->get_lnames()) {
        add("--" + long_name, option->get_description());
        const std::string full = entry.path + " --" + long_name;
        const std::string type = option->get_type_name();
        const bool files = type == "FILE" || type == "DIR" || type == "PATH" || type == "MODEL";
        if (option->get_items_expected_max() > 0) values.push_back({.option = full, .words = known_values(full), .files = files});
      }
    }
    out.push_back(std::move(entry));
  }
}

/// The longest known command path at the beginning of the line decides.
constexpr std::string_view kBash = R"(# bash completion of gauntlet:  source <(gauntlet completion bash)
_gauntlet_files() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1"; compgen -f -- "$1")
}}
_gauntlet() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="gauntlet" word
  local -A words=(
{}  )
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ -n "${{words[$path $word]+x}}" ]] && path="$path $word"
  done
  COMPREPLY=()
  case "$path $prev" in
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "${{words[$path]}}" -- "$cur")
  [[ ${{#COMPREPLY[@]}} -eq 0 ]] && _gauntlet_files "$cur"
  return 0
}}
complete -F _gauntlet gauntlet
)";

/// "path" is not a name for a variable in zsh: it is tied to PATH.
constexpr std::string_view kZsh = R"(#compdef gauntlet
# zsh completion of gauntlet:  gauntlet completion zsh > a folder of $fpath/_gauntlet
_gauntlet() {{
  local command="gauntlet" word
  local -A described=(
{}  )
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    [[ -n "${{described[$command $word]}}" ]] && command="$command $word"
  done
  case "$command ${{words[CURRENT-1]}}" in
{}  esac
  local -a choices
  choices=("${{(@f)described[$command]}}")
  _describe 'gauntlet' choices || _files
}}
if [[ "${{funcstack[1]}}" = "_gauntlet" ]]; then _gauntlet "$@"; else compdef _gauntlet gauntlet; fi
)";

std::string bash_values(const std::vector<Values>& values) {
  std::string out;
  for (const auto& value : values) {
    const std::string words = fmt::format("{}", fmt::join(value.words, " "));
    std::string action;
    if (value.files) {
      action = fmt::format("_gauntlet_files \"$cur\" \"{}\"; ", words);
    } else if (!words.empty()) {
      action = fmt::format("mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\"); ", words);
    }
    out += fmt::format("    \"{}\") {}return;;\n", value.option, action);
  }
  return out;
}

std::string zsh_values(const std::vector<Values>& values) {
  std::string out;
  for (const auto& value : values) {
    const std::string action = (value.words.empty() ? "" : fmt::format("compadd {}; ", fmt::join(value.words, " "))) + (value.files ? "_files; " : "");
    out += fmt::format("    \"{}\") {}return;;\n", value.option, action);
  }
  return out;
}

std::string bash_script(const std::vector<Completions>& all, const std::vector<Values>& values) {
  std::string table;
  for (const auto& entry : all) table += fmt::format("    [\"{}\"]=\"{}\"\n", entry.path, fmt::join(entry.words, " "));
  return fmt::format(kBash, table, bash_values(values));
}

std::string zsh_script(const std::vector<Completions>& all, const std::vector<Values>& values) {
  std::string table;
  for (const auto& entry : all) {
    std::string lines;
    for (std::size_t i = 0; i < entry.words.size(); ++i) lines += fmt::format("{}{}:{}", i == 0 ? "" : "\n", entry.words[i], entry.descriptions[i]);
    table += fmt::format("    '{}' '{}'\n", entry.path, lines);
  }
  return fmt::format(kZsh, table, zsh_values(values));
}

}  // namespace

void add_completion_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("completion", "Completion script for bash or zsh");
  command->group("This program");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash or zsh")->required();
  context.manuals[command] = {.description = "Commands, options, built-in environments, agents and files are completed.",
                              .examples = {{"In the running bash, or in ~/.bashrc", "source <(gauntlet completion bash)"},
                                           {"For zsh, in a folder of $fpath", "gauntlet completion zsh > ~/.zfunc/_gauntlet"}},
                              .exit_status = {},
                              .see_also = {}};
  command->callback([shell, &app] {
    require(*shell == "bash" || *shell == "zsh", ErrorKind::Usage, fmt::format("SHELL: found \"{}\"; accepted: bash, zsh", *shell));
    std::vector<Completions> all;
    std::vector<Values> values;
    collect(app, all, values);
    write_out(*shell == "bash" ? bash_script(all, values) : zsh_script(all, values));
  });
}

}  // namespace gauntlet

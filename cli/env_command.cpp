#include <fmt/format.h>

#include <iostream>

#include "cli/context.h"
#include "cli/environments.h"
#include "cli/output.h"
#include "core/error.h"
#include "synth/blueprint.h"

namespace gauntlet {
namespace {

std::string effect_name(ToolEffect effect) {
  return effect == ToolEffect::Read ? "reads" : effect == ToolEffect::Write ? "writes" : "submits";
}

std::string parameters_text(const ToolDefinition& tool) {
  std::string text;
  for (const auto& parameter : tool.parameters) text += fmt::format("{}{}{}", text.empty() ? "" : ", ", parameter.name, parameter.required ? "" : "?");
  return text;
}

void list_domains(bool json) {
  for (const auto& name : builtin_domains()) {
    const EnvSpec spec = load_builtin_domain(name);
    if (json) {
      write_json_line(Json{{"name", name}, {"title", spec.title}, {"family", spec.family}, {"tools", spec.tools.size()}, {"entities", spec.entities.size()}, {"sha256", spec.sha256}});
    } else {
      write_out(fmt::format("{:<20} {:>2} tools  {}\n", name, spec.tools.size(), spec.title));
    }
  }
}

void show_domain(const std::string& name, bool json) {
  const EnvSpec spec = load_env_spec(name);
  if (json) return write_json_line(spec.source);
  const Style style = Style::of_stdout();
  std::string out = fmt::format("{}  {}\n{}\n\n{}\n", style.bold(spec.name), spec.title, spec.description, style.bold("World"));
  for (const auto& parameter : spec.parameters) out += fmt::format("  parameter {} = {}: {}\n", parameter.name, dump_json(parameter.fallback), parameter.description);
  for (const auto& entity : spec.entities) {
    out += fmt::format("  {}({})", style.accent(entity.name), entity.key.empty() ? "" : entity.key + "; ");
    std::string columns;
    for (const auto& column : entity.columns) {
      if (column.name != entity.key) columns += (columns.empty() ? "" : ", ") + column.name + (column.unit.empty() ? "" : " in " + column.unit);
    }
    out += columns + "\n";
  }
  out += "\n" + style.bold("Tools") + "\n";
  for (const auto& tool : spec.tools) {
    out += fmt::format("  {}({}) {}\n      {}\n", style.accent(tool.spec.name), parameters_text(tool), style.dim(effect_name(tool.effect)), tool.spec.description);
  }
  if (spec.tasks.is_object()) {
    const auto named = named_tasks(spec);
    out += fmt::format("\n{}\n  difficulty levels {}{}\n", style.bold("Tasks"), fmt::join(task_levels(spec), ", "), named.empty() ? "" : fmt::format("; named: {}", fmt::join(named, ", ")));
  }
  write_out(out + fmt::format("\nsha256 {}\n", spec.sha256));
}

void check_spec(const std::string& file, bool json, Context& context) {
  try {
    const EnvSpec spec = parse_env_spec(read_json_file(file), file);
    if (json) return write_json_line(Json{{"ok", true}, {"name", spec.name}, {"sha256", spec.sha256}});
    write_out(fmt::format("{}: good: {} with {} entities and {} tools\n", file, spec.name, spec.entities.size(), spec.tools.size()));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) throw;
    context.exit_code = 1;
    if (json) return write_json_line(Json{{"ok", false}, {"message", error.what()}});
    write_out(std::string(error.what()) + "\n");
  }
}

struct DumpOptions {
  std::string store, task, out, domain;
  std::uint64_t seed = 0;
};

void dump(const DumpOptions& options) {
  if (!options.domain.empty()) {
    const EnvSpec spec = load_env_spec(options.domain);
    dump_world(spec, *build_world(spec, {.seed = options.seed}), options.out);
  } else {
    require(!options.store.empty() && !options.task.empty(), ErrorKind::Usage, "env dump: give --db and --task, or --domain and --seed");
    TaskShelf shelf(options.store);
    const auto ready = shelf.task(options.task);
    dump_world(*ready->environment->spec, *ready->world, options.out);
  }
  write_note(fmt::format("wrote {}", options.out));
}

}  // namespace

void add_env_command(CLI::App& app, Context& context) {
  CLI::App* env = app.add_subcommand("env", "Look at environments, validate a spec file, write a world to an SQLite file");
  env->require_subcommand(1);
  env->footer("Spec files are described in docs/environments.md.\nExample:\n  gauntlet env check my_domain.json && gauntlet synth ./my_domain.json --count 10 --db my.db");

  CLI::App* list = env->add_subcommand("list", "The built-in environments");
  auto json = std::make_shared<bool>(false);
  list->add_flag("--json", *json, "One JSON object a line");
  list->callback([json] { list_domains(*json); });

  CLI::App* show = env->add_subcommand("show", "One environment: its world, tools and task templates");
  auto name = std::make_shared<std::string>();
  show->add_option("ENVIRONMENT", *name, "A built-in name, or the path of a spec file")->required();
  show->add_flag("--json", *json, "The whole spec document");
  show->callback([name, json] { show_domain(*name, *json); });

  CLI::App* check = env->add_subcommand("check", "Validate a spec file; exit 1 with every problem and its place if it is wrong");
  check->add_option("FILE", *name, "The spec file")->required();
  check->add_flag("--json", *json, "{\"ok\", \"message\"}");
  check->callback([name, json, &context] { check_spec(*name, *json, context); });

  CLI::App* dump_command = env->add_subcommand("dump", "Write a world to an SQLite file, every entity a table");
  auto options = std::make_shared<DumpOptions>();
  dump_command->add_option("--db", options->store, "Store that holds the task");
  dump_command->add_option("--task", options->task, "The world of this task");
  dump_command->add_option("--domain", options->domain, "Instead of a task: an environment's default world");
  dump_command->add_option("--seed", options->seed, "With --domain: seed of the world")->capture_default_str();
  dump_command->add_option("--out", options->out, "File to write; must not exist")->required();
  dump_command->callback([options] { dump(*options); });
}

}  // namespace gauntlet

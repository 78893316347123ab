#include <fmt/format.h>

#include <iostream>

#include "cli/context.h"
#include "cli/environments.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "synth/blueprint.h"
#include "synth/template_trial.h"

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
      write_json_line(Json{{"name", name}, {"title", spec.title}, {"family", spec.family}, {"tools", spec.tools.size()}, {"entities", spec.entities.size()},
                           {"levels", task_levels(spec)}, {"named", named_tasks(spec)}, {"sha256", spec.sha256}});
    } else {
      const auto levels = task_levels(spec);
      write_out(fmt::format("{:<20} {:>2} tools  {:<24} {}\n", name, spec.tools.size(), levels.empty() ? "no task templates" : fmt::format("levels {} to {}", levels.front(), levels.back()), spec.title));
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
    std::string columns;
    for (const auto& column : entity.columns) {
      columns += (columns.empty() ? "" : ", ") + column.name + (column.references.empty() ? "" : " → " + column.references) + (column.unit.empty() ? "" : " (" + column.unit + ")");
    }
    out += fmt::format("  {}: {}\n      {}\n", style.accent(entity.name), entity.description, columns);
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
  const std::string text = read_text_file(file);
  try {
    const EnvSpec spec = parse_env_spec(parse_json(text, file), file);
    check_templates(spec, file);
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
  std::string store = "gauntlet.db", task, out, domain;
  std::string environment;  ///< the same as `domain`, by place
  std::uint64_t seed = 0;
};

void dump(const DumpOptions& options) {
  require(options.domain.empty() || options.environment.empty(), ErrorKind::Usage, "env dump: give the environment once, as ENVIRONMENT or with --domain");
  const std::string& domain = options.domain.empty() ? options.environment : options.domain;
  if (!domain.empty()) {
    require(options.task.empty(), ErrorKind::Usage, "env dump: give an environment or --task, not both");
    const EnvSpec spec = load_env_spec(domain);
    dump_world(spec, *build_world(spec, {.seed = options.seed}), options.out);
  } else {
    require(!options.task.empty(), ErrorKind::Usage, "env dump: give --db and --task, or an environment and --seed");
    TaskShelf shelf(options.store);
    const auto ready = shelf.task(options.task);
    dump_world(*ready->environment->spec, *ready->world, options.out);
  }
  write_note(fmt::format("wrote {}", options.out));
}

}  // namespace

void add_env_command(CLI::App& app, Context& context) {
  CLI::App* env = app.add_subcommand("env", "Look at environments, validate a spec file, write a world to an SQLite file");
  env->group("Environments, models and formats");
  env->require_subcommand(1);
  context.manuals[env] = {.description = "An environment is one JSON document: tables and how they are filled, tools as SQL statements, how an answer is handed in, and task templates.",
                          .examples = {{"Check a spec of your own, then make tasks of it", "gauntlet env check library.json && gauntlet synth ./library.json --count 10 --difficulty 1 --db library.db"}},
                          .exit_status = {},
                          .see_also = {"docs/environments.md"}};

  CLI::App* list = env->add_subcommand("list", "The built-in environments");
  auto json = std::make_shared<bool>(false);
  list->add_flag("--json", *json, "One JSON object a line");
  list->callback([json] { list_domains(*json); });

  CLI::App* show = env->add_subcommand("show", "One environment: its world, tools and task templates");
  auto name = std::make_shared<std::string>();
  show->add_option("ENVIRONMENT", *name, "A built-in name, or the path of a spec file")->required();
  show->add_flag("--json", *json, "The whole spec document");
  show->callback([name, json] { show_domain(*name, *json); });

  CLI::App* check = env->add_subcommand("check", "Validate a spec file; every problem is told with its place");
  check->add_option("FILE", *name, "The spec file")->required();
  check->add_flag("--json", *json, "One JSON object: ok, and name, sha256 or message");
  context.manuals[check] = {.description = "The schema first, then the meaning: references exist, generators fit their columns, and every tool's SQL compiles against the tables and "
                                           "touches only what it declares. Task templates are then tried as synth draws from them, in each of their branches: the members, fragments, "
                                           "variables, slots and columns that they name exist. Places are JSON pointers into the document, such as /tools/3/statements/0.",
                            .examples = {{"Check a spec", "gauntlet env check library.json"}},
                            .exit_status = {{0, "the spec is good"}, {1, "it is not"}, {2, "wrong usage"}, {3, "the file could not be read"}},
                            .see_also = {"docs/environments.md", "envs/env_spec.schema.json"}};
  check->callback([name, json, &context] { check_spec(*name, *json, context); });

  CLI::App* dump_command = env->add_subcommand("dump", "Write a world to an SQLite file, every entity a table");
  auto options = std::make_shared<DumpOptions>();
  dump_command->add_option("ENVIRONMENT", options->environment, "Instead of a task: an environment's default world; a built-in name or a spec file");
  check_path(dump_command->add_option("--out", options->out, "File to write; must not exist")->type_name("FILE")->required());
  check_path(dump_command->add_option("--db", options->store, "The store that holds the task")->type_name("FILE")->capture_default_str());
  dump_command->add_option("--task", options->task, "The world of this task")->type_name("ID");
  dump_command->add_option("--domain", options->domain, "The same as ENVIRONMENT")->type_name("DOMAIN");
  check_seed(dump_command->add_option("--seed", options->seed, "With an environment: seed of the world")->type_name("SEED")->capture_default_str());
  context.manuals[dump_command] = {.description = "",
                                   .examples = {{"Look into the world of a task", "gauntlet env dump --db t.db --task ID --out world.db && sqlite3 world.db 'SELECT * FROM hotel'"},
                                                {"A world of a built-in environment", "gauntlet env dump trip_planning --seed 7 --out world.db"}},
                                   .exit_status = {},
                                   .see_also = {}};
  dump_command->callback([options] { dump(*options); });
}

}  // namespace gauntlet

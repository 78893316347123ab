#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <thread>

#include "cli/builtin_model.h"
#include "cli/context.h"
#include "cli/model_command.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/version.h"
#include "core/error.h"
#include "datasets/store.h"
#include "envs/env_spec.h"
#include "inference/cpu/kernels.h"
#include "inference/cuda/make_cuda_backend.h"

namespace gauntlet {
namespace {

/// What a model would run on.
std::string cuda_text() {
  std::string why;
  const auto device = find_cuda_device(&why);
  if (!device) return "none: " + why;
  constexpr double kGib = 1 << 30;
  return fmt::format("{}, compute capability {}.{}, {:.1f} of {:.1f} GiB free", device->name, device->major, device->minor, static_cast<double>(device->free_bytes) / kGib, static_cast<double>(device->memory_bytes) / kGib);
}

Json builtin_model() {
  try {
    const std::string folder = find_builtin_model();
    const Json found = describe_model(folder);
    return {{"folder", folder}, {"parameters", found.at("parameters")}, {"bytes_on_disk", found.at("bytes_on_disk")}};
  } catch (const Error& error) {
    return {{"problem", error.what()}};
  }
}

std::string builtin_text(const Json& found) {
  if (found.contains("problem")) return "none: " + found.at("problem").get<std::string>();
  return fmt::format("{}, {:.1f} M parameters, {:.1f} MB", found.at("folder").get<std::string>(), found.at("parameters").get<double>() / 1e6, found.at("bytes_on_disk").get<double>() / 1e6);
}

Json machine() {
  const double gib = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30);
  std::error_code error;
  const auto space = std::filesystem::space(".", error);
  return {{"version", kVersion},
          {"cores", std::thread::hardware_concurrency()},
          {"vectors", isa_name(detect_isa())},
          {"cuda", cuda_text()},
          {"builtin_model", builtin_model()},
          {"memory_gib", std::round(gib * 10) / 10},
          {"free_disk_gib", error ? Json() : Json(std::round(static_cast<double>(space.available) / (1 << 30) * 10) / 10)},
          {"sqlite", sqlite3_libversion()},
          {"sandbox", std::filesystem::exists("/usr/bin/bwrap") ? "bwrap" : "none found (/usr/bin/bwrap)"},
          {"domains", builtin_domains()}};
}

Json look_into(const std::string& path, Context& context) {
  const Store store(path, StoreMode::ReadOnly);
  const auto problems = store.check();
  if (!problems.empty()) context.exit_code = 1;
  Json runs = Json::array();
  for (const auto& run : store.list_runs()) runs.push_back({{"run", run.run_id}, {"requested", run.requested}, {"completed", store.completed_slots(run.run_id).size()}});
  return {{"path", path}, {"tasks", store.count_tasks({})}, {"runs", runs}, {"problems", problems}};
}

std::string machine_text(const Json& found) {
  const auto text = [&](const char* key) { return found.at(key).is_string() ? found.at(key).get<std::string>() : dump_json(found.at(key)); };
  return fmt::format(
      "gauntlet {}\n  cores           {} with {}\n  CUDA            {}\n  built-in model  {}\n  memory          {} GiB\n  free disk       {} GiB here\n  SQLite          {}\n  sandbox         {}\n  environments    {}\n", text("version"),
      text("cores"), text("vectors"), text("cuda"), builtin_text(found.at("builtin_model")), text("memory_gib"), text("free_disk_gib"), text("sqlite"), text("sandbox"), fmt::join(found.at("domains").get<std::vector<std::string>>(), ", "));
}

std::string store_text(const Json& store, const Style& style) {
  std::string out = fmt::format("store {}\n  {}\n", store.at("path").get<std::string>(), counted(store.at("tasks").get<std::int64_t>(), "task"));
  for (const auto& run : store.at("runs")) {
    out += fmt::format("  run {}: {} of {} episodes done\n", run.at("run").get<std::string>(), dump_json(run.at("completed")), dump_json(run.at("requested")));
  }
  for (const auto& problem : store.at("problems")) out += fmt::format("  {} {}\n", style.bad("problem:"), printable(problem.get<std::string>()));
  return out + (store.at("problems").empty() ? "  " + style.good("sound") + ": integrity, references and invariants hold\n" : "");
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("doctor", "What this machine can do; with --db, whether a store is sound and what it holds");
  command->group("This program");
  struct Options {
    std::string store;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  check_path(command->add_option("--db", options->store, "Check this store too: integrity, references, invariants")->type_name("FILE"));
  command->add_flag("--json", options->json, "One JSON object");
  context.manuals[command] = {.description = "",
                              .examples = {{"Is this store sound?", "gauntlet doctor --db t.db"}},
                              .exit_status = {{0, "all is well"}, {1, "the store has problems"}, {2, "wrong usage"}, {3, "the store could not be read"}},
                              .see_also = {"docs/store.md"}};
  command->callback([options, &context] {
    Json found = machine();
    if (!options->store.empty()) found["store"] = look_into(options->store, context);
    if (options->json) return write_json_line(found);
    write_out(machine_text(found));
    if (found.contains("store")) write_out(store_text(found.at("store"), Style::of_stdout()));
  });
}

}  // namespace gauntlet

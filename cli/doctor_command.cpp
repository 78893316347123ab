#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/version.h"
#include "datasets/store.h"
#include "envs/env_spec.h"

namespace gauntlet {
namespace {

Json machine() {
  const double gib = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30);
  std::error_code error;
  const auto space = std::filesystem::space(".", error);
  return {{"version", kVersion},
          {"cores", std::thread::hardware_concurrency()},
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

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("doctor", "What this machine can do; with --db, whether a store is sound and what it holds");
  struct Options {
    std::string store;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("--db", options->store, "Check this store too (integrity, references, invariants)");
  command->add_flag("--json", options->json, "One JSON object");
  command->footer("Exit status: 0 sound, 1 the store has problems, 3 it could not be read.");
  command->callback([options, &context] {
    Json found = machine();
    if (!options->store.empty()) found["store"] = look_into(options->store, context);
    if (options->json) return write_json_line(found);
    for (const auto& item : found.items()) {
      if (!item.value().is_object()) {
        write_out(fmt::format("{:<14} {}\n", item.key(), item.value().is_string() ? item.value().get<std::string>() : dump_json(item.value())));
        continue;
      }
      for (const auto& part : item.value().items()) write_out(fmt::format("store {:<8} {}\n", part.key(), dump_json(part.value())));
    }
  });
}

}  // namespace gauntlet

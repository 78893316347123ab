#include "cli/verify_command.h"

#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <map>

#include "cli/environments.h"
#include "cli/output.h"
#include "core/error.h"
#include "synth/audit.h"

namespace gauntlet {
namespace {

void verify_answer(const VerifyOptions& options, Context& context) {
  TaskShelf shelf(options.store);
  const auto ready = shelf.task(options.task);
  const std::string answer = options.answer == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_text_file(options.answer);
  const Score score = ready->judge(answer);
  require(score.scored, ErrorKind::Internal, fmt::format("could not judge the answer: {}", score.unscored_reason));
  const bool passes = score.value == 1.0;
  context.exit_code = passes ? 0 : 1;
  if (options.json) {
    Json components = Json::array();
    for (const auto& component : score.components) components.push_back({{"constraint", component.constraint}, {"holds", component.holds}, {"explanation", component.explanation}});
    return write_json_line(Json{{"value", static_cast<int>(score.value)}, {"summary", score.summary}, {"components", components}});
  }
  const Style style = Style::of_stdout();
  for (const auto& component : score.components) {
    write_out(fmt::format("{} {}  {}\n", component.holds ? style.good("holds") : style.bad("fails"), component.constraint, style.dim(component.explanation)));
  }
  write_out(fmt::format("{}: {}\n", passes ? style.good("passes") : style.bad("does not pass"), score.summary));
}

void verify_certificates(const VerifyOptions& options, Context& context) {
  TaskShelf shelf(options.store);
  const Store store(options.store, StoreMode::ReadOnly);
  std::map<std::string, std::unique_ptr<Gate>> gates;
  std::int64_t checked = 0, wrong = 0;
  // By id, so that a task that cannot be read is one problem and not the end.
  for (const std::string& id : store.task_ids()) {
    if (context.cancel.load()) break;
    if (!options.task.empty() && id != options.task) continue;
    std::string problem;
    try {
      const auto task = store.find_task(id);
      require(task.has_value(), ErrorKind::Store, "it is no longer there");
      auto& gate = gates[task->env_sha256];
      if (!gate) gate = std::make_unique<Gate>(shelf.environment(task->env_sha256).spec, GateOptions{});
      problem = audit(*gate, *task, context.cancel);
    } catch (const std::exception& error) {
      problem = fmt::format("it cannot be read: {}", error.what());
    }
    if (context.cancel.load()) break;  // what was being checked is not
    ++checked;
    if (problem.empty()) continue;
    ++wrong;
    write_out(options.json ? dump_json(Json{{"task_id", id}, {"problem", problem}}) + "\n" : fmt::format("{}: {}\n", id, problem));
  }
  require(checked > 0 || context.cancel.load(), ErrorKind::Usage,
          options.task.empty() ? fmt::format("{} holds no tasks", options.store) : fmt::format("{} has no task \"{}\"", options.store, options.task));
  write_note(fmt::format("{} made again: {} equal to the byte, {} not", counted(checked, "certificate"), checked - wrong, wrong));
  if (wrong > 0) context.exit_code = 1;
  if (context.cancel.load()) context.exit_code = 3;
}

void verify_episodes(const VerifyOptions& options, Context& context) {
  Store store(options.store, options.update ? StoreMode::ReadWrite : StoreMode::ReadOnly);
  TaskShelf shelf(options.store);  // After the store, which brings an older file up to date where it may write.
  if (!options.run.empty()) get_run(store, options.run);
  std::int64_t checked = 0, unscored = 0, changed = 0;
  store.for_each_episode({.run_id = options.run, .latest_attempt_only = false, .with_messages = false}, [&](const StoredEpisode& stored) {
    if (context.cancel.load()) return;
    const Episode& episode = stored.episode;
    if (is_infrastructure(episode.stop)) {
      ++unscored;
      return;
    }
    ++checked;
    const Score now = shelf.task(episode.task_id)->judge(episode.answer);
    if (to_json(now) == to_json(episode.score)) return;
    ++changed;
    const Json line = {{"episode", stored.episode_id}, {"task_id", episode.task_id}, {"run", episode.run_id}, {"stored", to_json(episode.score)}, {"now", to_json(now)}};
    write_out(options.json ? dump_json(line) + "\n"
                           : fmt::format("episode {} ({}, run {}): stored {} ({}), now {} ({})\n", stored.episode_id, episode.task_id, episode.run_id,
                                         episode.score.scored ? fmt::format("{}", episode.score.value) : "unscored", episode.score.summary, now.value, now.summary));
    if (options.update) store.update_score(stored.episode_id, now);
  });
  write_note(fmt::format("{} judged again: {} unchanged, {} changed{}; {} with infrastructure faults left unscored", counted(checked, "episode"), checked - changed, changed,
                         options.update && changed > 0 ? " and stored" : "", unscored));
  if (changed > 0) context.exit_code = 1;
  if (context.cancel.load()) context.exit_code = 3;
}

}  // namespace

void run_verify(const VerifyOptions& options, Context& context) {
  if (!options.answer.empty()) {
    require(!options.task.empty(), ErrorKind::Usage, "verify --answer: give the task with --task");
    return verify_answer(options, context);
  }
  if (options.certificates) return verify_certificates(options, context);
  require(options.task.empty(), ErrorKind::Usage, "verify --task: give an answer with --answer FILE, or --certificates");
  verify_episodes(options, context);
}

void add_verify_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("verify", "Judge stored episodes again, re-make certificates, or judge one answer");
  command->group("Look and judge");
  auto options = std::make_shared<VerifyOptions>();
  command->add_option("--db", options->store, "The store")->type_name("FILE")->capture_default_str();
  command->add_option("--run", options->run, "Only episodes of this run")->type_name("NAME");
  command->add_flag("--update", options->update, "Store the scores that differ");
  command->add_flag("--certificates", options->certificates, "Certify every task anew from its content and compare byte for byte");
  command->add_option("--task", options->task, "The task of --answer, or the only one for --certificates")->type_name("ID");
  command->add_option("--answer", options->answer, "A file with one answer, as an agent would hand it in; \"-\": standard input")->type_name("FILE");
  command->add_flag("--json", options->json, "JSON on stdout: for an answer {value, summary, components: [{constraint, holds, explanation}]}; else one object for each difference");
  context.manuals[command] = {
      .description = "Needs no model: worlds are built again from the store, and answers are checked by the program that was derived from the task's requirements. Without further "
                     "options every stored episode is judged again. With --certificates each task goes through the gate again. With --task and --answer one answer is judged.",
      .examples = {{"Judge all episodes again", "gauntlet verify --db t.db"},
                   {"Re-make the evidence of every task", "gauntlet verify --db t.db --certificates"},
                   {"Judge one answer", "gauntlet verify --db t.db --task ID --answer answer.json --json"}},
      .exit_status = {{0, "nothing differs; or the answer passes"}, {1, "something differs; or the answer does not pass"}, {2, "wrong usage"}, {3, "could not be done, or stopped by Ctrl-C"}},
      .see_also = {"docs/certificates.md"}};
  command->callback([options, &context] { run_verify(*options, context); });
}

}  // namespace gauntlet

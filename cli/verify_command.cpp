#include "cli/verify_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>

#include "cli/environments.h"
#include "cli/ground_truth.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "synth/audit.h"

namespace gauntlet {
namespace {

Score judge_answer(const VerifyOptions& options) {
  const std::string answer = options.answer == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_text_file(options.answer);
  if (!options.ground_truth.empty()) return GroundTruthJudge(options.specs).judge(read_json_file(options.ground_truth), answer);
  return TaskShelf(options.store).task(options.task)->judge(answer);
}

void verify_answer(const VerifyOptions& options, Context& context) {
  const Score score = judge_answer(options);
  const Json verdict = verdict_json(score);
  const bool passes = score.value == 1.0;
  context.exit_code = passes ? 0 : 1;
  if (options.json) return write_json_line(verdict);
  const Style style = Style::of_stdout();
  for (const auto& component : score.components) {
    write_out(fmt::format("{} {}  {}\n", component.holds ? style.good("holds") : style.bad("fails"), component.constraint, style.dim(component.explanation)));
  }
  write_out(fmt::format("{}: {}\n", passes ? style.good("passes") : style.bad("does not pass"), score.summary));
}

/// One verdict for every line, written before the next is read, so that a caller may keep the process and ask again and again.
void verify_batch(const VerifyOptions& options, Context& context) {
  GroundTruthJudge judge(options.specs);
  std::string line;
  while (!context.cancel.load() && std::getline(std::cin, line)) {
    const Json verdict = judge.judge_line(line);
    if (verdict.contains("error")) context.exit_code = 1;
    write_json_line(verdict);
  }
  if (context.cancel.load()) context.exit_code = 3;
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

struct Use {
  std::string mode;                         ///< the option that asks for it; empty: stored episodes are judged again
  std::vector<std::string> accepted = {};   ///< beside it
};

Use use_of(const VerifyOptions& options) {
  if (options.batch) return {"--batch", {"--spec", "--json"}};
  if (!options.ground_truth.empty()) return {"--ground-truth", {"--answer", "--spec", "--json"}};
  if (!options.answer.empty()) return {"--answer", {"--task", "--db", "--json"}};
  if (options.certificates) return {"--certificates", {"--task", "--db", "--json"}};
  return {"", {"--db", "--run", "--update", "--json"}};
}

/// An option that would go unread is a misunderstanding.
void require_read(const VerifyOptions& options) {
  const Use use = use_of(options);
  const std::pair<std::string, bool> given[] = {{"--answer", !options.answer.empty()}, {"--certificates", options.certificates}, {"--ground-truth", !options.ground_truth.empty()},
                                                {"--db", options.store_given},         {"--run", !options.run.empty()},         {"--task", !options.task.empty()},
                                                {"--update", options.update},          {"--spec", !options.specs.empty()}};
  require(!use.mode.empty() || options.task.empty(), ErrorKind::Usage, "verify --task: give an answer with --answer FILE, or --certificates");
  for (const auto& [name, is_given] : given) {
    if (!is_given || name == use.mode || std::find(use.accepted.begin(), use.accepted.end(), name) != use.accepted.end()) continue;
    if (use.mode.empty()) fail(ErrorKind::Usage, fmt::format("verify {}: it goes with --ground-truth or --batch", name));
    fail(ErrorKind::Usage, fmt::format("verify {}: found {} beside it; accepted beside it: {}", use.mode, name, fmt::join(use.accepted, ", ")));
  }
}

}  // namespace

void run_verify(const VerifyOptions& options, Context& context) {
  require_read(options);
  if (options.batch) return verify_batch(options, context);
  if (!options.ground_truth.empty()) {
    require(!options.answer.empty(), ErrorKind::Usage, "verify --ground-truth: give the answer with --answer FILE");
    return verify_answer(options, context);
  }
  if (!options.answer.empty()) {
    require(!options.task.empty(), ErrorKind::Usage, "verify --answer: give the task with --task, or a row's ground truth with --ground-truth");
    return verify_answer(options, context);
  }
  if (options.certificates) return verify_certificates(options, context);
  verify_episodes(options, context);
}

void add_verify_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("verify", "Judge stored episodes again, re-make certificates, or judge one answer");
  command->group("Look and judge");
  auto options = std::make_shared<VerifyOptions>();
  check_path(command->add_option("--db", options->store, "The store")->type_name("FILE")->capture_default_str());
  command->add_option("--run", options->run, "Only episodes of this run")->type_name("NAME");
  command->add_flag("--update", options->update, "Store the scores that differ");
  command->add_flag("--certificates", options->certificates, "Certify every task anew from its content and compare byte for byte");
  command->add_option("--task", options->task, "The task of --answer, or the only one for --certificates")->type_name("ID");
  command->add_option("--answer", options->answer, "A file with one answer, as an agent would hand it in; \"-\": standard input")->type_name("FILE");
  command->add_option("--ground-truth", options->ground_truth, "A file with the ground truth of an exported row, in place of --db and --task")->type_name("FILE");
  command->add_flag("--batch", options->batch, "Read lines {\"ground_truth\", \"answer\"} from standard input and write a verdict for each at once; no store is needed");
  command->add_option("--spec", options->specs, "With --ground-truth or --batch: the file of an environment that does not come with the program; may be repeated")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "JSON on stdout: for an answer {value, summary, components: [{constraint, holds, explanation}]}; else one object for each difference");
  context.manuals[command] = {
      .description = "Needs no model: worlds are built again from the store, and answers are checked by the program that was derived from the task's requirements. Without further "
                     "options every stored episode is judged again. With --certificates each task goes through the gate again. With --task and --answer one answer is judged.\n\n"
                     "--ground-truth and --batch judge by what rows of gauntlet export rl carry, without a store. In a batch ground_truth is the row's (a "
                     "string that holds JSON, or the object), and answer is the text that the agent handed in, or null. Each line gets {value, summary, components} or "
                     "{\"error\": {code, message}}, before the next is read: a trainer's reward function starts one process and keeps it.",
      .examples = {{"Judge all episodes again", "gauntlet verify --db t.db"},
                   {"Re-make the evidence of every task", "gauntlet verify --db t.db --certificates"},
                   {"Judge one answer", "gauntlet verify --db t.db --task ID --answer answer.json --json"},
                   {"Judge many answers to the tasks of exported rows", "gauntlet verify --batch < answers.jsonl > verdicts.jsonl"}},
      .exit_status = {{0, "nothing differs; the answer passes; or every line was judged"},
                      {1, "something differs; the answer does not pass; or a line could not be judged"},
                      {2, "wrong usage"},
                      {3, "could not be done, or stopped by Ctrl-C"}},
      .see_also = {"docs/certificates.md"}};
  command->callback([options, command, &context] {
    options->store_given = command->count("--db") > 0;
    run_verify(*options, context);
  });
}

}  // namespace gauntlet

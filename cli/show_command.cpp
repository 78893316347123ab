#include "cli/show_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/environments.h"
#include "cli/output.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kExcerptRows = 4;      // of each table
constexpr std::size_t kShownCharacters = 1200;  // of one message

std::string indented(const std::string& text, const std::string& indent) {
  std::string out = indent;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += indent;
  }
  return out;
}

std::string shortened(const std::string& text) {
  if (text.size() <= kShownCharacters) return text;
  return valid_utf8(text.substr(0, kShownCharacters)) + fmt::format(" … ({} more bytes; --json has all)", text.size() - kShownCharacters);
}

Json constraint_list(const ReadyTask& ready) {
  Json out = Json::array();
  for (const auto& component : ready.judge(dump_json(ready.task.certificate.at("oracle_answer"))).components) out.push_back(component.constraint);
  return out;
}

Json task_json(const ReadyTask& ready) {
  return {{"task_id", ready.task.task_id},
          {"domain", ready.task.environment},
          {"named", ready.task.named},
          {"difficulty", ready.task.difficulty},
          {"prompt", ready.task.prompt},
          {"tools", tools_to_json(*ready.environment->tools)},
          {"constraints", constraint_list(ready)},
          {"problem", ready.task.problem},
          {"world", to_json(ready.task.world)},
          {"env_sha256", ready.task.env_sha256},
          {"certificate", ready.task.certificate}};
}

std::string world_excerpt(const World& world, const Style& style) {
  std::string out;
  for (const auto& table : world.tables) {
    out += fmt::format("  {} ({} rows)\n", style.accent(table.name), table.rows);
    for (std::size_t row = 0; row < std::min(table.rows, kExcerptRows); ++row) {
      std::string cells;
      for (const auto& column : table.columns) cells += fmt::format("{}{}={}", cells.empty() ? "" : "  ", column.name, cell_text(world, column, column.cells[row]));
      out += "    " + printable(cells) + "\n";
    }
    if (table.rows > kExcerptRows) out += style.dim("    …") + "\n";
  }
  return out;
}

void show_task(const ReadyTask& ready, bool json) {
  if (json) return write_json_line(task_json(ready));
  const Style style = Style::of_stdout();
  const Json& certificate = ready.task.certificate;
  std::string out = fmt::format("{}  {}, level {}{}\n\n{}\n\n", style.bold(ready.task.task_id), ready.task.environment, ready.task.level,
                                ready.task.named.empty() ? "" : ", named " + ready.task.named, printable(ready.task.prompt));
  out += style.bold("Difficulty") + "\n";
  for (const auto& item : ready.task.difficulty.at("vector").items()) out += fmt::format("  {:<22} {}\n", item.key(), dump_json(item.value()));
  out += style.bold("Certificate") + "\n";
  for (const auto& item : certificate.items()) {
    if (item.key() != "oracle_answer" && item.key() != "kill_matrix") out += fmt::format("  {:<22} {}\n", item.key(), dump_json(item.value()));
  }
  out += fmt::format("  {:<22} {}\n", "oracle_answer", printable(dump_json(certificate.at("oracle_answer"))));
  out += fmt::format("{}\n{}", style.bold("World") + style.dim(fmt::format("  (all of it: gauntlet env dump --task {} --out world.db)", ready.task.task_id)),
                     "\n" + world_excerpt(*ready.world, style));
  write_out(out);
}

Json episode_json(const StoredEpisode& stored) {
  const Episode& episode = stored.episode;
  Json messages = Json::array();
  for (const auto& message : episode.messages) messages.push_back(to_json(message));
  return {{"episode", stored.episode_id},
          {"run", episode.run_id},
          {"task_id", episode.task_id},
          {"sample", episode.sample},
          {"attempt", episode.attempt},
          {"seed", episode.seed},
          {"stop", stop_reason_name(episode.stop)},
          {"fault_class", episode.fault_class},
          {"fault_message", episode.fault_message},
          {"messages", messages},
          {"answer", episode.answer ? Json(*episode.answer) : Json()},
          {"score", to_json(episode.score)},
          {"steps", episode.steps},
          {"tool_calls", episode.tool_calls},
          {"tool_errors", episode.tool_errors},
          {"malformed_calls", episode.malformed_calls},
          {"usage", {{"prompt_tokens", episode.usage.prompt_tokens}, {"completion_tokens", episode.usage.completion_tokens}, {"reasoning_tokens", episode.usage.reasoning_tokens}}},
          {"cost", episode.cost},
          {"wall_ms", episode.wall_ms}};
}

std::string message_text(const Message& message, const Style& style) {
  std::string out;
  const auto part = [&](const std::string& heading, const std::string& text) {
    if (!text.empty()) out += heading + "\n" + indented(printable(shortened(text)), "  ") + "\n";
  };
  switch (message.role) {
    case Role::Assistant:
      part(style.dim("thinking"), style.dim(message.reasoning));
      part(style.bold("assistant"), message.content);
      for (const auto& call : message.tool_calls) out += fmt::format("{} {}({})\n", style.accent("call"), printable(call.name), printable(shortened(call.arguments)));
      break;
    case Role::Tool: part(style.accent("result") + (message.tool_name.empty() ? "" : " of " + printable(message.tool_name)), message.content); break;
    default: part(style.bold(std::string(role_name(message.role))), message.content); break;
  }
  return out;
}

void show_episode(const StoredEpisode& stored, bool json) {
  if (json) return write_json_line(episode_json(stored));
  const Style style = Style::of_stdout();
  const Episode& episode = stored.episode;
  std::string out = style.bold(fmt::format("episode {}", stored.episode_id)) + fmt::format("  run {}, task {}, sample {}\n\n", episode.run_id, episode.task_id, episode.sample);
  for (const auto& message : episode.messages) out += message_text(message, style);
  out += fmt::format("\n{}  stop: {}; {} replies, {} tool calls ({} refused), {} completion tokens, {} ms\n", style.bold("verdict"), stop_reason_name(episode.stop), episode.steps,
                     episode.tool_calls, episode.tool_errors, episode.usage.completion_tokens, episode.wall_ms);
  if (!episode.fault_message.empty()) out += fmt::format("  {}: {}\n", style.bad(episode.fault_class), printable(episode.fault_message));
  for (const auto& component : episode.score.components) {
    out += fmt::format("  {} {}  {}\n", component.holds ? style.good("holds") : style.bad("fails"), component.constraint, style.dim(printable(component.explanation)));
  }
  const Score& score = episode.score;
  out += score.scored ? fmt::format("  {}: {}\n", score.value == 1.0 ? style.good("passes") : style.bad("does not pass"), score.summary)
                      : fmt::format("  not scored: {}\n", score.unscored_reason);
  write_out(out);
}

}  // namespace

void run_show(const ShowOptions& options) {
  const bool number = !options.id.empty() && std::all_of(options.id.begin(), options.id.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!number) return show_task(*TaskShelf(options.store).task(options.id), options.json);
  const Store store(options.store, StoreMode::ReadOnly);
  require(options.id.size() < 18, ErrorKind::Usage, fmt::format("show: \"{}\" is no episode number", options.id));
  const auto stored = store.find_episode(std::stoll(options.id));
  require(stored.has_value(), ErrorKind::Usage, fmt::format("looked for episode {} in {}, which does not hold it; accepted: an episode's number (see v_outcomes) or a task's id", options.id, options.store));
  show_episode(*stored, options.json);
}

void add_show_command(CLI::App& app, Context& /*context*/) {
  CLI::App* command = app.add_subcommand("show", "A task with certificate and world, or an episode's transcript with its verdict");
  auto options = std::make_shared<ShowOptions>();
  command->add_option("ID", options->id, "A task's id, or an episode's number")->required();
  command->add_option("--db", options->store, "The store")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object with everything");
  command->footer("Colours are used on a terminal unless NO_COLOR is set.\n\nExamples:\n  gauntlet show --db t.db 1\n  gauntlet show --db t.db trip_planning-0123456789abcdef --json");
  command->callback([options] { run_show(*options); });
}

}  // namespace gauntlet

#include <fmt/format.h>

#include <algorithm>

#include "cli/output.h"
#include "cli/show_command.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kShownCharacters = 1200;  // of a result or a thought
constexpr std::size_t kOneLine = 100;

std::string indented(const std::string& text, const std::string& indent) {
  std::string out = indent;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += indent;
  }
  return out;
}

std::string shortened(const std::string& text, bool full) {
  if (full || text.size() <= kShownCharacters) return text;
  return valid_utf8(text.substr(0, kShownCharacters)) + fmt::format(" … ({} more bytes; --full shows all)", text.size() - kShownCharacters);
}

/// The JSON document in `text`, if it is one array or object.
std::optional<Json> document(const std::string& text) {
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return std::nullopt;
  try {
    Json value = parse_json(text, "");
    return value;
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// name(argument: value, …); an argument that is a JSON document in a string, as answers are, is laid out below.
std::string call_text(const ToolCall& call, bool full, const Style& style) {
  const std::string name = style.accent(printable(call.name));
  const auto arguments = document(call.arguments);
  if (!arguments || !arguments->is_object()) return fmt::format("{} {}\n", name, printable(shortened(call.arguments, full)));
  std::string inside, below;
  for (const auto& item : arguments->items()) {
    const auto inner = item.value().is_string() ? document(item.value().get<std::string>()) : std::nullopt;
    inside += fmt::format("{}{}: {}", inside.empty() ? "" : ", ", item.key(), inner ? "…" : dump_json(item.value()));
    if (inner) below += fmt::format("  {} = {}\n", item.key(), laid_out(*inner, "  "));
  }
  return fmt::format("{}({})\n{}", name, printable(shortened(inside, full)), printable(below));
}

std::string message_text(const Message& message, bool full, const Style& style) {
  std::string out;
  const auto part = [&](const std::string& heading, const std::string& text) {
    if (!text.empty()) out += heading + "\n" + indented(text, "  ") + "\n";
  };
  switch (message.role) {
    case Role::Assistant:
      part(style.bold("assistant thinks"), style.dim(printable(shortened(message.reasoning, full))));
      part(style.bold("assistant"), printable(shortened(message.content, full)));
      for (const auto& call : message.tool_calls) out += style.bold("call ") + call_text(call, full, style);
      break;
    case Role::Tool: {
      const std::string text = printable(shortened(message.content, full));
      const std::string heading = style.bold("result") + (message.tool_name.empty() ? "" : " of " + style.accent(printable(message.tool_name)));
      if (text.size() <= kOneLine && text.find('\n') == std::string::npos) out += heading + "  " + text + "\n";
      else part(heading, text);
      break;
    }
    default: part(style.bold(std::string(role_name(message.role))), printable(message.content)); break;
  }
  return out;
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
          {"usage",
           {{"prompt_tokens", episode.usage.prompt_tokens},
            {"completion_tokens", episode.usage.completion_tokens},
            {"reasoning_tokens", episode.usage.reasoning_tokens},
            {"cached_tokens", episode.usage.cached_tokens}}},
          {"cost", episode.cost},
          {"wall_ms", episode.wall_ms}};
}

std::string verdict_text(const Episode& episode, const Style& style) {
  std::string out = fmt::format("{}  stopped by: {}; {}, {} ({} refused), {} completion tokens, {} ms\n", style.bold("verdict"), stop_reason_name(episode.stop),
                                counted(episode.steps, "message"), counted(episode.tool_calls, "tool call"), episode.tool_errors, episode.usage.completion_tokens, episode.wall_ms);
  if (!episode.fault_message.empty()) out += fmt::format("  {}: {}\n", style.bad(episode.fault_class), printable(episode.fault_message));
  for (const bool holds : {false, true}) {
    for (const auto& component : episode.score.components) {
      if (component.holds != holds) continue;
      out += fmt::format("  {} {}: {}\n", holds ? style.good("holds") : style.bad("fails"), printable(component.constraint), style.dim(printable(component.explanation)));
    }
  }
  const Score& score = episode.score;
  return out + (score.scored ? fmt::format("  {}: {}\n", score.value == 1.0 ? style.good("passes") : style.bad("does not pass"), printable(score.summary))
                             : fmt::format("  {}: {}\n", style.bad("not scored"), printable(score.unscored_reason)));
}

}  // namespace

std::string laid_out(const Json& value, const std::string& indent) {
  const auto is_scalar = [](const Json& item) { return !item.is_structured(); };
  if (!value.is_array() || value.empty() || std::all_of(value.begin(), value.end(), is_scalar)) return dump_json(value);
  std::string out = "[";
  for (std::size_t i = 0; i < value.size(); ++i) out += fmt::format("{}\n{}  {}", i == 0 ? "" : ",", indent, dump_json(value[i]));
  return out + "]";
}

void show_verdict(const Episode& episode) { write_out(verdict_text(episode, Style::of_stdout())); }

void show_episode(const StoredEpisode& stored, const ShowOptions& options) {
  if (options.json) return write_json_line(episode_json(stored));
  const Style style = Style::of_stdout();
  const Episode& episode = stored.episode;
  const std::string attempt = episode.attempt > 0 ? fmt::format(", attempt {}", episode.attempt) : "";
  std::string out = style.bold(fmt::format("episode {}", stored.episode_id));
  out += fmt::format("  run {}, task {}, sample {}{}\n\n", printable(episode.run_id), episode.task_id, episode.sample, attempt);
  for (const auto& message : episode.messages) out += message_text(message, options.full, style);
  write_out(out + "\n" + verdict_text(episode, style));
}

}  // namespace gauntlet

#include "datasets/export_sft.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "core/error.h"

namespace gauntlet {
namespace {

/// A conversation in the target's form, or why there is none.
struct Converted {
  Json value;
  std::string refused;
};

Converted refuse(std::string reason) { return {.value = {}, .refused = std::move(reason)}; }

std::optional<Json> parse_arguments(const std::string& text) {
  try {
    Json value = parse_json(text.empty() ? "{}" : text, "arguments");
    if (value.is_object()) return value;
  } catch (const Error&) {
    // A model wrote it: not being JSON is an expected outcome.
  }
  return std::nullopt;
}

constexpr const char* kBadArguments = "the arguments of a tool call are not a JSON object";

std::vector<Message> without_trailing_results(std::vector<Message> messages) {
  while (!messages.empty() && messages.back().role != Role::Assistant) messages.pop_back();
  return messages;
}

/// Empty if every call but those of the last message is answered exactly once, before the assistant speaks again. Fills in
/// missing tool names, which some templates need.
std::string pair_results(std::vector<Message>& messages) {
  std::vector<ToolCall> open;
  for (Message& message : messages) {
    if (message.role == Role::Tool) {
      const auto call = std::find_if(open.begin(), open.end(),
                                     [&](const ToolCall& candidate) { return candidate.id == message.tool_call_id; });
      if (call == open.end()) return "a tool result belongs to no open call";
      if (message.tool_name.empty()) message.tool_name = call->name;
      open.erase(call);
    } else {
      if (!open.empty()) return "a tool call has no result";
      open = message.tool_calls;
    }
  }
  return "";
}

Converted to_openai(const std::vector<Message>& messages, const SftExportOptions& options) {
  Converted out{.value = Json::array(), .refused = ""};
  for (const Message& message : messages) {
    Json row = to_json(message);
    if (options.reasoning == ReasoningExport::Drop) row.erase("reasoning_content");
    if (options.arguments == ArgumentsForm::Object && row.contains("tool_calls")) {
      for (Json& call : row["tool_calls"]) {
        auto arguments = parse_arguments(call["function"]["arguments"].get<std::string>());
        if (!arguments) return refuse(kBadArguments);
        call["function"]["arguments"] = std::move(*arguments);
      }
    }
    out.value.push_back(std::move(row));
  }
  return out;
}

std::string with_thought(const std::string& thought, const std::string& rest) {
  return thought.empty() ? rest : fmt::format("<think>\n{}\n</think>\n\n{}", thought, rest);
}

std::string joined(const std::string& first, const std::string& separator, const std::string& second) {
  return first.empty() ? second : second.empty() ? first : first + separator + second;
}

struct Turn {
  std::string from;
  std::string value;
};

/// LLaMA-Factory reads a function_call turn as an optional think block followed by JSON and nothing else, so text beside calls
/// goes into the block.
std::optional<Turn> assistant_turn(const Message& message, const SftExportOptions& options) {
  const std::string reasoning = options.reasoning == ReasoningExport::Keep ? message.reasoning : "";
  if (message.tool_calls.empty()) return Turn{"gpt", with_thought(reasoning, message.content)};
  Json calls = Json::array();
  for (const ToolCall& call : message.tool_calls) {
    auto arguments = parse_arguments(call.arguments);
    if (!arguments) return std::nullopt;
    calls.push_back({{"name", call.name}, {"arguments", std::move(*arguments)}});
  }
  return Turn{"function_call", with_thought(joined(reasoning, "\n\n", message.content), dump_json(calls))};
}

/// {"system", "conversations"}; turns of the user side and the assistant's alternate, the user side first.
Converted to_sharegpt(const std::vector<Message>& messages, const SftExportOptions& options) {
  std::string system;
  std::vector<Turn> turns;
  for (const Message& message : messages) {
    switch (message.role) {
      case Role::System:
      case Role::Developer:
        if (!turns.empty()) return refuse("a system message comes after the beginning");
        system = joined(system, "\n\n", message.content);
        break;
      case Role::User:
        if (!turns.empty() && turns.back().from == "human") {
          turns.back().value = joined(turns.back().value, "\n\n", message.content);
        } else {
          turns.push_back({"human", message.content});
        }
        break;
      case Role::Tool:
        if (!turns.empty() && turns.back().from == "observation") {
          turns.back().value += options.observation_separator + message.content;
        } else {
          turns.push_back({"observation", message.content});
        }
        break;
      case Role::Assistant: {
        if (message.reasoning.find("</think>") != std::string::npos || message.content.find("</think>") != std::string::npos) {
          return refuse("the assistant's text holds a think tag");
        }
        const auto turn = assistant_turn(message, options);
        if (!turn) return refuse(kBadArguments);
        turns.push_back(*turn);
        break;
      }
    }
  }
  Json conversations = Json::array();
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const bool assistant = turns[i].from == "gpt" || turns[i].from == "function_call";
    if (assistant != (i % 2 == 1)) return refuse("the turns of user and assistant do not alternate");
    conversations.push_back({{"from", turns[i].from}, {"value", turns[i].value}});
  }
  return {.value = {{"system", system}, {"conversations", std::move(conversations)}}, .refused = ""};
}

std::string bare_tools(const std::vector<ToolSpec>& tools) {
  Json out = Json::array();
  for (const auto& tool : tools) out.push_back(to_json(tool).at("function"));
  return dump_json(out);
}

Converted convert(const Episode& episode, const EnvironmentInfo& environment, const SftExportOptions& options) {
  std::vector<Message> messages = without_trailing_results(episode.messages);
  if (messages.empty()) return refuse("the assistant said nothing");
  const std::string problem = pair_results(messages);
  if (!problem.empty()) return refuse(problem);
  if (options.format == SftFormat::ShareGpt) {
    Converted out = to_sharegpt(messages, options);
    if (out.refused.empty()) out.value["tools"] = bare_tools(environment.tools);
    return out;
  }
  Converted list = to_openai(messages, options);
  if (!list.refused.empty()) return list;
  return {.value = {{"messages", std::move(list.value)}, {"tools", dump_json(tools_to_json(environment.tools))}},
          .refused = ""};
}

/// LLaMA-Factory finds columns through this file, which lies beside the data.
void write_dataset_info(const ExportSummary& summary, AtomicFile& out) {
  Json info = Json::object();
  for (const ExportedFile& file : summary.files) {
    info["gauntlet_" + file.split] = {{"file_name", std::filesystem::path(file.path).filename().string()},
                                      {"formatting", "sharegpt"},
                                      {"columns", {{"messages", "conversations"}, {"system", "system"}, {"tools", "tools"}}}};
  }
  out.write(info.dump(2) + "\n");
  out.commit();
}

}  // namespace

ExportSummary export_sft(const Store& store, const EnvironmentInfos& environments, const SftExportOptions& options) {
  ExportWriter writer(options.target, options.format == SftFormat::Messages ? "sft.messages" : "sft.sharegpt");
  std::optional<AtomicFile> dataset_info;
  std::map<std::string, std::string> env_of_task;  // a task has many episodes; it is read once
  const auto export_outcome = [&](const Outcome& outcome) {
    if (!options.environment.empty() && outcome.environment != options.environment) return;
    if (options.level >= 0 && outcome.level != options.level) return;
    if (!outcome.value) return writer.skip("not scored");
    if (*outcome.value < options.min_score) return writer.skip("below the least score");
    auto [known, is_new] = env_of_task.try_emplace(outcome.task_id);
    if (is_new) known->second = store.find_task(outcome.task_id).value().env_sha256;
    const EnvironmentInfo& environment = get_environment_info(environments, known->second, outcome.task_id);
    const Episode episode = store.find_episode(outcome.episode_id).value().episode;
    Converted row = convert(episode, environment, options);
    if (!row.refused.empty()) return writer.skip(row.refused);
    row.value["task_id"] = episode.task_id;
    row.value["run_id"] = episode.run_id;
    row.value["environment"] = outcome.environment;
    row.value["level"] = outcome.level;
    row.value["sample"] = outcome.sample;
    row.value["score"] = *outcome.value;
    writer.add(episode.task_id, row.value);
    // At the first row: the folder is there, and no file has its name yet if this one must not be replaced.
    if (options.format == SftFormat::ShareGpt && !dataset_info) {
      dataset_info.emplace((std::filesystem::path(options.target.folder) / "dataset_info.json").string(), options.target.overwrite);
    }
  };
  bool found_run = false;
  for (const RunRecord& run : store.list_runs()) {
    if (!options.run_id.empty() && run.run_id != options.run_id) continue;
    found_run = true;
    store.for_each_outcome(run.run_id, export_outcome);
  }
  if (!found_run) {
    fail(ErrorKind::Usage, fmt::format("could not export from {}: it holds {}", store.path(),
                                       options.run_id.empty() ? "no run" : fmt::format("no run \"{}\"", options.run_id)));
  }
  ExportSummary summary = writer.finish("episode is left");
  if (dataset_info) write_dataset_info(summary, *dataset_info);
  return summary;
}

}  // namespace gauntlet

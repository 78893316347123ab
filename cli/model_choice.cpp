#include "cli/model_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "agent/openai_model.h"
#include "cli/builtin_model.h"
#include "core/error.h"
#include "synth/agents.h"

namespace gauntlet {
namespace {

constexpr std::string_view kReplay = "replay:";

bool is_url(const std::string& text) { return text.starts_with("http://") || text.starts_with("https://"); }

constexpr auto kProbeTime = std::chrono::seconds(15);

/// Asked once before the run, so that a wrong address is told at once and the run's record names the model.
std::string first_model(OpenAiOptions settings, const CancelFlag& cancel) {
  settings.max_attempts = 1;
  try {
    return OpenAiModel(settings).find_model(std::chrono::steady_clock::now() + kProbeTime, cancel);
  } catch (const ModelFault& fault) {
    fail(ErrorKind::Infrastructure, fmt::format("could not ask {} for its models ({}): {}; give --model-name to go on without asking", settings.base_url, fault_name(fault.fault()), fault.what()));
  }
}

ModelChoice endpoint(const ModelOptions& options, const CancelFlag& cancel) {
  OpenAiOptions settings;
  settings.base_url = options.model;
  settings.model = options.model_name;
  settings.stream = options.stream;
  settings.max_attempts = options.max_attempts;
  settings.http.read_timeout = std::chrono::seconds(options.silence_seconds);
  if (!options.api_key_env.empty()) {
    const char* key = std::getenv(options.api_key_env.c_str());
    require(key != nullptr && *key != '\0', ErrorKind::Usage, fmt::format("--api-key-env: the environment variable {} is not set", options.api_key_env));
    settings.api_key = key;
  }
  if (settings.model.empty()) settings.model = first_model(settings, cancel);
  ModelChoice choice;
  choice.shared = std::make_unique<OpenAiModel>(std::move(settings));
  choice.description = choice.shared->describe();
  return choice;
}

}  // namespace

void require_known_model(const std::string& model) {
  const auto& names = agent_names();
  if (is_url(model) || model.starts_with(kReplay) || std::find(names.begin(), names.end(), model) != names.end() || is_model_folder(resolve_model(model))) return;
  std::vector<std::string> words = names;
  words.emplace_back(kBuiltinModel);
  const std::string nearest = nearest_word(model, words);
  fail(ErrorKind::Usage, fmt::format("--model: found \"{}\"; accepted: builtin, {}, replay:RUN, a folder with a checkpoint (config.json), or an endpoint's URL (http://…){}",
                                     model, fmt::join(names, ", "), nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

ModelChoice choose_model(const ModelOptions& options, TaskShelf& shelf, const CancelFlag& cancel) {
  if (is_url(options.model)) return endpoint(options, cancel);
  ModelChoice choice;
  const std::string folder = resolve_model(options.model);
  if (is_model_folder(folder)) {
    LocalEngineOptions local = options.local;
    local.folder = folder;
    auto model = load_local_model(local);
    if (model->max_context() < model->max_positions()) {
      choice.warning = fmt::format(
          "the cache holds {} tokens, fewer than the {} positions of the model: an episode that needs more of them ends, and the run counts as another one than with "
          "the whole context (--cache-tokens)",
          model->max_context(), model->max_positions());
    }
    choice.sampled_tokens = [&loaded = *model] { return loaded.sampled_tokens(); };
    choice.shared = std::move(model);
    choice.description = choice.shared->describe();
    return choice;
  }
  if (options.model.starts_with(kReplay)) {
    const std::string run = options.model.substr(kReplay.size());
    shelf.require_run(run);
    choice.description = {{"kind", "replay"}, {"run", run}};
    choice.make = [&shelf, run](const ReadyTask&, const Store::Slot& slot, std::uint64_t) {
      auto messages = shelf.assistant_messages(run, slot);
      require(!messages.empty(), ErrorKind::Usage, fmt::format("run \"{}\" has no episode of task {}, sample {} to replay", run, slot.task_id, slot.sample));
      return make_replay_agent(std::move(messages));
    };
    return choice;
  }
  require_known_model(options.model);
  choice.description = {{"kind", "agent"}, {"name", options.model}};
  choice.make = [name = options.model](const ReadyTask& task, const Store::Slot&, std::uint64_t seed) {
    return make_agent(name, task.environment->planner, task.problem.problem(), seed);
  };
  return choice;
}

}  // namespace gauntlet

#include "cli/ground_truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kKeptTasks = 64;

std::unique_ptr<Environment> make_environment(const std::string& name_or_path) {
  return std::make_unique<Environment>(std::make_shared<const EnvSpec>(load_env_spec(name_or_path)));
}

/// What judging needs of a task. Rows give the optimum as people read it; it is a whole number of thousandths.
Task task_of(const Json& truth) {
  refuse_unknown_members(truth, {"task_id", "environment", "env_sha256", "world", "problem", "optimum", "oracle_answer"}, "");
  Task task;
  task.task_id = get_string(truth, "task_id", "");
  task.environment = get_string(truth, "environment", "");
  task.env_sha256 = get_string(truth, "env_sha256", "");
  task.world = world_key_from_json(get_object(truth, "world", ""), "/world");
  task.problem = get_object(truth, "problem", "");
  task.certificate = Json::object();
  if (truth.contains("optimum") && !truth["optimum"].is_null()) {
    task.certificate["optimum_thousandths"] = std::llround(get_number(truth, "optimum", "") * static_cast<double>(kCellScale));
  }
  return task;
}

Json error_line(const Error& error) { return {{"error", {{"code", error.kind() == ErrorKind::Input ? "input" : "failed"}, {"message", error.what()}}}}; }

}  // namespace

Json verdict_json(const Score& score) {
  require(score.scored, ErrorKind::Internal, fmt::format("could not judge the answer: {}", score.unscored_reason));
  Json components = Json::array();
  for (const auto& component : score.components) components.push_back({{"constraint", component.constraint}, {"holds", component.holds}, {"explanation", component.explanation}});
  return {{"value", static_cast<int>(score.value)}, {"summary", score.summary}, {"components", std::move(components)}};
}

GroundTruthJudge::GroundTruthJudge(const std::vector<std::string>& spec_paths) {
  for (const auto& path : spec_paths) {
    auto made = make_environment(path);
    environments_.insert_or_assign(made->spec->sha256, std::move(made));
  }
}

const Environment& GroundTruthJudge::environment(const std::string& name, const std::string& env_sha256) {
  const auto known = environments_.find(env_sha256);
  if (known != environments_.end()) return *known->second;
  const auto builtin = builtin_domains();
  const bool is_builtin = std::find(builtin.begin(), builtin.end(), name) != builtin.end();
  require(is_builtin, ErrorKind::Input, fmt::format("/environment: found \"{}\", which does not come with this program; give the file of its spec with --spec", name));
  auto made = make_environment(name);
  require(made->spec->sha256 == env_sha256, ErrorKind::Input,
          fmt::format("/env_sha256: found {:.12}, another version of {} than this program's {:.12}; give the file of its spec with --spec", env_sha256, name, made->spec->sha256));
  return *environments_.emplace(env_sha256, std::move(made)).first->second;
}

const ReadyTask& GroundTruthJudge::ready(const Json& ground_truth) {
  const bool is_text = ground_truth.is_string();
  require(is_text || ground_truth.is_object(), ErrorKind::Input, fmt::format("/ground_truth: expected an object or its text, found {:.60}", dump_json(ground_truth)));
  std::string text = is_text ? ground_truth.get<std::string>() : dump_json(ground_truth);
  const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.text == text; });
  if (at != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, at);
    return *kept_.front().task;
  }
  Task task = task_of(is_text ? parse_json(text, "the ground truth") : ground_truth);
  const Environment& of = environment(task.environment, task.env_sha256);
  kept_.push_front({.text = std::move(text), .task = std::make_shared<const ReadyTask>(std::move(task), of)});
  if (kept_.size() > kKeptTasks) kept_.pop_back();
  return *kept_.front().task;
}

Score GroundTruthJudge::judge(const Json& ground_truth, const std::optional<std::string>& answer) { return ready(ground_truth).judge(answer); }

Json GroundTruthJudge::judge_line(std::string_view line) {
  try {
    const Json value = parse_json(line, "the line");
    require(value.is_object(), ErrorKind::Input, fmt::format("the line: expected an object with \"ground_truth\" and \"answer\", found {:.60}", dump_json(value)));
    refuse_unknown_members(value, {"ground_truth", "answer"}, "");
    const Json& answer = get_member(value, "answer", "");
    std::optional<std::string> text;
    if (!answer.is_null()) text = answer.is_string() ? answer.get<std::string>() : dump_json(answer);
    return verdict_json(judge(get_member(value, "ground_truth", ""), text));
  } catch (const Error& error) {
    return error_line(error);
  }
}

}  // namespace gauntlet

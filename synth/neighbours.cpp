#include "synth/neighbours.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/sha256.h"
#include "synth/gate.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

constexpr std::size_t kOtherAnswers = 8;  ///< earlier answers of the same form that a task must withstand

/// The same tree without its numbers.
Json shape_of(const Json& node) {
  if (node.is_array()) {
    Json out = Json::array();
    for (const auto& item : node) out.push_back(shape_of(item));
    return out;
  }
  if (!node.is_object()) return node;
  Json out = Json::object();
  for (const auto& item : node.items()) out[item.key()] = item.key() == "const" && item.value().is_number() ? Json("#") : shape_of(item.value());
  return out;
}

/// Answers of one form can be read by each other's verifiers.
std::string form_of(const Json& problem) {
  std::string form;
  for (const auto& slot : problem.at("slots")) form += slot.at("path").get<std::string>() + " " + (slot.contains("entity") ? slot["entity"].get<std::string>() : "") + "\n";
  return form;
}

}  // namespace

std::string solution_signature(const Json& problem, const Json& answer) {
  std::vector<std::string> clauses;
  for (const auto& clause : problem.at("constraints")) clauses.push_back(canonical_json(shape_of(clause)));
  std::sort(clauses.begin(), clauses.end());
  const Json objective = problem.contains("objective") ? shape_of(problem["objective"]) : Json();
  return sha256_hex(fmt::format("{}\n{}\n{}", fmt::join(clauses, "\n"), canonical_json(objective), canonical_json(answer)));
}

std::set<std::string> parse_exclusions(const std::string& text, const std::string& where) {
  std::set<std::string> found;
  int number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, std::min(text.find('#', at), end) - at);
    at = end + 1;
    ++number;
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.pop_back();
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())) != 0) line.erase(0, 1);
    if (line.empty()) continue;
    const bool hex = std::all_of(line.begin(), line.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    const std::size_t dash = line.rfind('-');
    const bool id = dash != std::string::npos && dash > 0 && line.size() - dash == 17;
    require((hex && line.size() == 64) || id, ErrorKind::Input,
            fmt::format("{}:{}: found \"{:.80}\"; accepted: a task id, a signature, or the sha-256 of a prompt (64 hex digits)", where, number, line));
    found.insert(line);
  }
  return found;
}

void Neighbours::know(const Task& task) {
  const Json& answer = task.certificate.at("oracle_answer");
  signatures_.emplace(solution_signature(task.problem, answer), task.task_id);
  prompts_.emplace(sha256_hex(task.prompt), task.task_id);
  auto& answers = answers_[form_of(task.problem)];
  answers.push_back({.task_id = task.task_id, .text = dump_json(answer)});
  // One more than is asked, since a task's own answer does not count.
  if (answers.size() > kOtherAnswers + 1) answers.pop_front();
}

bool Neighbours::other_answer_passes(const Task& task, std::shared_ptr<const World> world) const {
  const auto earlier = answers_.find(form_of(task.problem));
  if (earlier == answers_.end()) return false;
  if (world == nullptr) world = build_world(spec_, task.world);
  const CompiledProblem problem(parse_problem(task.problem, ""), *world);
  Verifier verifier(problem, spec_, certified_optimum(task.certificate));
  return std::any_of(earlier->second.begin(), earlier->second.end(), [&](const Answer& answer) { return answer.task_id != task.task_id && verifier.passes(answer.text); });
}

std::string Neighbours::refuse(const Task& task, std::shared_ptr<const World> world) {
  const std::string signature = solution_signature(task.problem, task.certificate.at("oracle_answer"));
  const std::string prompt = sha256_hex(task.prompt);
  if (excluded_.contains(task.task_id) || excluded_.contains(signature) || excluded_.contains(prompt)) return "excluded";
  const auto taken = [&](const std::map<std::string, std::string>& by, const std::string& key) {
    const auto it = by.find(key);
    return it != by.end() && it->second != task.task_id;
  };
  if (made_.contains(task.task_id) || taken(signatures_, signature) || taken(prompts_, prompt)) return "duplicate";
  if (other_answer_passes(task, std::move(world))) return "adversary_other_answer";
  made_.insert(task.task_id);
  know(task);
  return "";
}

}  // namespace gauntlet

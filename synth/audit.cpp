#include "synth/audit.h"

#include <fmt/format.h>

#include "core/sha256.h"
#include "verifiers/render.h"

namespace gauntlet {
namespace {

/// Names what differs, field by field.
std::string difference(const Json& stored, const Json& found) {
  std::string text;
  const auto note = [&](const std::string& key, const Json& before, const Json& after) {
    if (before != after) text += fmt::format("{}{}: stored {:.80}, now {:.80}", text.empty() ? "" : "; ", key, dump_json(before), dump_json(after));
  };
  for (const auto& item : found.items()) note(item.key(), stored.contains(item.key()) ? stored.at(item.key()) : Json(), item.value());
  for (const auto& item : stored.items()) {
    if (!found.contains(item.key())) note(item.key(), item.value(), Json());
  }
  return text;
}

/// True if `text` begins with the pattern, whose "{…}" holes stand for anything, and something follows.
bool matches_intro(const std::string& pattern, const std::string& text) {
  std::size_t at = 0;
  bool anchored = true;
  for (std::size_t i = 0; i < pattern.size();) {
    const std::size_t open = std::min(pattern.find('{', i), pattern.size());
    const std::string piece = pattern.substr(i, open - i);
    const std::size_t found = text.find(piece, at);
    if (found == std::string::npos || (anchored && found != at)) return false;
    at = found + piece.size();
    anchored = false;
    if (open == pattern.size()) return at == text.size();
    i = std::min(pattern.find('}', open), pattern.size() - 1) + 1;
  }
  return true;  // It ends with a hole.
}

}  // namespace

void seal(Task& task) {
  task.certificate.erase("seal_sha256");
  task.certificate["seal_sha256"] = sha256_hex(canonical_json(to_json(task)));
}

bool prompt_is_rendering(const EnvSpec& spec, const Problem& problem, const std::string& prompt) {
  const std::string body = "\n\n" + render_requirements(problem, spec, "en") + "\n\n" + render_answer_form(problem, spec, "en");
  if (!prompt.ends_with(body)) return false;
  const std::string intro = prompt.substr(0, prompt.size() - body.size());
  for (const auto& pattern : spec.tasks.at("prompt").at("en")) {
    if (matches_intro(pattern.get<std::string>(), intro)) return true;
  }
  return false;
}

std::string audit(Gate& gate, const Task& task, const CancelFlag& cancel) {
  std::vector<std::string> problems;
  if (!prompt_is_rendering(gate.spec(), parse_problem(task.problem, ""), task.prompt)) problems.emplace_back("the prompt is not what its requirements render to");
  Gate::Outcome outcome = gate.recertify(task, cancel);
  if (!outcome.task) {
    problems.push_back(fmt::format("the gate drops it now: {}: {}", outcome.dropped, outcome.detail));
    return fmt::format("{}", fmt::join(problems, "; "));
  }
  Task& now = *outcome.task;
  if (now.task_id != task.task_id) problems.push_back(fmt::format("its content gives the id {}", now.task_id));
  // The id and whether another process checked it are not made again; the seal holds them.
  now.task_id = task.task_id;
  if (task.certificate.contains("other_process_checked")) now.certificate["other_process_checked"] = task.certificate["other_process_checked"];
  seal(now);
  if (canonical_json(task.difficulty) != canonical_json(now.difficulty)) problems.push_back("the difficulty differs: " + difference(task.difficulty, now.difficulty));
  if (canonical_json(task.certificate) != canonical_json(now.certificate)) problems.push_back("the certificate differs: " + difference(task.certificate, now.certificate));
  return fmt::format("{}", fmt::join(problems, "; "));
}

}  // namespace gauntlet

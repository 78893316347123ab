#include "synth/blueprint.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/sha256.h"
#include "synth/draft.h"
#include "synth/solver.h"
#include "verifiers/reference.h"
#include "verifiers/render.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

TemplatePlace template_of(const EnvSpec& spec, int level, const std::string& named) {
  require(spec.tasks.is_object(), ErrorKind::Usage, fmt::format("environment {} has no task templates, so tasks cannot be synthesised for it", spec.name));
  const std::string group = named.empty() ? "levels" : "named";
  const std::string key = named.empty() ? std::to_string(level) : named;
  const Json& templates = get_object(spec.tasks, group, "/tasks");
  if (templates.contains(key)) return {.source = &templates[key], .path = fmt::format("/tasks/{}/{}", group, key)};
  std::vector<std::string> accepted;
  for (const auto& item : templates.items()) accepted.push_back(item.key());
  fail(ErrorKind::Usage, fmt::format("environment {} has no {} \"{}\"; accepted: {}", spec.name, named.empty() ? "difficulty level" : "named task", key, fmt::join(accepted, ", ")));
}

/// Chains of if / else if over one slot's attribute, whose branches can be closed by editing that attribute.
const Node* find_conditional(const Problem& problem) {
  for (const auto& node : problem.constraints) {
    if (node.kind == NodeKind::IfThenElse) return &node;
  }
  return nullptr;
}

void collect_attributes(const Node& node, std::set<std::pair<std::string, std::string>>& found) {
  if (node.kind == NodeKind::Attribute) found.insert({node.slot, node.column});
  for (const auto& child : node.children) collect_attributes(child, found);
}

/// Closes the branch, other than the planted answer's, that leaves the most answers: rows that would take it get the attribute of a row
/// of the planted branch instead.
void close_easiest_branch(const EnvSpec& spec, Candidate& candidate, const Json& planted, Rng& rng) {
  const Node* conditional = find_conditional(candidate.problem);
  if (conditional == nullptr) return;
  std::vector<const Node*> conditions;
  for (const Node* at = conditional; at != nullptr && at->kind == NodeKind::IfThenElse; at = at->children.size() > 2 ? &at->children[2] : nullptr) conditions.push_back(&at->children[0]);
  std::set<std::pair<std::string, std::string>> attributes;
  for (const Node* condition : conditions) collect_attributes(*condition, attributes);
  if (attributes.size() != 1) return;
  const auto [slot, column] = *attributes.begin();
  const SlotSpec& slot_spec = candidate.problem.slots[static_cast<std::size_t>(candidate.problem.find_slot(slot))];
  const Node* kept = nullptr;
  const Node* easiest = nullptr;
  double most = -2.0;
  for (const Node* condition : conditions) {
    if (reference_predicate(candidate.problem, *candidate.world, planted, *condition)) {
      kept = condition;
      continue;
    }
    Problem branch = candidate.problem;
    branch.constraints.push_back(*condition);
    branch.sense = ObjectiveSense::None;
    const SolveResult result = solve(CompiledProblem(branch, *candidate.world), {.max_nodes = 200'000, .atom_positions = {}, .ignore_objective = true});
    if (result.count > 0 && result.log10_count > most) {
      most = result.log10_count;
      easiest = condition;
    }
  }
  if (kept == nullptr || easiest == nullptr) return;
  const World& world = *candidate.world;
  const WorldTable& table = world.tables[static_cast<std::size_t>(world.find_table(slot_spec.entity))];
  const WorldColumn& target = table.columns[static_cast<std::size_t>(table.find_column(column))];
  std::vector<Cell> replacements;
  std::vector<std::size_t> closed;
  for (std::size_t row = 0; row < table.rows; ++row) {
    // A row takes a branch by its attribute alone, so one slot is enough to ask.
    Json probe = planted;
    const std::string key = world.symbols.text(static_cast<std::int32_t>(table.columns[static_cast<std::size_t>(table.key_column)].cells[row]));
    probe[Json::json_pointer(slot_spec.path)] = key;
    if (reference_predicate(candidate.problem, world, probe, *kept)) replacements.push_back(target.cells[row]);
    if (reference_predicate(candidate.problem, world, probe, *easiest)) closed.push_back(row);
  }
  for (const std::size_t row : closed) {
    const std::string key = world.symbols.text(static_cast<std::int32_t>(table.columns[static_cast<std::size_t>(table.key_column)].cells[row]));
    candidate.key.edits.push_back({{"table", table.name}, {"key", key}, {"column", column}, {"value", cell_to_json(world, target, rng.pick(replacements))}});
  }
  candidate.world = build_world(spec, candidate.key);
}

}  // namespace

std::vector<int> task_levels(const EnvSpec& spec) {
  std::vector<int> levels;
  if (spec.tasks.is_object() && spec.tasks.contains("levels")) {
    for (const auto& item : spec.tasks["levels"].items()) {
      // Other keys are no levels (synth/template_members.h refuses them).
      if (item.key().size() == 1 && item.key()[0] >= '1' && item.key()[0] <= '5') levels.push_back(item.key()[0] - '0');
    }
  }
  return levels;
}

std::vector<std::string> named_tasks(const EnvSpec& spec) {
  std::vector<std::string> names;
  if (spec.tasks.is_object() && spec.tasks.contains("named")) {
    for (const auto& item : spec.tasks["named"].items()) names.push_back(item.key());
  }
  return names;
}

std::optional<Candidate> draw_candidate(const EnvSpec& spec, const DifficultyRequest& difficulty, const std::string& named, std::uint64_t seed) {
  const TemplatePlace place = template_of(spec, difficulty.level, named);
  const Json& source = *place.source;
  const std::uint64_t fixed = fixed_seed(place);
  const Rng rng = draw_rng(spec, fixed != 0 ? fixed : seed);
  Draft draft(spec, place, rng);
  Candidate candidate;
  candidate.level = named.empty() ? difficulty.level : static_cast<int>(integer_or(source, "level", 0, place.path));
  candidate.named = named;
  candidate.key = draft.key();
  candidate.world = draft.world();
  candidate.base_constraints = draft.base_constraints();
  const Problem frame = draft.problem();
  const CompiledProblem compiled = draft.compiled(frame);
  Rng plant = rng.split("plant");
  const SearchResult planted = find_answer(compiled, plant, {.max_nodes = 20'000, .optimum = {}, .atom_positions = {}, .preference = {}});
  if (!planted.answer) return std::nullopt;
  const Json answer = Json::parse(answer_to_text(compiled, *planted.answer));
  draft.add_requirements({.problem = &frame, .world = candidate.world.get(), .answer = &answer});
  candidate.problem = draft.problem();
  candidate.problem_json = to_json(candidate.problem);
  if (!reference_holds(candidate.problem, *candidate.world, answer)) return std::nullopt;  // e.g. no train between the planted cities
  Rng edits = rng.split("edits");
  if (boolean_or(source, "close_branches", false, place.path)) close_easiest_branch(spec, candidate, answer, edits);

  const Json& introductions = introductions_of(spec);
  candidate.prompt = draft.introduction(introductions, rng.split("intro").below(introductions.size())) + "\n\n" +
                     render_requirements(candidate.problem, spec, "en") + "\n\n" + render_answer_form(candidate.problem, spec, "en");
  candidate.accept = parse_accept(get_object(source, "accept", place.path), place.path + "/accept");
  for (const auto& range : difficulty.ranges) {
    const auto it = std::find_if(candidate.accept.begin(), candidate.accept.end(), [&](const auto& known) { return known.name == range.name; });
    it == candidate.accept.end() ? candidate.accept.push_back(range) : void(*it = range);
  }
  return candidate;
}

std::string content_hash(const EnvSpec& spec, const Candidate& candidate) {
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}", spec.sha256, canonical_json(to_json(candidate.key)), canonical_json(candidate.problem_json), candidate.prompt));
}

std::string task_id_of(const EnvSpec& spec, const std::string& content_hash) { return fmt::format("{}-{}", spec.name, content_hash.substr(0, 16)); }

}  // namespace gauntlet

#include "synth/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace gauntlet {
namespace {

[[noreturn]] void fail_at(const std::string& path, const Error& error) { fail(error.kind(), fmt::format("{}: {}", path, error.what())); }

/// "/constraints/12/<=/0: what is wrong" begins with the number of an element of the list.
struct Located {
  std::size_t number = 0;
  std::string below, what;
};

std::optional<Located> element_of(const std::string& list, const std::string& message) {
  if (!message.starts_with(list)) return std::nullopt;
  Located out;
  const char* const end = message.data() + message.size();
  const auto [rest, error] = std::from_chars(message.data() + list.size(), end, out.number);
  const std::string_view left(rest, static_cast<std::size_t>(end - rest));
  const auto colon = left.find(": ");
  if (error != std::errc() || colon == std::string_view::npos) return std::nullopt;
  out.below = left.substr(0, colon);
  out.what = left.substr(colon + 2);
  return out;
}

}  // namespace

/// With paths in the problem put as places in the document.
std::string Draft::placed(const std::string& message) const {
  for (const auto& [list, places] : {std::pair{"/slots/", &slot_places_}, std::pair{"/constraints/", &constraint_places_}}) {
    const auto element = element_of(list, message);
    if (element && element->number < places->size()) return fmt::format("{}: {}", joined((*places)[element->number], element->below), element->what);
  }
  return message.starts_with("/objective") ? path_ + message : fmt::format("{}: {}", path_, message);
}

/// The document has the place, unless what stands there came out of a form.
std::string Draft::joined(const std::string& place, const std::string& below) const {
  if (below.empty()) return place;
  try {
    if (spec_.source.contains(Json::json_pointer(place + below))) return place + below;
  } catch (const Json::exception&) {
    // Not a place in a document at all.
  }
  return fmt::format("{} (expanded, at {})", place, below);
}

std::uint64_t fixed_seed(const TemplatePlace& place) { return static_cast<std::uint64_t>(integer_or(*place.source, "seed", 0, place.path)); }

Rng draw_rng(const EnvSpec& spec, std::uint64_t seed) { return Rng(mix_seed(seed, hash_text(spec.name))); }

const Json& introductions_of(const EnvSpec& spec) {
  const Json& list = get_array(get_object(spec.tasks, "prompt", "/tasks"), "en", "/tasks/prompt");
  const bool texts = !list.empty() && std::all_of(list.begin(), list.end(), [](const Json& text) { return text.is_string(); });
  require(texts, ErrorKind::Input, "/tasks/prompt/en: accepted: an array of one or more strings");
  return list;
}

Draft::Draft(const EnvSpec& spec, const TemplatePlace& place, const Rng& rng, BranchTurns* turns)
    : spec_(spec), source_(*place.source), path_(place.path), expander_(spec, get_object(spec.tasks, "fragments", "/tasks"), rng.split("template"), turns) {
  for (const auto& item : get_object(source_, "variables", path_).items()) {
    expander_.set_variable(item.key(), expander_.expand(item.value(), path_ + "/variables/" + item.key()));
  }
  key_.seed = rng.split("world").next();
  key_.parameters = expander_.expand(get_object(source_, "world", path_), path_ + "/world");
  if (source_.contains("edits")) key_.edits = get_array(source_, "edits", path_);
  try {
    world_ = build_world(spec, key_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) throw;
    const std::string message = error.what();
    if (message.starts_with("/edits/")) fail(ErrorKind::Input, path_ + message);
    fail_at(path_ + "/world", error);
  }
  append("slots", "slots", slot_places_);
  append("base", "constraints", constraint_places_);
  base_ = constraint_places_.size();
  // Clauses without thresholds to fit (links between slots) shape the planted answer, or it would rarely meet them.
  if (source_.contains("structure")) append("structure", "constraints", constraint_places_);
}

void Draft::append(const char* member, const char* into, std::vector<std::string>& places) {
  for (auto& element : expander_.expand_list(get_member(source_, member, path_), fmt::format("{}/{}", path_, member), places)) problem_[into].push_back(std::move(element));
}

void Draft::add_requirements(const PlantedAnswer& planted) {
  expander_.set_planted(planted);
  append("clauses", "constraints", constraint_places_);
  if (source_.contains("objective")) problem_["objective"] = expander_.expand(source_["objective"], path_ + "/objective");
}

std::string Draft::introduction(const Json& introductions, std::size_t number) const {
  return expander_.interpolate(introductions[number].get<std::string>(), fmt::format("/tasks/prompt/en/{}", number));
}

Problem Draft::problem() const {
  try {
    return parse_problem(problem_, "");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) throw;
    fail(ErrorKind::Input, placed(error.what()));
  }
}

CompiledProblem Draft::compiled(const Problem& problem) const {
  try {
    return CompiledProblem(problem, *world_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) throw;
  }
  // What a compiler refuses has no place, so the parts are compiled alone to find it.
  Problem part = problem;
  part.constraints.clear();
  part.sense = ObjectiveSense::None;
  const auto compile = [&](const std::string& place) {
    try {
      CompiledProblem(part, *world_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Input) throw;
      const auto within = element_of("/constraints/", error.what());
      if (within) fail(ErrorKind::Input, fmt::format("{}: {}", joined(place, within->below), within->what));
      fail(ErrorKind::Input, error.what()[0] == '/' ? placed(error.what()) : fmt::format("{}: {}", place, error.what()));
    }
  };
  for (std::size_t i = 0; i < problem.slots.size(); ++i) {
    part.slots = {problem.slots[i]};
    part.slots.front().within.clear();
    compile(slot_places_[i]);
  }
  for (std::size_t i = 0; i < problem.slots.size(); ++i) {
    part.slots = problem.slots;
    for (std::size_t other = 0; other < part.slots.size(); ++other) {
      if (other != i) part.slots[other].within.clear();
    }
    compile(slot_places_[i]);
  }
  part.slots = problem.slots;
  for (std::size_t i = 0; i < problem.constraints.size(); ++i) {
    part.constraints = {problem.constraints[i]};
    compile(constraint_places_[i]);
  }
  part.constraints.clear();
  part.sense = problem.sense;
  part.objective = problem.objective;
  compile(path_ + "/objective");
  return CompiledProblem(problem, *world_);
}

}  // namespace gauntlet

#include "synth/template_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "envs/env_spec_reading.h"
#include "synth/difficulty.h"
#include "synth/draft.h"
#include "synth/template_members.h"
#include "verifiers/render.h"

namespace gauntlet {
namespace {

// Branches are taken in turn, numbers (days, say) are drawn: a few draws more than branches need, and an end for templates with very many.
constexpr int kLeastDraws = 16;
constexpr int kMostDraws = 128;

/// All that draw_candidate() does but for the answer.
void try_draw(const EnvSpec& spec, const TemplatePlace& place, std::uint64_t seed, BranchTurns* turns) {
  Draft draft(spec, place, draw_rng(spec, seed), turns);
  const Problem frame = draft.problem();
  draft.compiled(frame);
  draft.add_requirements({.problem = &frame, .world = draft.world().get(), .answer = nullptr});
  const Problem whole = draft.problem();
  draft.compiled(whole);
  render_requirements(whole, spec, "en");
  render_answer_form(whole, spec, "en");
  const Json& introductions = introductions_of(spec);
  for (std::size_t i = 0; i < introductions.size(); ++i) draft.introduction(introductions, i);
}

class Trial {
 public:
  explicit Trial(const EnvSpec& spec) : spec_(spec) {}

  void templates(const char* group) {
    if (!spec_.tasks.contains(group)) return;
    for (const auto& item : spec_.tasks[group].items()) {
      const TemplatePlace place{.source = &item.value(), .path = fmt::format("/tasks/{}/{}", group, item.key())};
      if (members(place)) draws(place);
    }
  }
  std::vector<std::string> problems() { return std::move(problems_); }

 private:
  /// Members that are read once for a task; false if they are wrong.
  bool members(const TemplatePlace& place) {
    const std::size_t before = problems_.size();
    const Json& source = *place.source;
    attempt([&] { parse_accept(source["accept"], place.path + "/accept"); });
    attempt([&] { boolean_or(source, "close_branches", false, place.path); });
    attempt([&] { integer_or(source, "seed", 0, place.path); });
    attempt([&] { integer_or(source, "level", 0, place.path); });
    attempt([&] { string_or(source, "name", "", place.path); });
    return problems_.size() == before;
  }

  void draws(const TemplatePlace& place) {
    // There is only one draw with a fixed seed, and edits are those of its world.
    if (const std::uint64_t fixed = fixed_seed(place); fixed != 0) return attempt([&] { try_draw(spec_, place, fixed, nullptr); });
    BranchTurns turns;
    for (int number = 0; number < kMostDraws; ++number) {
      attempt([&] { try_draw(spec_, place, static_cast<std::uint64_t>(number), &turns); });
      if (number + 1 >= kLeastDraws && turns.all_taken()) break;
    }
  }

  /// One problem for each place: draws differ in what they put into the message.
  template <class Action>
  void attempt(Action&& action) {
    try {
      action();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Input) throw;
      const std::string message = error.what();
      if (places_.insert(message.substr(0, message.find(": "))).second) problems_.push_back(message);
    }
  }

  const EnvSpec& spec_;
  std::set<std::string> places_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> template_trial_problems(const EnvSpec& spec) {
  if (spec.tasks.is_null()) return {};
  Trial trial(spec);
  trial.templates("levels");
  trial.templates("named");
  return trial.problems();
}

void check_templates(const EnvSpec& spec, const std::string& what) {
  // What the second check finds would only repeat the first.
  require_template_members(spec, what);
  Problems problems;
  problems.add(template_trial_problems(spec));
  problems.raise(what);
}

}  // namespace gauntlet

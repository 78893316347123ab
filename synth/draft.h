#pragma once

// One draw of a task template, as far as it goes before an answer is planted, and its requirements after that. What is wrong with the
// template is told with its place in the document. Tested by template_trial_test.cpp and blueprint_test.cpp.

#include <memory>
#include <string>
#include <vector>

#include "core/task.h"
#include "synth/template.h"
#include "verifiers/compiled.h"

namespace gauntlet {

/// What templates say of `tasks`: "/tasks/levels/3" and the template there.
struct TemplatePlace {
  const Json* source = nullptr;
  std::string path;
};

/// A named task is one certain task, so its template may fix the seed. 0: it does not. Throws Error(Input).
std::uint64_t fixed_seed(const TemplatePlace& place);
/// What everything about a draw is drawn with.
Rng draw_rng(const EnvSpec& spec, std::uint64_t seed);

/// The texts that prompts begin with, one or more. Throws Error(Input).
const Json& introductions_of(const EnvSpec& spec);

class Draft {
 public:
  /// Draws the variables, the world and the frame. `spec` and `turns` must outlive it.
  Draft(const EnvSpec& spec, const TemplatePlace& place, const Rng& rng, BranchTurns* turns = nullptr);
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  const WorldKey& key() const { return key_; }
  const std::shared_ptr<const World>& world() const { return world_; }
  std::size_t base_constraints() const { return base_; }

  /// Draws the clauses and the objective, with thresholds fitted to the answer.
  void add_requirements(const PlantedAnswer& planted);
  /// The introduction of that number, with the variables put in.
  std::string introduction(const Json& introductions, std::size_t number) const;

  /// The slots and what has been drawn of the constraints so far.
  Problem problem() const;
  CompiledProblem compiled(const Problem& problem) const;

 private:
  void append(const char* member, const char* into, std::vector<std::string>& places);
  std::string placed(const std::string& message) const;
  std::string joined(const std::string& place, const std::string& below) const;

  const EnvSpec& spec_;
  const Json& source_;
  std::string path_;
  Template expander_;
  WorldKey key_;
  std::shared_ptr<const World> world_;
  Json problem_ = {{"slots", Json::array()}, {"constraints", Json::array()}};
  std::vector<std::string> slot_places_, constraint_places_;  ///< in the document, of each element
  std::size_t base_ = 0;
};

}  // namespace gauntlet

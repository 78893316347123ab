#pragma once

// A problem as text. Every word comes from the tree, the slots' nouns, the spec's column names and units, and a phrase table for the
// language (verifiers/phrases/*.json), so what is said is what is checked.

#include <string>

#include "envs/env_spec.h"
#include "verifiers/problem.h"

namespace gauntlet {

/// Phrase tables that exist ("en", …).
std::vector<std::string> render_languages();

/// One sentence for one constraint. Throws Error(Usage) for an unknown language, Error(Input) for a phrase missing from its table.
std::string render_constraint(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language);

/// The leaf predicates below `node`, as shown in verdicts.
std::string render_leaf(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language);

/// The whole requirement list: rules that hold on every day (within, all-different) said once, constraints gathered by group, the
/// objective last. No trailing newline.
std::string render_requirements(const Problem& problem, const EnvSpec& spec, const std::string& language);

/// How the answer must look: the JSON form with one line of description for each key of one group, and an example with placeholders.
std::string render_answer_form(const Problem& problem, const EnvSpec& spec, const std::string& language);

}  // namespace gauntlet

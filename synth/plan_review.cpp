#include "synth/plan_review.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "verifiers/verify.h"

namespace gauntlet {
namespace {

template <std::size_t N>
std::string_view pick(const std::array<std::string_view, N>& forms, Rng& rng) {
  return forms[rng.below(N)];
}

constexpr std::array<std::string_view, 8> kOpenings = {
    "This should do; let me go through what is asked:",
    "I have a plan. Does it keep to everything?",
    "Before I hand it in, I check it against the requirements.",
    "That looks complete. One requirement after the other:",
    "Let me verify this plan:",
    "Now to be sure, the conditions once more:",
    "A candidate that may work. Checking:",
    "I compare the plan with the task:",
};
constexpr std::array<std::string_view, 7> kClosings = {
    "Everything holds, so I hand it in.", "All of it is met. I submit this plan.", "No requirement is left open; I submit.", "That is all that was asked, so this is my answer.",
    "It passes on every point. Handing it in.", "Good, the plan stands.",                 "Nothing speaks against it, so I submit it.",
};
constexpr std::array<std::string_view, 5> kBullets = {"- ", "* ", "", "✓ ", "· "};
// {0}: what is required; {1}: what was found.
constexpr std::array<std::string_view, 6> kComparisons = {
    "{0}: {1}.", "{1}, as asked ({0}).", "Asked: {0}. Found: {1}.", "{0} — {1}, fine.", "{1}, so this holds: {0}.", "{0}? Yes: {1}.",
};
constexpr std::array<std::string_view, 4> kCounts = {"{0}: {1}.", "{0} — {1}, which is enough.", "Enough of them are true ({1}): {0}.", "{0}? {1}, so yes."};
constexpr std::array<std::string_view, 4> kLinks = {"{0}: {1}.", "{0} — {1}.", "{0}? Checked: {1}.", "{1}, so this holds: {0}."};
constexpr std::array<std::string_view, 4> kOthers = {"{0}: {1}.", "{0} — {1}.", "{0}? {1}.", "{1}: {0}."};
constexpr std::array<std::string_view, 3> kNothing = {"Every name comes from the listings.", "The form is right, and nothing is used twice.", "There is no further condition to check."};

std::string_view symbol(CompareOp op) {
  switch (op) {
    case CompareOp::Equal: return "=";
    case CompareOp::NotEqual: return "≠";
    case CompareOp::Less: return "<";
    case CompareOp::LessEqual: return "≤";
    case CompareOp::Greater: return ">";
    case CompareOp::GreaterEqual: return "≥";
  }
  return "";
}

/// A value that the text of the task gives, or that no two of something are the same.
bool is_plain(const Node& node) {
  if (node.kind == NodeKind::AllDifferent) return true;
  if (node.kind != NodeKind::Compare || node.op != CompareOp::Equal) return false;
  return node.children[0].kind == NodeKind::SlotValue && node.children[1].kind == NodeKind::Const;
}

/// The leaves that a verdict lists below `index`, in its order.
void collect_leaves(const CompiledProblem& problem, const Evaluator& evaluator, int index, std::vector<int>& leaves) {
  const CompiledNode& node = problem.node(index);
  if (node.kind == NodeKind::AllOf) {
    for (const int child : node.children) collect_leaves(problem, evaluator, child, leaves);
  } else if (node.kind == NodeKind::IfThenElse && evaluator.truth(node.children[0]) == Truth::True) {
    collect_leaves(problem, evaluator, node.children[1], leaves);
  } else if (node.kind == NodeKind::IfThenElse && node.children.size() > 2) {
    collect_leaves(problem, evaluator, node.children[2], leaves);
  } else {
    leaves.push_back(index);
  }
}

/// "found 120 + 200 = 320" of "less than 350" becomes "120 + 200 = 320 < 350".
std::string with_numbers(const Node& leaf, const std::string& explanation) {
  std::string found = explanation.starts_with("found ") ? explanation.substr(6) : explanation;
  if (leaf.kind != NodeKind::Compare) return found;
  const std::size_t against = found.find(" against ");
  if (against != std::string::npos) return fmt::format("{} {} {}", found.substr(0, against), symbol(leaf.op), found.substr(against + 9));
  const Constant& bound = leaf.children[1].constant;
  if (leaf.children[1].kind != NodeKind::Const || bound.type != ConstType::Number) return found;
  return fmt::format("{} {} {}", found, symbol(leaf.op), static_cast<double>(bound.number) / static_cast<double>(kCellScale));
}

std::string statement(const Node& leaf, const ScoreComponent& component, Rng& rng) {
  const std::string found = with_numbers(leaf, component.explanation);
  std::string_view form;
  switch (leaf.kind) {
    case NodeKind::Compare: form = pick(kComparisons, rng); break;
    case NodeKind::AtLeast:
    case NodeKind::AnyOf: form = pick(kCounts, rng); break;
    case NodeKind::Linked: form = pick(kLinks, rng); break;
    default: form = pick(kOthers, rng); break;
  }
  std::string text = fmt::format(fmt::runtime(form), component.constraint, found);
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

std::string review_plan(const Problem& problem, const EnvSpec& spec, const World& world, const Completeness& completeness, const std::string& answer, std::optional<Cell> optimum,
                        Rng& rng) {
  Problem telling = problem;
  for (auto& slot : telling.slots) slot.within.clear();
  std::erase_if(telling.constraints, is_plain);
  const CompiledProblem compiled(telling, world, &completeness);
  const Score score = Verifier(compiled, spec, optimum).verify(answer);
  std::vector<SlotValue> values;
  AnswerReader(compiled).read(answer, values, nullptr);
  Evaluator evaluator(compiled);
  evaluator.assign_all(values);
  std::vector<int> leaves;
  for (const int root : compiled.roots()) collect_leaves(compiled, evaluator, root, leaves);

  std::string text(pick(kOpenings, rng));
  const std::string_view bullet = pick(kBullets, rng);
  if (score.components.empty()) text += fmt::format(" {}", pick(kNothing, rng));
  for (std::size_t i = 0; i < score.components.size(); ++i) {
    const auto& component = score.components[i];
    // What follows the constraints is the objective.
    const std::string said = i < leaves.size() ? statement(*compiled.node(leaves[i]).source, component, rng) : fmt::format(fmt::runtime(pick(kOthers, rng)), component.constraint, component.explanation);
    text += bullet.empty() ? " " + said : fmt::format("\n{}{}", bullet, said);
  }
  return fmt::format("{}{}{}", text, bullet.empty() || score.components.empty() ? " " : "\n", pick(kClosings, rng));
}

}  // namespace gauntlet

#include "verifiers/verify.h"

#include <fmt/format.h>

#include "core/error.h"
#include "verifiers/render.h"

namespace gauntlet {
namespace {

enum class Shown { Number, Date, Symbol, Boolean };

Shown shown_as(const CompiledProblem& problem, const CompiledNode& node) {
  const auto of_column = [&](int table, int column) {
    switch (problem.world().tables[static_cast<std::size_t>(table)].columns[static_cast<std::size_t>(column)].type) {
      case ColumnType::Text:
      case ColumnType::Reference: return Shown::Symbol;
      case ColumnType::Date: return Shown::Date;
      case ColumnType::Boolean: return Shown::Boolean;
      default: return Shown::Number;
    }
  };
  switch (node.kind) {
    case NodeKind::Attribute:
    case NodeKind::Link: return of_column(node.table, node.column);
    case NodeKind::SlotValue:
      switch (problem.problem().slots[static_cast<std::size_t>(node.slot)].domain) {
        case SlotDomain::Dates: return Shown::Date;
        case SlotDomain::Integers: return Shown::Number;
        default: return Shown::Symbol;
      }
    case NodeKind::Const:
      switch (node.source->constant.type) {
        case ConstType::Date: return Shown::Date;
        case ConstType::Text: return Shown::Symbol;
        case ConstType::Boolean: return Shown::Boolean;
        default: return Shown::Number;
      }
    case NodeKind::Min:
    case NodeKind::Max: return shown_as(problem, problem.node(node.children[0]));
    default: return Shown::Number;
  }
}

std::string number_text(Cell cell) {
  std::string text = fmt::format("{}{}.{:03}", cell < 0 ? "-" : "", std::abs(cell) / kCellScale, std::abs(cell) % kCellScale);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

Verifier::Verifier(const CompiledProblem& problem, const EnvSpec& spec, std::optional<Cell> optimum)
    : problem_(&problem), spec_(&spec), optimum_(optimum), reader_(problem), evaluator_(problem) {
  require(problem.objective() < 0 || optimum.has_value(), ErrorKind::Input,
          "the problem has an objective, but its certificate holds no optimum to compare with");
}

std::string Verifier::describe(int value) const {
  const CompiledNode& node = problem_->node(value);
  const Range range = evaluator_.value(value);
  if (!range.fixed()) return "nothing (no such row)";
  switch (shown_as(*problem_, node)) {
    case Shown::Symbol: return fmt::format("\"{}\"", problem_->symbol_text(range.low));
    case Shown::Date: return format_date(range.low / kCellScale);
    case Shown::Boolean: return range.low != 0 ? "true" : "false";
    case Shown::Number: break;
  }
  std::string text = number_text(range.low);
  if ((node.kind == NodeKind::Sum) && node.children.size() <= 16) {
    std::string parts;
    for (const int child : node.children) parts += (parts.empty() ? "" : " + ") + describe(child);
    text = fmt::format("{} = {}", parts, text);
  }
  return text;
}

/// Adds one component for each leaf that decides the verdict; conditionals are followed into the branch that applies.
void Verifier::explain(int index, Score& score, int& failed) const {
  const CompiledNode& node = problem_->node(index);
  if (node.kind == NodeKind::AllOf) {
    for (const int child : node.children) explain(child, score, failed);
    return;
  }
  if (node.kind == NodeKind::IfThenElse) {
    const bool applies = evaluator_.truth(node.children[0]) == Truth::True;
    if (applies) {
      explain(node.children[1], score, failed);
    } else if (node.children.size() > 2) {
      explain(node.children[2], score, failed);
    } else {
      score.components.push_back({.constraint = render_leaf(*node.source, problem_->problem(), *spec_, "en"),
                                  .holds = true,
                                  .explanation = "the condition does not apply"});
    }
    return;
  }
  const bool holds = evaluator_.truth(index) == Truth::True;
  std::string found;
  if (node.kind == NodeKind::Compare) {
    const bool right_is_constant = problem_->node(node.children[1]).kind == NodeKind::Const;
    found = "found " + describe(node.children[0]);
    if (!right_is_constant) found += " against " + describe(node.children[1]);
  } else if (node.kind == NodeKind::AllDifferent || node.kind == NodeKind::Member) {
    for (const int child : node.children) found += (found.empty() ? "found " : ", ") + describe(child);
  } else if (node.kind == NodeKind::AnyOf || node.kind == NodeKind::AtLeast) {
    int count = 0;
    for (const int child : node.children) count += evaluator_.truth(child) == Truth::True ? 1 : 0;
    found = fmt::format("{} of {} hold", count, node.children.size());
  } else if (node.kind == NodeKind::Linked) {
    found = holds ? "such a row exists" : "no such row";
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      found += fmt::format("{}{} {}", i == 0 ? " for " : ", ", node.source->match_columns[i], describe(node.children[i]));
    }
  } else {
    found = holds ? "holds" : "does not hold";
  }
  failed += holds ? 0 : 1;
  score.components.push_back({.constraint = render_leaf(*node.source, problem_->problem(), *spec_, "en"), .holds = holds, .explanation = found});
}

Score Verifier::verify(const std::optional<std::string>& answer_text) {
  Score score;
  score.scored = true;
  if (!answer_text) {
    score.summary = "no answer was submitted";
    return score;
  }
  std::vector<AnswerProblem> problems;
  if (!reader_.read(*answer_text, values_, &problems)) {
    score.summary = fmt::format("the answer does not have the form asked for: {}: {}", problems.front().path, problems.front().what);
    for (const auto& problem : problems) {
      score.components.push_back({.constraint = fmt::format("answer form at {}", problem.path), .holds = false, .explanation = problem.what});
    }
    return score;
  }
  evaluator_.assign_all(values_);
  int failed = 0;
  for (const int root : problem_->roots()) explain(root, score, failed);
  if (problem_->objective() >= 0) {
    const Range reached = evaluator_.value(problem_->objective());
    const bool optimal = reached.fixed() && reached.low == *optimum_;
    failed += optimal ? 0 : 1;
    score.components.push_back(
        {.constraint = problem_->problem().sense == ObjectiveSense::Minimise ? "the lowest possible value is reached" : "the highest possible value is reached",
         .holds = optimal,
         .explanation = fmt::format("found {}, the best is {}", describe(problem_->objective()), number_text(*optimum_))});
  }
  score.value = failed == 0 ? 1.0 : 0.0;
  score.summary = failed == 0 ? fmt::format("all {} constraints hold", score.components.size())
                              : fmt::format("{} of {} constraints fail", failed, score.components.size());
  return score;
}

bool Verifier::passes_values(std::span<const SlotValue> values) {
  evaluator_.assign_all(values);
  // All must hold, so the order is free: what an answer broke is likely to be what the next one breaks, and clauses, which come last, are
  // broken more often than the frame.
  const auto& roots = problem_->roots();
  if (last_broken_ < roots.size() && evaluator_.truth(roots[last_broken_]) != Truth::True) return false;
  for (std::size_t i = roots.size(); i-- > 0;) {
    if (i == last_broken_ || evaluator_.truth(roots[i]) == Truth::True) continue;
    last_broken_ = i;
    return false;
  }
  if (problem_->objective() < 0) return true;
  const Range reached = evaluator_.value(problem_->objective());
  return reached.fixed() && reached.low == *optimum_;
}

bool Verifier::passes(std::string_view answer_text) { return reader_.read(answer_text, values_, nullptr) && passes_values(values_); }

Json answer_to_json(const CompiledProblem& problem, std::span<const SlotValue> values) {
  Json root;
  for (std::size_t i = 0; i < values.size(); ++i) {
    root[Json::json_pointer(problem.problem().slots[i].path)] = problem.value_to_json(static_cast<int>(i), values[i]);
  }
  return root;
}

std::string answer_to_text(const CompiledProblem& problem, std::span<const SlotValue> values) { return dump_json(answer_to_json(problem, values)); }

}  // namespace gauntlet

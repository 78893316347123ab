#pragma once

// From an answer's text to a verdict: tolerant of form (key order, white space, a code fence, integer-valued floats, members that were
// not asked for), strict in substance. A verdict lists every leaf with what was found.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/episode.h"
#include "envs/env_spec.h"
#include "verifiers/compiled.h"

namespace gauntlet {

/// One thing that is wrong with an answer's form: "/0/hotel", "no hotel is named \"X\"".
struct AnswerProblem {
  std::string path;
  std::string what;
};

/// Reads answers of one problem's form. Not thread-safe (it keeps the parser's buffers); cheap to make.
class AnswerReader {
 public:
  explicit AnswerReader(const CompiledProblem& problem);
  ~AnswerReader();
  AnswerReader(const AnswerReader&) = delete;
  AnswerReader& operator=(const AnswerReader&) = delete;

  /// Fills `values` [slots]; -1 where a value is missing or names nothing. True if all slots were filled. When `problems` is given, all
  /// that is wrong is added.
  bool read(std::string_view text, std::vector<SlotValue>& values, std::vector<AnswerProblem>* problems);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Verifier {
 public:
  /// `optimum` is the certified best objective value (thousandths); required when the problem has an objective. All must outlive it.
  Verifier(const CompiledProblem& problem, const EnvSpec& spec, std::optional<Cell> optimum);

  /// Always scored: a missing, unreadable or incomplete answer is the agent's failure (value 0) and the summary says which.
  Score verify(const std::optional<std::string>& answer_text);

  /// The same verdict without explanations, for bulk work; agrees with verify() on every input.
  bool passes(std::string_view answer_text);
  bool passes_values(std::span<const SlotValue> values);

 private:
  void explain(int node, Score& score, int& failed) const;
  std::string describe(int value) const;

  const CompiledProblem* problem_;
  const EnvSpec* spec_;
  std::optional<Cell> optimum_;
  AnswerReader reader_;
  Evaluator evaluator_;
  std::vector<SlotValue> values_;
  std::size_t last_broken_ = 0;  ///< root that the last answer broke
};

/// The answer in the form that the problem asks for, and as text.
Json answer_to_json(const CompiledProblem& problem, std::span<const SlotValue> values);
std::string answer_to_text(const CompiledProblem& problem, std::span<const SlotValue> values);

}  // namespace gauntlet

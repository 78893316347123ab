#pragma once

// A finished conversation as a language model is trained on it: the text that the engine would have read and sampled, cut where one ends
// and the other begins, and what of the sampled text should not be learnt.

#include <span>
#include <vector>

#include "agent/chat_format.h"
#include "agent/python_json.h"
#include "core/chat_model.h"
#include "core/message.h"

namespace gauntlet {

/// A stretch that the engine tokenises as one: a prompt, what the environment added to it, or a reply of the agent.
struct TrainingPart {
  std::vector<TextPiece> pieces;    ///< neighbours differ in origin
  bool agent = false;               ///< sampled by the model: from behind the opener of its reply to its end-of-sentence marker
  std::vector<TextSpan> unlearned;  ///< of an agent's part, by its bytes: to be seen, not to be learnt; ascending, none empty

  std::string text() const;
};

/// Parts of the environment and of the agent in turn; the first is the prompt, the last is the agent's.
using TrainingText = std::vector<TrainingPart>;

/// True for a tool's result that is an error object.
bool is_error_result(std::string_view content);

/// Writes DeepSeek's format. Not learnt are: the arguments of calls that the environment answered with an error (and the name, if there is no
/// such tool); replies that were answered by a user's message instead of results, because their call could not be read; and replies whose thinking the
/// format leaves out.
class TrainingTextWriter {
 public:
  explicit TrainingTextWriter(const std::vector<ToolSpec>& tools);

  /// What follows the last assistant message is left out. Throws Error(Usage) for a conversation that the format cannot write, or in which no
  /// assistant speaks.
  TrainingText write(std::span<const Message> messages, ThinkingMode mode) const;

 private:
  PythonJson tools_;
};

}  // namespace gauntlet

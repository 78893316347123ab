#pragma once

// The encoder behind encode_chat and chat_encode_line, over JSON that keeps what Python keeps.

#include <vector>

#include "agent/chat_format.h"
#include "agent/python_json.h"

namespace gauntlet {

struct PromptValues {
  PythonJson messages;
  PythonJson tools;    ///< null: none
  PythonJson context;  ///< null: none
  ThinkingMode mode = ThinkingMode::Thinking;
  bool drop_thinking = true;
  bool add_default_bos_token = true;
};

ChatEncoding encode_prompt(PromptValues prompt);

}  // namespace gauntlet

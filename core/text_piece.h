#pragma once

// Text that remembers who wrote it. Tokenizers match special tokens in the template's bytes only, so that what users, tools and models
// wrote never becomes a control token.

#include <string>

namespace gauntlet {

enum class Origin {
  Template,  ///< written by the program: may hold special tokens
  Data,      ///< users, tools, tool names, models: never becomes a special token
};

struct TextPiece {
  std::string text;
  Origin origin = Origin::Data;
};

}  // namespace gauntlet

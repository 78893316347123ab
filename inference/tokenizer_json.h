#pragma once

// What tokenizer.json says beside vocabulary and merges. Everything that is not implemented is refused by name, because a
// tokenizer that is nearly right gives ids that the model was never trained on.

#include <string>
#include <vector>

#include "core/json.h"
#include "inference/added_tokens.h"
#include "inference/pre_tokenizer.h"

namespace gauntlet {

struct TokenizerSettings {
  bool ignore_merges = false;
  std::vector<AddedToken> added;
  std::vector<SplitRule> splits;
};

/// `rest` is TokenizerDocument::rest. post_processor, truncation and padding are ignored: who writes the prompt writes its template
/// tokens, and nothing is cut or padded here. Throws Error(Input).
TokenizerSettings read_tokenizer_settings(const Json& rest, const std::string& what);

}  // namespace gauntlet

#pragma once

// From the spelled tokens of tokenizer.json to bytes and ids.

#include <string>
#include <vector>

#include "inference/added_tokens.h"
#include "inference/byte_pairs.h"
#include "inference/token_table.h"
#include "inference/tokenizer_document.h"

namespace gauntlet {

/// All tokens, the added ones too. Ids may have holes (models pad their vocabularies), but the largest is below twice the number of
/// tokens plus 1,024, so that a small file cannot ask for a large table. A token that is not spelled in the byte alphabet keeps
/// its text as its bytes and is never found in words. Throws Error(Input) on an id that is negative, too large or used twice; a
/// token used twice; an added token that contradicts the vocabulary; a byte of UTF-8 without a token, or whose token is a marker.
TokenTable build_token_table(const TokenizerDocument& document, const std::vector<AddedToken>& added, const std::string& what);

/// Throws Error(Input) when a merge names a token that the vocabulary does not have, or makes one.
std::vector<MergeRule> build_merge_rules(const TokenizerDocument& document, const TokenTable& table, const std::string& what);

}  // namespace gauntlet

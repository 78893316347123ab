// Tested through schema_grammar_test.cpp.

#include "inference/constraint/budget.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gauntlet {

void Budget::refuse_steps() const { fail(ErrorKind::Usage, fmt::format("the schema or grammar is too complex: compiling it takes more than {} steps", most_steps_)); }
void Budget::refuse_bytes() const { fail(ErrorKind::Usage, fmt::format("the schema or grammar is too complex: compiling it takes more than {} bytes", most_bytes_)); }

}  // namespace gauntlet

#pragma once

// Arguments of a tool call as a JSON object, from DSML parameters read by the forgiving parser.

#include <string>
#include <vector>

#include "agent/chat_calls.h"

namespace gauntlet {

/// JSON text of an object. `function` is the declared function, or null if nothing is known about it. A value with string="false" that
/// is no JSON becomes a string, as does one whose schema asks for a string. A lone parameter "arguments" or "input" that the schema
/// does not know is taken for a wrapper and replaced by the object in it.
std::string dsml_arguments(const std::vector<CallParameter>& parameters, const Json* function);

}  // namespace gauntlet

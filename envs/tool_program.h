#pragma once

// An environment's tools, compiled on a database that has its tables and no rows.

#include <string>
#include <vector>

#include "envs/tool_statement.h"

namespace gauntlet {

struct PreparedTool {
  std::vector<ToolStatement> checks;
  std::vector<ToolStatement> statements;
  int keywords = -1;  ///< the parameter that selects columns
};

/// `path` is the tool's place in the document. Throws Error(Input) at the first statement that is wrong.
PreparedTool compile_tool(StatementCompiler& compiler, const ToolDefinition& tool, const std::string& path);

/// Compiles every statement of every tool; what is wrong, each with its path ("/tools/3/statements/0: …").
std::vector<std::string> check_statements(const EnvSpec& spec);

}  // namespace gauntlet

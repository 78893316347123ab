#include "envs/tool_program.h"

#include <fmt/format.h>

#include "core/error.h"
#include "envs/world_database.h"

namespace gauntlet {

PreparedTool compile_tool(StatementCompiler& compiler, const ToolDefinition& tool,
                          const std::string& path) {
  PreparedTool compiled;
  for (std::size_t i = 0; i < tool.checks.size(); ++i) {
    const std::string at = fmt::format("{}/checks/{}/unless", path, i);
    compiled.checks.push_back(compiler.compile(tool.checks[i].unless_sql, tool, StatementRight::Read, at));
  }
  for (std::size_t i = 0; i < tool.statements.size(); ++i) {
    const auto right = tool.effect == ToolEffect::Write ? StatementRight::Write : StatementRight::Read;
    compiled.statements.push_back(compiler.compile(tool.statements[i], tool, right, fmt::format("{}/statements/{}", path, i)));
  }
  if (tool.effect != ToolEffect::Submit) {
    const int found = compiled.statements.back().columns;
    require(found == static_cast<int>(tool.result_columns.size()), ErrorKind::Input,
            fmt::format("{}/result/columns: found {} names; accepted: {}, as many as the last statement has columns", path,
                        tool.result_columns.size(), found));
  }
  for (std::size_t i = 0; i < tool.parameters.size(); ++i) {
    if (!tool.keywords.empty() && tool.parameters[i].name == tool.keywords) compiled.keywords = static_cast<int>(i);
  }
  return compiled;
}

std::vector<std::string> check_statements(const EnvSpec& spec) {
  WorldImages images;
  const WorldDatabase database(spec, images);
  StatementCompiler compiler(database.db());
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < spec.tools.size(); ++i) {
    try {
      compile_tool(compiler, spec.tools[i], fmt::format("/tools/{}", i));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Input) throw;
      problems.emplace_back(error.what());
    }
  }
  return problems;
}

}  // namespace gauntlet

#pragma once

// One SQL statement that an environment declares, compiled under an authorizer that allows what its tool declares and nothing
// else.

#include <string>
#include <vector>

#include "envs/env_spec.h"
#include "envs/sqlite_handle.h"

namespace gauntlet {

struct ToolStatement {
  SqliteStatement statement;
  std::vector<int> parameters;        ///< [SQL variables] number of the tool's parameter
  std::vector<bool> boolean_columns;  ///< [result columns] shown as true and false
  int columns = 0;
};

enum class StatementRight { Read, Write };

/// While one exists, its connection can compile nothing but what is declared. The authorizer is set once for all statements,
/// because setting it makes SQLite compile the earlier ones again.
class StatementCompiler {
 public:
  explicit StatementCompiler(sqlite3* db);
  ~StatementCompiler();
  StatementCompiler(const StatementCompiler&) = delete;
  StatementCompiler& operator=(const StatementCompiler&) = delete;

  /// `path` is the statement's place in the document, used in errors. Throws Error(Input).
  ToolStatement compile(const std::string& sql, const ToolDefinition& tool, StatementRight right, const std::string& path);

 private:
  struct Declared;
  static int authorize(void* context, int action, const char* first, const char* second, const char* database,
                       const char* trigger);

  std::string refuse_conflict_clause() const;

  sqlite3* db_;
  std::unique_ptr<Declared> declared_;
};

/// Limits of a connection that runs declared statements.
void restrict_connection(sqlite3* db);

}  // namespace gauntlet

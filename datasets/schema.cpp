#include "datasets/schema.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

// Rowids are given in order of insertion and are what listings are sorted by. Text is stored byte for byte.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE environments (
  env_sha256 TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  source TEXT NOT NULL CHECK (json_valid(source))
);
CREATE TABLE worlds (
  world_id INTEGER PRIMARY KEY,
  env_sha256 TEXT NOT NULL REFERENCES environments,
  key_sha256 TEXT NOT NULL,
  seed TEXT NOT NULL,
  world_key TEXT NOT NULL CHECK (json_valid(world_key)),
  UNIQUE (env_sha256, key_sha256)
);
CREATE TABLE tasks (
  task_rowid INTEGER PRIMARY KEY,
  task_id TEXT NOT NULL UNIQUE,
  environment TEXT NOT NULL,
  env_sha256 TEXT NOT NULL REFERENCES environments,
  world_id INTEGER NOT NULL REFERENCES worlds,
  named TEXT NOT NULL,
  level INTEGER NOT NULL,
  prompt TEXT NOT NULL,
  problem TEXT NOT NULL CHECK (json_valid(problem)),
  difficulty TEXT NOT NULL CHECK (json_valid(difficulty))
);
CREATE INDEX tasks_by_environment ON tasks (environment, level);
CREATE INDEX tasks_by_world ON tasks (world_id);
CREATE TABLE certificates (
  task_id TEXT PRIMARY KEY REFERENCES tasks (task_id),
  certificate TEXT NOT NULL CHECK (json_valid(certificate))
);
CREATE TABLE runs (
  run_rowid INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  config TEXT NOT NULL CHECK (json_valid(config)),
  config_sha256 TEXT NOT NULL,
  code_version TEXT NOT NULL,
  started_unix_ms INTEGER NOT NULL,
  requested INTEGER NOT NULL
);
CREATE TABLE episodes (
  episode_id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  task_id TEXT NOT NULL REFERENCES tasks (task_id),
  sample INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  seed TEXT NOT NULL,
  stop TEXT NOT NULL,
  fault_class TEXT,
  fault_message TEXT,
  answer TEXT,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cost REAL NOT NULL,
  steps INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  tool_errors INTEGER NOT NULL,
  malformed_calls INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL,
  started_unix_ms INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  token_stream_count INTEGER NOT NULL,
  UNIQUE (run_id, task_id, sample, attempt)
);
CREATE INDEX episodes_by_task ON episodes (task_id);
CREATE TABLE messages (
  message_id INTEGER PRIMARY KEY,
  episode_id INTEGER NOT NULL REFERENCES episodes,
  position INTEGER NOT NULL,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  reasoning TEXT,
  tool_calls TEXT,
  tool_call_id TEXT,
  tool_name TEXT,
  UNIQUE (episode_id, position)
);
CREATE TABLE token_streams (
  stream_id INTEGER PRIMARY KEY,
  episode_id INTEGER NOT NULL REFERENCES episodes,
  position INTEGER NOT NULL,
  prompt_shared INTEGER NOT NULL,
  prompt_rest BLOB NOT NULL,
  ids BLOB NOT NULL,
  logprobs BLOB NOT NULL,
  UNIQUE (episode_id, position)
);
CREATE TABLE scores (
  episode_id INTEGER PRIMARY KEY REFERENCES episodes,
  scored INTEGER NOT NULL CHECK (scored IN (0, 1)),
  value REAL,
  unscored_reason TEXT,
  summary TEXT NOT NULL,
  CHECK ((scored = 1 AND value IS NOT NULL AND value BETWEEN 0 AND 1 AND unscored_reason IS NULL)
      OR (scored = 0 AND value IS NULL AND unscored_reason IS NOT NULL))
);
CREATE TABLE score_components (
  episode_id INTEGER NOT NULL REFERENCES scores,
  position INTEGER NOT NULL,
  constraint_text TEXT NOT NULL,
  holds INTEGER NOT NULL CHECK (holds IN (0, 1)),
  explanation TEXT NOT NULL,
  PRIMARY KEY (episode_id, position)
) WITHOUT ROWID;
CREATE TABLE exports (
  export_id INTEGER PRIMARY KEY,
  created_unix_ms INTEGER NOT NULL,
  description TEXT NOT NULL CHECK (json_valid(description))
);
)sql";

constexpr const char* kViews = R"sql(
DROP VIEW IF EXISTS v_failures;
DROP VIEW IF EXISTS v_transcripts;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_pass_rates;
DROP VIEW IF EXISTS v_outcomes;
DROP VIEW IF EXISTS v_tasks;

CREATE VIEW v_tasks AS
SELECT t.task_id, t.environment, t.level, t.named, t.prompt, w.seed AS world_seed, t.env_sha256,
       json_extract(c.certificate, '$.solution_count') AS solution_count,
       json_extract(c.certificate, '$.solution_count_exact') AS solution_count_exact,
       json_extract(c.certificate, '$.minimal_tool_calls') AS minimal_tool_calls,
       json_extract(c.certificate, '$.random_pass_rate') AS random_pass_rate,
       (SELECT count(*) FROM episodes e WHERE e.task_id = t.task_id) AS episodes
FROM tasks t JOIN worlds w USING (world_id) JOIN certificates c USING (task_id);

CREATE VIEW v_outcomes AS
SELECT e.episode_id, e.run_id, e.task_id, t.environment, t.level, e.sample, e.attempt, e.stop,
       e.stop IN ('model_fault', 'environment_fault', 'time_limit') AS infrastructure_fault, e.stop = 'cancelled' AS cancelled,
       s.scored, s.value, s.summary, s.unscored_reason, e.fault_class, e.fault_message,
       e.prompt_tokens, e.completion_tokens, e.reasoning_tokens, e.cached_tokens, e.cost, e.steps,
       e.tool_calls, e.tool_errors, e.malformed_calls, e.wall_ms, e.started_unix_ms
FROM episodes e JOIN tasks t USING (task_id) JOIN scores s USING (episode_id)
WHERE NOT EXISTS (SELECT 1 FROM episodes later
                  WHERE later.run_id = e.run_id AND later.task_id = e.task_id AND later.sample = e.sample
                    AND later.attempt > e.attempt);

CREATE VIEW v_pass_rates AS
SELECT run_id, environment, level, count(*) AS episodes, count(DISTINCT task_id) AS tasks, sum(scored) AS scored,
       coalesce(sum(value = 1), 0) AS passed, sum(infrastructure_fault) AS infrastructure_faults, sum(cancelled) AS cancelled,
       avg(value) AS pass_rate
FROM v_outcomes GROUP BY run_id, environment, level;

CREATE VIEW v_runs AS
SELECT r.run_id, r.code_version, datetime(r.started_unix_ms / 1000, 'unixepoch') AS started_utc, r.requested,
       count(o.episode_id) AS episodes, coalesce(sum(o.scored), 0) AS scored,
       coalesce(sum(o.infrastructure_fault), 0) AS infrastructure_faults, coalesce(sum(o.cancelled), 0) AS cancelled,
       r.requested - count(o.episode_id) AS missing, avg(o.value) AS pass_rate,
       sum(o.prompt_tokens + o.completion_tokens) AS tokens, sum(o.cost) AS cost, r.config
FROM runs r LEFT JOIN v_outcomes o USING (run_id) GROUP BY r.run_rowid;

CREATE VIEW v_transcripts AS
SELECT e.run_id, e.task_id, e.sample, e.attempt, e.episode_id, m.position, m.role, m.content, m.reasoning, m.tool_calls,
       m.tool_call_id, m.tool_name
FROM episodes e JOIN messages m USING (episode_id);

CREATE VIEW v_failures AS
SELECT o.run_id, o.environment, o.level, o.task_id, o.sample, o.attempt, o.episode_id, k.constraint_text, k.explanation
FROM v_outcomes o JOIN score_components k USING (episode_id)
WHERE o.scored = 1 AND k.holds = 0;
)sql";

/// Episodes that ran out of time, and tasks whose own prompt did not fit the context, are not failures of the agent: version 1 scored them 0.
constexpr const char* kVersion2 = R"sql(
UPDATE episodes SET stop = 'model_fault', fault_class = 'context_length', fault_message = 'the task''s own prompt did not fit the context'
WHERE stop = 'context_limit' AND steps = 0;
UPDATE episodes SET fault_class = 'out_of_time', fault_message = 'the episode''s time passed' WHERE stop = 'time_limit';
CREATE TEMP TABLE no_longer_scored AS SELECT episode_id, stop || ': ' || fault_message AS reason
FROM episodes JOIN scores USING (episode_id) WHERE scored = 1 AND stop IN ('model_fault', 'time_limit');
DELETE FROM score_components WHERE episode_id IN (SELECT episode_id FROM no_longer_scored);
UPDATE scores SET scored = 0, value = NULL, summary = '',
  unscored_reason = (SELECT reason FROM no_longer_scored WHERE no_longer_scored.episode_id = scores.episode_id)
WHERE episode_id IN (SELECT episode_id FROM no_longer_scored);
DROP TABLE no_longer_scored;
)sql";

constexpr std::array<Migration, 2> kMigrations = {Migration{kVersion1}, Migration{kVersion2}};

struct FileState {
  std::int64_t application_id = 0;
  std::int64_t version = 0;
  bool empty = false;
};

FileState read_state(const Database& database) {
  const std::string doing = "read the store's version";
  return {.application_id = database.query_integer("PRAGMA application_id", doing),
          .version = database.query_integer("PRAGMA user_version", doing),
          .empty = database.query_integer("SELECT count(*) FROM sqlite_schema", doing) == 0};
}

void require_ours(const Database& database, const FileState& state, std::int64_t newest) {
  if (state.application_id != kApplicationId) {
    fail(ErrorKind::Store,
         fmt::format(
             "could not open {}: it is an SQLite database but not a Gauntlet store (application_id {:#x}, expected {:#x})",
             database.path(), state.application_id, kApplicationId));
  }
  if (state.version > newest) {
    fail(ErrorKind::Store,
         fmt::format("could not open {}: it has schema version {}, this program knows versions up to {}. Use a newer gauntlet; "
                     "the file was not changed",
                     database.path(), state.version, newest));
  }
}

}  // namespace

std::span<const Migration> store_migrations() { return kMigrations; }
const char* store_views() { return kViews; }

void upgrade_schema(Database& database, std::span<const Migration> migrations) {
  const auto newest = static_cast<std::int64_t>(migrations.size());
  const auto is_new = [](const FileState& state) { return state.empty && state.application_id == 0 && state.version == 0; };
  FileState state = read_state(database);
  if (!is_new(state)) require_ours(database, state, newest);
  if (!is_new(state) && state.version == newest) return;

  const std::string doing = fmt::format("bring {} to schema version {}", database.path(), newest);
  Transaction transaction(database, doing);
  state = read_state(database);  // another process may have been first
  if (is_new(state)) {
    database.execute(fmt::format("PRAGMA application_id = {}", kApplicationId), doing);
  } else {
    require_ours(database, state, newest);
    if (state.version == newest) return;
  }
  for (std::int64_t version = state.version; version < newest; ++version) {
    database.execute(migrations[static_cast<std::size_t>(version)].sql, doing);
  }
  database.execute(kViews, doing);
  database.execute(fmt::format("PRAGMA user_version = {}", newest), doing);
  transaction.commit();
}

void require_current_schema(const Database& database) {
  const FileState state = read_state(database);
  require_ours(database, state, current_schema_version());
  if (state.version < current_schema_version()) {
    fail(ErrorKind::Store,
         fmt::format(
             "could not open {} for reading: it has schema version {}, this program reads version {}. Opening it once for "
             "writing brings it up to date, as `gauntlet verify --update` and `gauntlet bench` do",
             database.path(), state.version, current_schema_version()));
  }
}

}  // namespace gauntlet

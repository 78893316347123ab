// The store's episodes with their messages, token streams and scores.

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "datasets/store_state.h"
#include "datasets/token_blobs.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kEpisodesPerBatch = 256;

constexpr const char* kSelectEpisodes =
    "SELECT e.episode_id, e.run_id, e.task_id, e.sample, e.attempt, e.seed, e.stop, e.fault_class, e.fault_message, e.answer, "
    "e.prompt_tokens, e.completion_tokens, e.reasoning_tokens, e.cached_tokens, e.cost, e.steps, e.tool_calls, e.tool_errors, "
    "e.malformed_calls, e.wall_ms, e.started_unix_ms, s.scored, s.value, s.unscored_reason, s.summary "
    "FROM episodes e JOIN scores s USING (episode_id)";

constexpr const char* kIsLatest =
    "NOT EXISTS (SELECT 1 FROM episodes later WHERE later.run_id = e.run_id AND later.task_id = e.task_id AND later.sample = "
    "e.sample "
    "AND later.attempt > e.attempt)";

/// Empty texts that mean "there is none" are NULL.
std::optional<std::string_view> unless_empty(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

std::string describe(const Episode& episode) {
  return fmt::format("episode (run {}, task {}, sample {}, attempt {})", episode.run_id, episode.task_id, episode.sample,
                     episode.attempt);
}

/// [{"id", "name", "arguments"}]
std::string calls_text(const std::vector<ToolCall>& calls) {
  Json out = Json::array();
  for (const auto& call : calls) out.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  return dump_json(out);
}

std::vector<ToolCall> calls_from_text(const std::string& text) {
  const Json list = parse_json(text, "the stored tool calls of a message");
  std::vector<ToolCall> out;
  for (const auto& call : list) {
    out.push_back({.id = get_string(call, "id", ""),
                   .name = get_string(call, "name", ""),
                   .arguments = get_string(call, "arguments", "")});
  }
  return out;
}

/// How many of `prompt`'s leading ids are those of `previous` (its prompt followed by what it sampled).
std::size_t shared_prefix(const std::vector<std::int32_t>& prompt, const TokenTrace& previous) {
  const auto at = [&](std::size_t i) {
    return i < previous.prompt_ids.size() ? previous.prompt_ids[i] : previous.ids[i - previous.prompt_ids.size()];
  };
  const std::size_t most = std::min(prompt.size(), previous.prompt_ids.size() + previous.ids.size());
  std::size_t shared = 0;
  while (shared < most && prompt[shared] == at(shared)) ++shared;
  return shared;
}

std::vector<std::int32_t> rebuild_prompt(const TokenTrace& previous, std::size_t shared, std::vector<std::int32_t> rest) {
  std::vector<std::int32_t> prompt = previous.prompt_ids;
  prompt.insert(prompt.end(), previous.ids.begin(), previous.ids.end());
  if (shared > prompt.size()) {
    fail(ErrorKind::Store, fmt::format("could not read a token stream: it shares {} ids with the one before, which has {}",
                                       shared, prompt.size()));
  }
  prompt.resize(shared);
  prompt.insert(prompt.end(), rest.begin(), rest.end());
  return prompt;
}

void require_scorable(StopReason stop, const Score& score) {
  if (is_infrastructure(stop) && score.scored) {
    fail(ErrorKind::Internal, fmt::format("an episode that ended by {} carries a score; infrastructure faults are never scored",
                                          stop_reason_name(stop)));
  }
}

void write_messages(EpisodeStatements& to, std::int64_t id, const Episode& episode) {
  for (std::size_t i = 0; i < episode.messages.size(); ++i) {
    const Message& message = episode.messages[i];
    std::optional<std::string> calls;
    if (!message.tool_calls.empty()) calls = calls_text(message.tool_calls);
    to.message.run(id, i, role_name(message.role), message.content, unless_empty(message.reasoning), calls,
                   unless_empty(message.tool_call_id), unless_empty(message.tool_name));
  }
  const TokenTrace none;
  for (std::size_t i = 0; i < episode.tokens.size(); ++i) {
    const TokenTrace& trace = episode.tokens[i];
    const std::size_t shared = shared_prefix(trace.prompt_ids, i == 0 ? none : episode.tokens[i - 1]);
    const std::string rest = encode_ids(std::span(trace.prompt_ids).subspan(shared));
    const std::string ids = encode_ids(trace.ids);
    const std::string logprobs = encode_floats(trace.logprobs);
    to.stream.run(id, i, shared, as_blob(rest), as_blob(ids), as_blob(logprobs));
  }
}

void write_score(Statement& score_statement, Statement& component, std::int64_t id, const Score& score) {
  std::optional<double> value;
  std::optional<std::string_view> reason;
  score.scored ? void(value = score.value) : void(reason = score.unscored_reason);
  score_statement.run(id, score.scored, value, reason, score.summary);
  for (std::size_t i = 0; i < score.components.size(); ++i) {
    const ScoreComponent& part = score.components[i];
    component.run(id, i, part.constraint, part.holds, part.explanation);
  }
}

/// What a foreign key or the unique constraint would refuse, said in the caller's words.
void require_storable(const Database& database, const Episode& episode) {
  const auto exists = [&](const char* sql, const auto&... values) {
    Statement query = database.prepare(sql, "look for an episode");
    query.start(values...);
    return query.next();
  };
  if (exists("SELECT 1 FROM episodes WHERE run_id = ? AND task_id = ? AND sample = ? AND attempt = ?", episode.run_id,
             episode.task_id, episode.sample, episode.attempt)) {
    fail(ErrorKind::Store, fmt::format("could not store the {}: it is already in {}", describe(episode), database.path()));
  }
  if (!exists("SELECT 1 FROM runs WHERE run_id = ?", episode.run_id)) {
    fail(ErrorKind::Store, fmt::format("could not store the {}: the run is not in {}", describe(episode), database.path()));
  }
  if (!exists("SELECT 1 FROM tasks WHERE task_id = ?", episode.task_id)) {
    fail(ErrorKind::Store, fmt::format("could not store the {}: the task is not in {}", describe(episode), database.path()));
  }
}

void write_episode(Database& database, EpisodeStatements& to, const Episode& episode) {
  require_scorable(episode.stop, episode.score);
  try {
    to.episode.run(episode.run_id, episode.task_id, episode.sample, episode.attempt, seed_text(episode.seed),
                   stop_reason_name(episode.stop), unless_empty(episode.fault_class), unless_empty(episode.fault_message),
                   episode.answer, episode.usage.prompt_tokens, episode.usage.completion_tokens, episode.usage.reasoning_tokens,
                   episode.usage.cached_tokens, episode.cost, episode.steps, episode.tool_calls, episode.tool_errors,
                   episode.malformed_calls, episode.wall_ms, episode.started_unix_ms, episode.messages.size(),
                   episode.tokens.size());
  } catch (const Error&) {
    // Only now, because looking before each insert would slow down the usual case.
    if (database.in_transaction()) require_storable(database, episode);
    throw;
  }
  const std::int64_t id = database.last_insert_id();
  write_messages(to, id, episode);
  write_score(to.score, to.component, id, episode.score);
}

StoredEpisode read_episode(const Statement& row) {
  StoredEpisode out;
  out.episode_id = row.integer(0);
  Episode& episode = out.episode;
  episode.run_id = row.text(1);
  episode.task_id = row.text(2);
  episode.sample = static_cast<int>(row.integer(3));
  episode.attempt = static_cast<int>(row.integer(4));
  episode.seed = parse_seed(row.text(5));
  episode.stop = parse_stop_reason(row.text(6));
  episode.fault_class = row.text(7);
  episode.fault_message = row.text(8);
  if (!row.is_null(9)) episode.answer = row.text(9);
  episode.usage = {.prompt_tokens = row.integer(10),
                   .completion_tokens = row.integer(11),
                   .reasoning_tokens = row.integer(12),
                   .cached_tokens = row.integer(13)};
  episode.cost = row.real(14);
  episode.steps = static_cast<int>(row.integer(15));
  episode.tool_calls = static_cast<int>(row.integer(16));
  episode.tool_errors = static_cast<int>(row.integer(17));
  episode.malformed_calls = static_cast<int>(row.integer(18));
  episode.wall_ms = row.integer(19);
  episode.started_unix_ms = row.integer(20);
  episode.score.scored = row.integer(21) == 1;
  episode.score.value = row.real(22);
  episode.score.unscored_reason = row.text(23);
  episode.score.summary = row.text(24);
  return out;
}

void read_components(Statement& query, StoredEpisode& stored) {
  query.start(stored.episode_id);
  while (query.next()) {
    stored.episode.score.components.push_back(
        {.constraint = query.text(0), .holds = query.integer(1) == 1, .explanation = query.text(2)});
  }
}

void read_messages(Statement& messages, Statement& streams, StoredEpisode& stored) {
  messages.start(stored.episode_id);
  while (messages.next()) {
    Message message;
    message.role = parse_role(messages.text(0));
    message.content = messages.text(1);
    message.reasoning = messages.text(2);
    if (!messages.is_null(3)) message.tool_calls = calls_from_text(messages.text(3));
    message.tool_call_id = messages.text(4);
    message.tool_name = messages.text(5);
    stored.episode.messages.push_back(std::move(message));
  }
  streams.start(stored.episode_id);
  TokenTrace previous;
  while (streams.next()) {
    TokenTrace trace;
    trace.prompt_ids = rebuild_prompt(previous, static_cast<std::size_t>(streams.integer(0)), decode_ids(streams.blob(1)));
    trace.ids = decode_ids(streams.blob(2));
    trace.logprobs = decode_floats(streams.blob(3));
    stored.episode.tokens.push_back(trace);
    previous = std::move(trace);
  }
}

struct EpisodePartStatements {
  Statement components;
  Statement messages;
  Statement streams;

  explicit EpisodePartStatements(const Database& database)
      : components(database.prepare(
            "SELECT constraint_text, holds, explanation FROM score_components WHERE episode_id = ? ORDER BY position",
            "read a score")),
        messages(database.prepare("SELECT role, content, reasoning, tool_calls, tool_call_id, tool_name FROM messages "
                                  "WHERE episode_id = ? ORDER BY position",
                                  "read messages")),
        streams(database.prepare("SELECT prompt_shared, prompt_rest, ids, logprobs FROM token_streams WHERE episode_id = ? "
                                 "ORDER BY position",
                                 "read token streams")) {}
};

}  // namespace

EpisodeStatements::EpisodeStatements(const Database& database)
    : episode(database.prepare(
          "INSERT INTO episodes (run_id, task_id, sample, attempt, seed, stop, fault_class, fault_message, answer, "
          "prompt_tokens, "
          "completion_tokens, reasoning_tokens, cached_tokens, cost, steps, tool_calls, tool_errors, malformed_calls, wall_ms, "
          "started_unix_ms, message_count, token_stream_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
          "?, ?, ?, ?)",
          "store an episode")),
      message(database.prepare(
          "INSERT INTO messages (episode_id, position, role, content, reasoning, tool_calls, tool_call_id, tool_name) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          "store a message")),
      stream(database.prepare("INSERT INTO token_streams (episode_id, position, prompt_shared, prompt_rest, ids, logprobs) "
                              "VALUES (?, ?, ?, ?, ?, ?)",
                              "store a token stream")),
      score(database.prepare("INSERT INTO scores (episode_id, scored, value, unscored_reason, summary) VALUES (?, ?, ?, ?, ?)",
                             "store a score")),
      component(database.prepare("INSERT INTO score_components (episode_id, position, constraint_text, holds, explanation) "
                                 "VALUES (?, ?, ?, ?, ?)",
                                 "store a score's component")) {}

void Store::put_episodes(std::span<const Episode> episodes) {
  if (episodes.empty()) return;
  if (!impl_->writing) impl_->writing.emplace(impl_->database);
  Transaction transaction(impl_->database, fmt::format("store {} episodes", episodes.size()));
  for (const Episode& episode : episodes) write_episode(impl_->database, *impl_->writing, episode);
  transaction.commit();
}

void Store::for_each_episode(const EpisodeFilter& filter, const std::function<void(const StoredEpisode&)>& visit) const {
  const Database& database = impl_->database;
  Statement query = database.prepare(
      fmt::format("{} WHERE (?1 = '' OR e.run_id = ?1) AND (?2 = '' OR e.task_id = ?2) AND e.episode_id > ?3 AND {} "
                  "ORDER BY e.episode_id LIMIT ?4",
                  kSelectEpisodes, filter.latest_attempt_only ? kIsLatest : "1"),
      "read episodes");
  EpisodePartStatements parts(database);
  std::vector<StoredEpisode> batch;
  std::int64_t after = 0;
  do {
    batch.clear();
    query.start(filter.run_id, filter.task_id, after, kEpisodesPerBatch);
    while (query.next()) batch.push_back(read_episode(query));
    for (StoredEpisode& stored : batch) {
      after = stored.episode_id;
      read_components(parts.components, stored);
      if (filter.with_messages) read_messages(parts.messages, parts.streams, stored);
      visit(stored);
      stored = {};  // so that one episode's messages are in memory, not a batch's
    }
  } while (static_cast<std::int64_t>(batch.size()) == kEpisodesPerBatch);
}

std::optional<StoredEpisode> Store::find_episode(std::int64_t episode_id) const {
  Statement query = impl_->database.prepare(std::string(kSelectEpisodes) + " WHERE e.episode_id = ?", "read an episode");
  query.start(episode_id);
  if (!query.next()) return std::nullopt;
  StoredEpisode stored = read_episode(query);
  query.reset();
  EpisodePartStatements parts(impl_->database);
  read_components(parts.components, stored);
  read_messages(parts.messages, parts.streams, stored);
  return stored;
}

void Store::for_each_outcome(const std::string& run_id, const std::function<void(const Outcome&)>& visit) const {
  Statement query = impl_->database.prepare(
      "SELECT episode_id, task_id, environment, level, sample, attempt, stop, scored, value, prompt_tokens, completion_tokens, "
      "reasoning_tokens, cached_tokens, cost, steps, tool_calls, tool_errors, malformed_calls, wall_ms, "
      "(SELECT named FROM tasks WHERE tasks.task_id = v_outcomes.task_id), fault_class FROM v_outcomes "
      "WHERE run_id = ?1 AND episode_id > ?2 ORDER BY episode_id LIMIT ?3",
      "read outcomes");
  const auto integer = [&](int column) { return static_cast<int>(query.integer(column)); };
  std::vector<Outcome> batch;
  std::int64_t after = 0;
  do {
    batch.clear();
    query.start(run_id, after, kEpisodesPerBatch);
    while (query.next()) {
      after = query.integer(0);
      batch.push_back({.episode_id = after,
                       .task_id = query.text(1),
                       .environment = query.text(2),
                       .named = query.text(19),
                       .level = integer(3),
                       .sample = integer(4),
                       .attempt = integer(5),
                       .stop = parse_stop_reason(query.text(6)),
                       .fault_class = query.text(20),
                       .value = query.integer(7) == 1 ? std::optional(query.real(8)) : std::nullopt,
                       .usage = {.prompt_tokens = query.integer(9),
                                 .completion_tokens = query.integer(10),
                                 .reasoning_tokens = query.integer(11),
                                 .cached_tokens = query.integer(12)},
                       .cost = query.real(13),
                       .steps = integer(14),
                       .tool_calls = integer(15),
                       .tool_errors = integer(16),
                       .malformed_calls = integer(17),
                       .wall_ms = query.integer(18)});
    }
    for (const Outcome& outcome : batch) visit(outcome);
  } while (static_cast<std::int64_t>(batch.size()) == kEpisodesPerBatch);
}

std::set<Store::Slot> Store::completed_slots(const std::string& run_id) const {
  Statement query =
      impl_->database.prepare("SELECT task_id, sample, stop FROM episodes WHERE run_id = ?", "read completed episodes");
  query.start(run_id);
  std::set<Slot> out;
  while (query.next()) {
    if (!is_infrastructure(parse_stop_reason(query.text(2)))) {
      out.insert({.task_id = query.text(0), .sample = static_cast<int>(query.integer(1))});
    }
  }
  return out;
}

int Store::next_attempt(const std::string& run_id, const std::string& task_id, int sample) const {
  Statement query = impl_->database.prepare(
      "SELECT coalesce(max(attempt) + 1, 0) FROM episodes WHERE run_id = ? AND task_id = ? AND sample = ?", "count attempts");
  query.start(run_id, task_id, sample);
  query.next();
  return static_cast<int>(query.integer(0));
}

void Store::update_score(std::int64_t episode_id, const Score& score) {
  Database& database = impl_->database;
  const std::string doing = fmt::format("replace the score of episode {}", episode_id);
  Transaction transaction(database, doing);
  Statement stop = database.prepare("SELECT stop FROM episodes WHERE episode_id = ?", doing);
  stop.start(episode_id);
  if (!stop.next()) fail(ErrorKind::Store, fmt::format("could not {}: there is no such episode in {}", doing, path()));
  require_scorable(parse_stop_reason(stop.text(0)), score);
  stop.reset();
  database.prepare("DELETE FROM score_components WHERE episode_id = ?", doing).run(episode_id);
  Statement replace = database.prepare(
      "INSERT INTO scores (episode_id, scored, value, unscored_reason, summary) VALUES (?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT (episode_id) DO UPDATE SET scored = ?2, value = ?3, unscored_reason = ?4, summary = ?5",
      doing);
  Statement component = database.prepare(
      "INSERT INTO score_components (episode_id, position, constraint_text, holds, explanation) VALUES (?, ?, ?, ?, ?)", doing);
  write_score(replace, component, episode_id, score);
  transaction.commit();
}

}  // namespace gauntlet

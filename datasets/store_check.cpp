// Store::check: what must be true of every store, looked at row by row.

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "datasets/store_state.h"

namespace gauntlet {
namespace {

/// Each query gives one text for each thing that is wrong.
struct Invariant {
  const char* sql;
  const char* problem;
};

constexpr std::array<Invariant, 12> kInvariants = {{
    {"SELECT e.episode_id FROM episodes e WHERE e.message_count != (SELECT count(*) FROM messages m WHERE m.episode_id = "
     "e.episode_id)",
     "episode {}: the number of messages is not the one recorded"},
    {"SELECT e.episode_id FROM episodes e WHERE e.message_count > 0 AND e.message_count != "
     "(SELECT max(position) + 1 FROM messages m WHERE m.episode_id = e.episode_id)",
     "episode {}: the positions of its messages have a gap"},
    {"SELECT e.episode_id FROM episodes e WHERE e.token_stream_count != "
     "(SELECT count(*) FROM token_streams s WHERE s.episode_id = e.episode_id)",
     "episode {}: the number of token streams is not the one recorded"},
    {"SELECT episode_id FROM token_streams WHERE length(prompt_rest) % 4 OR length(ids) % 4 OR length(logprobs) % 4 OR "
     "prompt_shared < 0",
     "episode {}: a token stream is not made of four-byte numbers"},
    {"SELECT episode_id FROM token_streams WHERE length(logprobs) NOT IN (0, length(ids))",
     "episode {}: a token stream has not one log-probability for each id"},
    {"SELECT episode_id FROM episodes WHERE episode_id NOT IN (SELECT episode_id FROM scores)",
     "episode {}: it has no score row"},
    {"SELECT episode_id FROM episodes JOIN scores USING (episode_id) WHERE scored = 1 AND stop IN "
     "('model_fault', 'environment_fault', 'time_limit', 'cancelled')",
     "episode {}: it ended in an infrastructure fault and yet is scored"},
    {"SELECT episode_id FROM messages WHERE tool_calls IS NOT NULL AND NOT json_valid(tool_calls)",
     "episode {}: the tool calls of a message are not JSON"},
    {"SELECT task_id FROM tasks WHERE NOT json_valid(problem) OR NOT json_valid(difficulty)",
     "task {}: its problem or difficulty is not JSON"},
    {"SELECT task_id FROM tasks WHERE task_id NOT IN (SELECT task_id FROM certificates)", "task {}: it has no certificate row"},
    {"SELECT task_id FROM certificates WHERE NOT json_valid(certificate)", "task {}: its certificate is not JSON"},
    {"SELECT run_id FROM runs WHERE NOT json_valid(config)", "run {}: its configuration is not JSON"},
}};

}  // namespace

std::vector<std::string> Store::check() const {
  const Database& database = impl_->database;
  std::vector<std::string> problems;
  const auto guarded = [&](const char* what, const auto& look) {
    // A damaged page ends one query; the others may still have something to say.
    try {
      look();
    } catch (const Error& error) {
      problems.push_back(fmt::format("{}: {}", what, error.what()));
    }
  };
  guarded("integrity_check", [&] {
    Statement query = database.prepare("PRAGMA integrity_check", "check the store");
    while (query.next()) {
      if (query.text(0) != "ok") problems.push_back("integrity_check: " + query.text(0));
    }
  });
  guarded("foreign_key_check", [&] {
    Statement query = database.prepare("PRAGMA foreign_key_check", "check the store");
    while (query.next()) {
      problems.push_back(fmt::format("foreign_key_check: row {} of {} refers to a missing row of {}", query.integer(1),
                                     query.text(0), query.text(2)));
    }
  });
  for (const Invariant& invariant : kInvariants) {
    guarded("check", [&] {
      Statement query = database.prepare(invariant.sql, "check the store");
      while (query.next()) problems.push_back(fmt::format(fmt::runtime(invariant.problem), query.text(0)));
    });
  }
  return problems;
}

}  // namespace gauntlet

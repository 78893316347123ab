#include <doctest/doctest.h>

#include "datasets/sample_store.h"
#include "datasets/sqlite.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

std::vector<StoredEpisode> all(const Store& store, const EpisodeFilter& filter) {
  std::vector<StoredEpisode> out;
  store.for_each_episode(filter, [&](const StoredEpisode& stored) { out.push_back(stored); });
  return out;
}

TEST_CASE("an episode comes back with every field as it was put") {
  const sample::TemporaryFolder folder;
  Episode put = sample::episode("r", "t1", 1, 2);
  put.messages[2].content = std::string("nul \0 and bad utf-8 \xFF", 22);
  put.messages[2].tool_calls[0].arguments = "{not json";
  put.tokens = {{.prompt_ids = {1, 2, 3}, .ids = {4, -5}, .logprobs = {-0.5F, -0.0F}},
                {.prompt_ids = {1, 2, 3, 4, -5, 6}, .ids = {7}, .logprobs = {}},
                {.prompt_ids = {9, 2}, .ids = {}, .logprobs = {}}};
  put.tool_errors = 1;
  put.malformed_calls = 2;
  {
    Store store = sample::store(folder.file("s.db"));
    sample::put(store, put);
  }
  const Store store(folder.file("s.db"), StoreMode::ReadOnly);
  const Episode got = store.find_episode(1).value().episode;
  CHECK(got.messages == put.messages);
  REQUIRE(got.tokens.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(got.tokens[i].prompt_ids == put.tokens[i].prompt_ids);
    CHECK(got.tokens[i].ids == put.tokens[i].ids);
    CHECK(got.tokens[i].logprobs == put.tokens[i].logprobs);
  }
  CHECK(to_json(got.score) == to_json(put.score));
  CHECK(got.usage == put.usage);
  CHECK(got.seed == 0xFFFFFFFFFFFFFFFFU);
  CHECK(got.answer == "[]");
  CHECK(got.stop == StopReason::Submitted);
  const auto numbers = [](const Episode& e) {
    return std::vector<std::int64_t>{e.sample,      e.attempt,         e.steps,   e.tool_calls,
                                     e.tool_errors, e.malformed_calls, e.wall_ms, e.started_unix_ms};
  };
  CHECK(numbers(got) == std::vector<std::int64_t>{1, 2, 2, 3, 1, 2, 12, 1'760'000'000'500});
  CHECK(got.cost == 0.25);
}

TEST_CASE("a prompt that continues the one before is stored as what is new in it") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  Episode put = sample::episode("r", "t1");
  put.tokens = {{.prompt_ids = {1, 2, 3}, .ids = {4, 5}, .logprobs = {}},
                {.prompt_ids = {1, 2, 3, 4, 5, 6}, .ids = {7}, .logprobs = {}}};
  sample::put(store, put);
  const Database database(folder.file("s.db"), DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  CHECK(database.query_text("SELECT group_concat(prompt_shared || ':' || hex(prompt_rest), ' ') FROM token_streams", "read") ==
        "0:010000000200000003000000 5:06000000");
}

TEST_CASE("the same run, task, sample and attempt is stored once, and a refused batch leaves nothing") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  sample::put(store, sample::episode("r", "t1"));
  const std::vector<Episode> batch = {sample::episode("r", "t2"), sample::episode("r", "t1")};
  CHECK(contains(error_of([&] { store.put_episodes(batch); }),
                 "could not store the episode (run r, task t1, sample 0, attempt 0): it is already in"));
  CHECK(all(store, {}).size() == 1);
  sample::put(store, sample::episode("r", "t2"));  // the connection is still good
  CHECK(all(store, {}).size() == 2);
}

TEST_CASE("an episode of an unknown run or task is refused") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  CHECK(contains(error_of([&] { sample::put(store, sample::episode("other", "t1")); }), "the run is not in"));
  CHECK(contains(error_of([&] { sample::put(store, sample::episode("r", "t77")); }), "the task is not in"));
}

TEST_CASE("an infrastructure fault is stored unscored with no value, and can never be given a score") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  sample::put(store, sample::faulty_episode("r", "t1"));
  Episode wrong = sample::faulty_episode("r", "t2");
  wrong.score = {.scored = true, .value = 0.0, .unscored_reason = "", .summary = "", .components = {}};
  CHECK(contains(error_of([&] { sample::put(store, wrong); }), "infrastructure faults are never scored"));
  CHECK(contains(error_of([&] { store.update_score(1, wrong.score); }), "infrastructure faults are never scored"));
  const Database database(folder.file("s.db"), DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  CHECK(database.query_integer("SELECT count(*) FROM scores WHERE scored = 0 AND value IS NULL", "read") == 1);
  CHECK(database.query_integer("SELECT count(*) FROM episodes", "read") == 1);
}

TEST_CASE("a resumed run does again what ended in a fault or was cancelled, and nothing else") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  sample::put(store, sample::episode("r", "t1", 0));
  sample::put(store, sample::faulty_episode("r", "t1", 1));
  Episode cancelled = sample::faulty_episode("r", "t2", 0);
  cancelled.stop = StopReason::Cancelled;
  sample::put(store, cancelled);
  sample::put(store, sample::failed_episode("r", "t2", 1));
  CHECK(store.completed_slots("r") == std::set<Store::Slot>{{"t1", 0}, {"t2", 1}});
  CHECK(store.next_attempt("r", "t1", 1) == 1);
  CHECK(store.next_attempt("r", "t3", 0) == 0);
  sample::put(store, sample::episode("r", "t1", 1, 1));
  CHECK(store.completed_slots("r") == std::set<Store::Slot>{{"t1", 0}, {"t1", 1}, {"t2", 1}});
}

TEST_CASE("only the latest attempt of a slot is read unless all are asked for") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  sample::put(store, sample::faulty_episode("r", "t1", 0, 0));
  sample::put(store, sample::episode("r", "t1", 0, 1));
  CHECK(all(store, {}).size() == 1);
  CHECK(all(store, {})[0].episode.attempt == 1);
  CHECK(all(store, {.run_id = "r", .task_id = "t1", .latest_attempt_only = false, .with_messages = false}).size() == 2);
  CHECK(all(store, {.run_id = "", .task_id = "t2", .latest_attempt_only = false, .with_messages = true}).empty());
  std::vector<int> attempts;
  store.for_each_outcome("r", [&](const Outcome& outcome) { attempts.push_back(outcome.attempt); });
  CHECK(attempts == std::vector<int>{1});
}

TEST_CASE("a visitor may write to the store that it walks over, across more than one batch") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  std::vector<Episode> episodes;
  for (int i = 0; i < 600; ++i) episodes.push_back(sample::episode("r", "t1", i));
  store.put_episodes(episodes);
  const Score worse = sample::failed_episode("r", "t1").score;
  int visited = 0;
  store.for_each_episode({.run_id = "r", .task_id = "", .latest_attempt_only = true, .with_messages = false},
                         [&](const StoredEpisode& stored) {
                           CHECK(stored.episode.messages.empty());
                           store.update_score(stored.episode_id, worse);
                           ++visited;
                         });
  CHECK(visited == 600);
  CHECK(to_json(store.find_episode(600)->episode.score) == to_json(worse));
}

TEST_CASE("the documented views answer the usual questions") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  Store store = sample::store(path);
  sample::put(store, sample::episode("r", "t1", 0));
  sample::put(store, sample::failed_episode("r", "t1", 1));
  sample::put(store, sample::faulty_episode("r", "t2", 0));
  const Database database(path, DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  const auto text = [&](const std::string& sql) { return database.query_text(sql, "query").value_or("no row"); };
  CHECK(text("SELECT episodes || ' ' || scored || ' ' || passed || ' ' || pass_rate FROM v_pass_rates WHERE level = 1") ==
        "2 2 1 0.5");
  CHECK(text("SELECT scored || ' ' || infrastructure_faults || ' ' || coalesce(pass_rate, 'none') FROM v_pass_rates WHERE "
             "level = 2") == "0 1 none");
  CHECK(text("SELECT requested || ' ' || episodes || ' ' || missing FROM v_runs") == "6 3 3");
  CHECK(text("SELECT task_id || ': ' || constraint_text || ': ' || explanation FROM v_failures") ==
        "t1: the hotel costs at most 800: 900 > 800");
  CHECK(text("SELECT tool_calls ->> '$[1].name' FROM v_transcripts WHERE task_id = 't1' AND sample = 0 AND position = 2") ==
        "get_weather");
  CHECK(text("SELECT solution_count || ' ' || minimal_tool_calls || ' ' || world_seed FROM v_tasks WHERE task_id = 't3'") ==
        "3 7 fedcba9876543210");
}

TEST_CASE("the stop reasons that SQL takes for infrastructure are those of the program") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  for (int i = 0; i <= static_cast<int>(StopReason::Cancelled); ++i) {
    Episode episode = sample::faulty_episode("r", "t1", i);
    episode.stop = static_cast<StopReason>(i);
    sample::put(store, episode);
  }
  const Database database(folder.file("s.db"), DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  Statement query = database.prepare("SELECT stop, infrastructure_fault OR cancelled FROM v_outcomes", "read");
  int seen = 0;
  for (; query.next(); ++seen) CHECK(is_infrastructure(parse_stop_reason(query.text(0))) == (query.integer(1) == 1));
  CHECK(seen == 12);
}

}  // namespace
}  // namespace gauntlet

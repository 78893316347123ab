#include "envs/work_budget.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "envs/session.h"

namespace gauntlet {

namespace {

/// A session whose tool "list_rooms" runs one SELECT with the text argument :t, or whose "book_room" runs one write.
struct Fixture {
  std::shared_ptr<const EnvSpec> spec;
  std::shared_ptr<EnvRuntime> runtime;

  explicit Fixture(const std::string& select, const std::vector<std::string>& writes = {}) {
    Json document = load_builtin_domain("bookings").source;
    Json& tool = document["tools"][0];
    tool["parameters"] = {{"type", "object"}, {"properties", {{"t", {{"type", "string"}}}}}};
    tool["statements"] = {select};
    tool["result"] = {{"shape", "list"}, {"columns", {"x"}}};
    tool.erase("reveals");
    if (!writes.empty()) {
      Json& write = document["tools"][4];
      write["parameters"] = tool["parameters"];
      write.erase("checks");
      write["statements"] = writes;
      write["reads"] = {{"room", {"name", "beds", "price"}}, {"booking", {"room", "guest", "nights"}}};
      write["writes"] = {{"booking", {{"insert", true}, {"delete", true}, {"update", {"guest", "nights"}}}}};
    }
    spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
    runtime = std::make_shared<EnvRuntime>(spec);
  }
  Session session() const { return {runtime, build_world(*spec, {.seed = 1, .parameters = {{"rooms", 50}}})}; }
};

std::string code_of(const ToolOutcome& outcome) {
  return outcome.is_error ? parse_json(outcome.content, "result")["error"]["code"].get<std::string>() : "none";
}

std::string text_argument(std::size_t bytes, const std::string& pattern = "a") {
  std::string text;
  while (text.size() < bytes) text += pattern;
  return dump_json({{"t", text.substr(0, bytes)}});
}

constexpr const char* kJoin = " FROM room a, room b, room c, room d, room e ORDER BY 1";

}  // namespace

// The slowest found here: 0.6 s, for printf with wide fields, and 0.4 s for numbers of 63,000 digits, on one core of a busy
// virtual machine with 2 cores; most take 0.1 s.
TEST_CASE("whatever a statement does, one call is refused after about a second of work") {
  const std::vector<std::pair<std::string, std::string>> worst = {
      {"concatenation", "SELECT count(upper(:t || a.name || b.name || c.beds)) AS x"},
      {"upper", "SELECT max(upper(:t || a.beds || b.beds || c.beds || d.beds)) AS x"},
      {"like", "SELECT count(*) AS x FROM room a, room b, room c, room d WHERE :t || a.name LIKE '%aaaaaaaaaaaaaaaaaaaaaaaaab%' OR b.beds = c.beds + d.beds + 9"},
      {"instr", "SELECT sum(instr(:t || a.beds, substr(:t, length(:t) / 2) || 'b')) AS x"},
      {"replace", "SELECT max(replace(:t || a.beds, 'aa', b.name)) AS x"},
      {"numbers", "SELECT sum(:t || a.beds || b.beds) + sum(CAST(:t || c.beds AS INTEGER)) AS x"},
      {"json", "SELECT count(json_extract('[' || :t || a.beds || ']', '$[400]')) AS x"},
      {"printf", "SELECT count(printf('%*s%.900f', 900, a.beds, b.price)) AS x"},
      {"dates", "SELECT count(date('2025-10-01', '+' || a.beds || ' months', 'start of year', 'weekday 1')) AS x"},
      {"group_concat", "SELECT length(group_concat(a.name)) AS x"},
      {"distinct", "SELECT count(DISTINCT :t || a.name || b.name || c.name || d.name) AS x"},
      {"sort", "SELECT length(:t || a.name || b.name || c.name || d.name) AS x"},
      {"max of many", "SELECT max(max(:t || a.beds, :t || b.beds, :t || c.beds, :t || d.beds, :t || e.beds)) AS x"},
      {"counting", "SELECT sum((SELECT count(*) FROM room WHERE name <> a.name || b.name)) AS x"}};
  for (const auto& [name, select] : worst) {
    CAPTURE(name);
    const bool whole = select.find(" FROM room a") != std::string::npos;
    const Fixture fixture(select + (whole ? " ORDER BY 1" : kJoin));
    for (const std::size_t bytes : {900U, 30'000U, 63'000U}) {
      for (const char* pattern : {"a", "1", "1,"}) {
        Session session = fixture.session();
        session.call("get_balance", R"({"guest": "nobody"})");  // The world is loaded.
        const auto start = std::chrono::steady_clock::now();
        const std::string code = code_of(session.call("list_rooms", text_argument(bytes, pattern)));
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        // A pattern whose first letter is nowhere costs little.
        const bool refused = code == "too_expensive" || code == "result_too_large" || code == "failed" || name == "like";
        CHECK(refused);
        CHECK(code_of(session.call("list_rooms", text_argument(bytes, pattern))) == code);
        CHECK(seconds < 9.0);  // The clock's own bound is a fault; this machine may be busy.
      }
    }
  }
}

TEST_CASE("long texts are handled, with fewer steps") {
  const Fixture fixture("SELECT length(:t || name || name || name) AS x FROM room ORDER BY rowid LIMIT 1");
  Session session = fixture.session();
  CHECK(code_of(session.call("list_rooms", text_argument(900))) == "none");
  CHECK(code_of(session.call("list_rooms", text_argument(60'000))) == "none");
  CHECK(code_of(session.call("list_rooms", text_argument(63'985))) == "result_too_large");
  CHECK(code_of(session.call("list_rooms", text_argument(64'000))) == "malformed_arguments");
}

TEST_CASE("a write that runs out of its budget changes nothing, for the session and its forks") {
  const Fixture fixture("SELECT name AS x FROM room ORDER BY rowid",
                        {"INSERT INTO booking (room, nights) SELECT a.name, 1 FROM room a WHERE a.name = :t",
                         "UPDATE booking SET nights = (SELECT count(*) FROM room a, room b, room c, room d) WHERE :t = ''"});
  Session session = fixture.session();
  const std::string fresh = session.state_fingerprint();
  const Json names = parse_json(session.call("list_rooms", "{}").content, "result");
  CHECK(code_of(session.call("cancel_booking", dump_json({{"t", names[0]}}))) == "none");
  const std::string booked = session.state_fingerprint();
  CHECK(booked != fresh);
  CHECK(code_of(session.call("cancel_booking", R"({"t": ""})")) == "too_expensive");
  Session fork = session.fork();
  CHECK(session.state_fingerprint() == booked);
  CHECK(code_of(session.call("cancel_booking", R"({"t": ""})")) == "too_expensive");
  CHECK(code_of(fork.call("cancel_booking", dump_json({{"t", names[1]}}))) == "none");
  CHECK(session.state_fingerprint() == booked);
  CHECK(fork.state_fingerprint() != booked);
}

TEST_CASE("a tool cannot fill the memory: its world growing too much is a fault, and the session stays as it was") {
  const Fixture fixture("SELECT 1 AS x ORDER BY 1",
                        {"INSERT INTO booking (room, nights) SELECT :t || a.name, 1 FROM room a, room b, room c"});
  Session session = fixture.session();
  const std::string fresh = session.state_fingerprint();
  CHECK_THROWS_WITH_AS(session.call("cancel_booking", text_argument(900)), doctest::Contains("full"), Error);
  CHECK(session.state_fingerprint() == fresh);
}

TEST_CASE("a call stops in the middle when it is cancelled; that is a fault, never a result") {
  const Fixture fixture(std::string("SELECT count(*) AS x") + kJoin);
  Session session = fixture.session();
  CancelFlag cancel{false};
  session.stop_when(cancel);
  CHECK(code_of(session.call("list_rooms", "{}")) == "too_expensive");
  cancel = true;
  CHECK_THROWS_WITH_AS(session.call("list_rooms", "{}"), doctest::Contains("cancelled"), Error);
  CHECK(session.is_stopped());
  CHECK(session.fork().is_stopped());
  cancel = false;
  CHECK(code_of(session.call("list_rooms", "{}")) == "too_expensive");
}

TEST_CASE("the clock stops what the budget would allow") {
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(":memory:", &raw) == SQLITE_OK);
  WorkBudget budget;
  budget.attach(raw);
  budget.set_time_limit(std::chrono::milliseconds(-1));
  budget.start(kWorkTiers.front());
  CHECK(sqlite3_exec(raw, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 10000) SELECT sum(x) FROM c", nullptr,
                     nullptr, nullptr) == SQLITE_INTERRUPT);
  CHECK(budget.stopped() == WorkStop::Late);
  sqlite3_close(raw);
}

}  // namespace gauntlet

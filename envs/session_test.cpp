#include "envs/session.h"

#include <doctest/doctest.h>

#include <thread>

#include "core/rng.h"

namespace gauntlet {

namespace {

struct Fixture {
  std::shared_ptr<const EnvSpec> spec;
  std::shared_ptr<EnvRuntime> runtime;
  std::shared_ptr<const World> world;

  explicit Fixture(const char* domain, std::uint64_t seed = 1) {
    spec = std::make_shared<const EnvSpec>(load_builtin_domain(domain));
    runtime = std::make_shared<EnvRuntime>(spec);
    world = build_world(*spec, {.seed = seed});
  }

  Session session() const { return {runtime, world}; }
  const WorldTable& table(const char* name) const { return world->tables[static_cast<std::size_t>(world->find_table(name))]; }
  Json cell(const char* name, std::size_t row, const char* column) const {
    const WorldColumn& found = table(name).columns[static_cast<std::size_t>(table(name).find_column(column))];
    return cell_to_json(*world, found, found.cells[row]);
  }
};

std::string call(Session& session, const char* tool, const Json& arguments) {
  return session.call(tool, dump_json(arguments)).content;
}

std::string error_code(Session& session, const char* tool, const std::string& arguments) {
  const ToolOutcome outcome = session.call(tool, arguments);
  const Json result = parse_json(outcome.content, "result");
  CHECK(outcome.is_error == (result.is_object() && result.contains("error")));
  return outcome.is_error ? result["error"]["code"].get<std::string>() : "none";
}

std::string error_message(Session& session, const char* tool, const std::string& arguments) {
  return parse_json(session.call(tool, arguments).content, "result")["error"]["message"].get<std::string>();
}

/// A world of the bookings environment in which a booking can be paid.
struct Bookings : Fixture {
  std::string room, other, guest;
  Bookings() : Fixture("bookings") {
    world =
        build_world(*spec, {.seed = 1,
                            .parameters = Json::object(),
                            .edits = {{{"table", "room"}, {"key", key("room", 0)}, {"column", "price"}, {"value", 50}},
                                      {{"table", "guest"}, {"key", key("guest", 0)}, {"column", "balance"}, {"value", 220}}}});
    room = key("room", 0);
    other = key("room", 1);
    guest = key("guest", 0);
  }
  std::string key(const char* name, std::size_t row) const { return cell(name, row, "name").get<std::string>(); }
  std::string booking(int nights) const { return dump_json({{"room", room}, {"guest", guest}, {"nights", nights}}); }
};

}  // namespace

TEST_CASE("list tools give names only, in the world's order") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  Json cities = Json::array();
  for (std::size_t i = 0; i < trip.table("city").rows; ++i) cities.push_back(trip.cell("city", i, "name"));
  CHECK(call(session, "get_all_cities", Json::object()) == dump_json(cities));
  for (const auto& [tool, entity] : {std::pair{"get_all_hotels_by_city", "hotel"},
                                     {"get_all_restaurants_by_city", "restaurant"},
                                     {"get_all_attractions_by_city", "attraction"}}) {
    Json names = Json::array();
    for (std::size_t i = 0; i < trip.table(entity).rows; ++i) {
      if (trip.cell(entity, i, "city") == cities[0]) names.push_back(trip.cell(entity, i, "name"));
    }
    CHECK(names.size() >= 4);
    CHECK(call(session, tool, {{"city", cities[0]}}) == dump_json(names));
  }
}

TEST_CASE("look-ups by venue give its city") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  for (const char* entity : {"hotel", "restaurant", "attraction"}) {
    CHECK(call(session, (std::string("get_city_by_") + entity).c_str(), {{entity, trip.cell(entity, 3, "name")}}) ==
          dump_json(trip.cell(entity, 3, "city")));
  }
}

TEST_CASE("info tools give the requested keywords only, in the order asked for") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  for (const char* entity : {"hotel", "restaurant", "attraction"}) {
    const std::string tool = std::string("get_infos_by_") + entity;
    Json expected = Json::object();
    expected["rating"] = trip.cell(entity, 2, "rating");
    expected["price"] = trip.cell(entity, 2, "price");
    CHECK(call(session, tool.c_str(), {{"info_keywords", {"rating", "price"}}, {entity, trip.cell(entity, 2, "name")}}) ==
          dump_json(expected));
    CHECK(call(session, tool.c_str(), {{"info_keywords", "price"}, {entity, trip.cell(entity, 2, "name")}}) ==
          dump_json({{"price", expected["price"]}}));
    CHECK(
        error_message(session, tool.c_str(), dump_json({{"info_keywords", {"prize"}}, {entity, trip.cell(entity, 2, "name")}}))
            .rfind("unknown keyword \"prize\"; accepted: name, city, ", 0) == 0);
  }
  CHECK(call(session, "get_infos_by_city", {{"info_keywords", {"best_season"}}, {"city", trip.cell("city", 0, "name")}}) ==
        dump_json({{"best_season", trip.cell("city", 0, "best_season")}}));
}

TEST_CASE("transport and weather") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  const Json weather = {{"condition", trip.cell("weather", 1, "condition")},
                        {"high_c", trip.cell("weather", 1, "high_c")},
                        {"low_c", trip.cell("weather", 1, "low_c")}};
  CHECK(call(session, "get_weather_by_city_date",
             {{"city", trip.cell("weather", 1, "city")}, {"date", trip.cell("weather", 1, "date")}}) == dump_json(weather));
  Json rows = Json::array();
  for (std::size_t i = 0; i < trip.table("inter_city_transport").rows; ++i) {
    if (trip.cell("inter_city_transport", i, "from_city") != trip.cell("inter_city_transport", 0, "from_city")) continue;
    if (trip.cell("inter_city_transport", i, "to_city") != trip.cell("inter_city_transport", 0, "to_city")) continue;
    rows.push_back({{"mode", trip.cell("inter_city_transport", i, "mode")},
                    {"price", trip.cell("inter_city_transport", i, "price")},
                    {"duration_minutes", trip.cell("inter_city_transport", i, "duration_minutes")}});
  }
  CHECK(call(session, "get_inter_city_transport",
             {{"from_city", trip.cell("inter_city_transport", 0, "from_city")},
              {"to_city", trip.cell("inter_city_transport", 0, "to_city")}}) == dump_json(rows));
  CHECK(parse_json(call(session, "get_city_transport", {{"city", trip.cell("city", 0, "name")}}), "result").is_array());
}

TEST_CASE("refusals are typed data") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  const std::string city = trip.cell("city", 0, "name").get<std::string>();
  CHECK(error_message(session, "get_all_hotels_by_city", R"({"city": "Atlantis"})") ==
        "There is no city named \"Atlantis\" in the database.");
  CHECK(error_code(session, "get_all_hotels_by_city", R"({"city": "Atlantis"})") == "unknown_city");
  CHECK(error_code(session, "get_inter_city_transport", dump_json({{"from_city", city}, {"to_city", "Atlantis"}})) ==
        "unknown_city");
  CHECK(error_code(session, "get_city_by_hotel", R"({"hotel": "x"})") == "unknown_hotel");
  CHECK(error_code(session, "get_city_by_restaurant", R"({"restaurant": "x"})") == "unknown_restaurant");
  CHECK(error_code(session, "get_city_by_attraction", R"({"attraction": "x"})") == "unknown_attraction");
  CHECK(error_code(session, "get_infos_by_hotel", R"({"hotel": "x", "info_keywords": ["nothing"]})") == "unknown_keyword");
  CHECK(error_code(session, "get_weather_by_city_date", dump_json({{"city", city}, {"date", "2031-01-01"}})) == "no_forecast");
  CHECK(error_code(session, "get_weather_by_city_date", dump_json({{"city", city}, {"date", "Oct 1"}})) == "invalid_arguments");
  CHECK(error_code(session, "get_all_hotels_by_city", "{}") == "invalid_arguments");
  CHECK(error_code(session, "get_all_hotels_by_city", "{\"city\":") == "malformed_arguments");
  CHECK(error_code(session, "submit_result", "nonsense") == "malformed_arguments");
  CHECK(error_code(session, "submit_result", "{}") == "invalid_arguments");
  CHECK(error_message(session, "get_hotels", "{}")
            .rfind("there is no tool named \"get_hotels\"; the tools are: get_all_cities, ", 0) == 0);
  CHECK_FALSE(session.answer().has_value());
}

TEST_CASE("an answer is kept as text; JSON in place of text means the same; the last one counts") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  ToolOutcome outcome = session.call("submit_result", R"({"answer_text": "[1]"})");
  CHECK(outcome.ends_episode);
  CHECK(outcome.content == R"({"submitted":true})");
  CHECK(*session.answer() == "[1]");
  session.call("submit_result", R"({"answer_text": [{"city": "Hangzhou"}]})");
  CHECK(*session.answer() == R"([{"city":"Hangzhou"}])");
}

TEST_CASE("a write changes the state when its preconditions hold, and gives its result") {
  const Bookings bookings;
  Session session = bookings.session();
  CHECK(session.call("book_room", bookings.booking(2)).content == R"({"balance":120})");
  CHECK(call(session, "get_balance", {{"guest", bookings.guest}}) == "120");
  CHECK(call(session, "list_bookings", Json::object()) ==
        dump_json(Json::array({{{"room", bookings.room}, {"guest", bookings.guest}, {"nights", 2}}})));
  CHECK(session.call("cancel_booking", dump_json({{"room", bookings.room}})).content == R"({"ok":true})");
  CHECK(call(session, "list_bookings", Json::object()) == "[]");
}

TEST_CASE("a failed precondition changes nothing") {
  const Bookings bookings;
  Session session = bookings.session();
  const std::string fresh = session.state_fingerprint();
  CHECK(error_code(session, "book_room", bookings.booking(5)) == "insufficient_balance");
  CHECK(error_message(session, "book_room", bookings.booking(5)) == "The balance of " + bookings.guest + " is too low.");
  CHECK(error_code(session, "book_room", bookings.booking(15)) == "invalid_arguments");
  CHECK(error_code(session, "cancel_booking", dump_json({{"room", bookings.room}})) == "no_such_booking");
  CHECK(session.state_fingerprint() == fresh);
  session.call("book_room", bookings.booking(1));
  CHECK(error_code(session, "book_room", bookings.booking(1)) == "room_taken");
}

TEST_CASE("a write whose later statement fails is undone as a whole") {
  Json document = load_builtin_domain("bookings").source;
  document["tools"][3]["statements"] = {"INSERT INTO booking (room, guest, nights) VALUES (:room, :guest, :nights)",
                                        "UPDATE guest SET name = :room || '' WHERE 1 = 1",
                                        "SELECT balance FROM guest WHERE name = :guest"};
  document["tools"][3]["writes"]["guest"]["update"] = {"name"};
  const auto spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  const auto world = build_world(*spec, {.seed = 1, .parameters = Json::object(), .edits = Json::array()});
  Session session(std::make_shared<EnvRuntime>(spec), world);
  const std::string fresh = session.state_fingerprint();
  const auto name = [&](int table) {
    return cell_to_json(*world, world->tables[static_cast<std::size_t>(table)].columns[0],
                        world->tables[static_cast<std::size_t>(table)].columns[0].cells[0]);
  };
  CHECK(error_code(session, "book_room", dump_json({{"room", name(0)}, {"guest", name(1)}, {"nights", 1}})) ==
        "constraint_failed");
  CHECK(session.state_fingerprint() == fresh);
}

TEST_CASE("forks share the past and not the future, in any order of calls") {
  const Bookings bookings;
  Session first = bookings.session();
  const std::string fresh = first.state_fingerprint();
  first.call("book_room", bookings.booking(1));
  Session second = first.fork();
  const std::string shared = first.state_fingerprint();
  CHECK(second.state_fingerprint() == shared);
  first.call("cancel_booking", dump_json({{"room", bookings.room}}));
  CHECK(call(second, "list_bookings", Json::object()) != "[]");
  CHECK(call(first, "list_bookings", Json::object()) == "[]");
  CHECK(second.state_fingerprint() == shared);
  second.call("cancel_booking", dump_json({{"room", bookings.room}}));
  CHECK(first.state_fingerprint() == second.state_fingerprint());
  CHECK(bookings.session().state_fingerprint() == fresh);
  CHECK(fresh != shared);
}

TEST_CASE("sessions of one runtime on several threads do not disturb each other") {
  const Bookings bookings;
  Session reference = bookings.session();
  reference.call("book_room", bookings.booking(1));
  const std::string expected = reference.state_fingerprint();
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (auto& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        Session session = bookings.session();
        session.call("book_room", bookings.booking(1));
        if (session.state_fingerprint() != expected) ++count;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("a runtime serves many worlds at once") {
  const Fixture trip("trip_planning");
  std::vector<Session> sessions;
  std::vector<std::string> cities;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    sessions.emplace_back(trip.runtime, build_world(*trip.spec, {.seed = seed}));
    cities.push_back(sessions.back().call("get_all_cities", "").content);
  }
  for (std::size_t i = 0; i < sessions.size(); ++i) CHECK(sessions[i].call("get_all_cities", "{}").content == cities[i]);
  CHECK(cities[0] != cities[1]);
}

TEST_CASE("a statement that needs too much work and a result that is too large are refused as data") {
  Json document = load_builtin_domain("bookings").source;
  document["tools"][0]["statements"] = {
      "SELECT a.name, a.beds, a.price FROM room a, room b, room c, room d WHERE a.beds > 99 OR d.price >= 0 ORDER BY a.rowid"};
  document["tools"][2]["statements"] = {
      "SELECT max(a.price) AS room, 1, 1 FROM room a, room b, room c, room d, room e, room f ORDER BY 1"};
  document["tools"][2]["reads"] = {{"room", {"price"}}};
  const auto spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  Session session(std::make_shared<EnvRuntime>(spec), build_world(*spec, {.seed = 1, .parameters = {{"rooms", 40}}}));
  CHECK(error_code(session, "list_rooms", "{}") == "result_too_large");
  CHECK(error_code(session, "list_bookings", "{}") == "too_expensive");
  CHECK(error_code(session, "get_balance", R"({"guest": "nobody"})") == "unknown_guest");
}

TEST_CASE("booleans are shown as true and false") {
  Json document = load_builtin_domain("bookings").source;
  document["entities"][0]["columns"].push_back(
      {{"name", "quiet"}, {"type", "boolean"}, {"generator", {{"kind", "boolean"}, {"per_million", 1'000'000}}}});
  document["tools"][0]["statements"] = {"SELECT quiet AS calm FROM room ORDER BY rowid LIMIT 2"};
  document["tools"][0]["result"] = {{"shape", "list"}, {"columns", {"calm"}}};
  document["tools"][0]["reads"] = {{"room", {"quiet"}}};
  document["tools"][0].erase("reveals");
  const auto spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  Session session(std::make_shared<EnvRuntime>(spec), build_world(*spec, {.seed = 1}));
  CHECK(session.call("list_rooms", "{}").content == "[true,true]");
}

TEST_CASE("10,000 mutated calls are each answered with JSON, and a read-only world stays as it is") {
  const Fixture trip("trip_planning");
  Session session = trip.session();
  const std::string fresh = session.state_fingerprint();
  const std::vector<std::string> seeds = {R"({"city": "Hangzhou"})",
                                          R"({"info_keywords": ["price", "rating"], "hotel": "Jinghu Pu Hotel"})",
                                          R"({"from_city": "Xi'an", "to_city": "杭州"})",
                                          R"({"city": "Hangzhou", "date": "2025-10-01"})",
                                          R"({"answer_text": "[{\"day\": 1}]"})",
                                          "{}"};
  Rng rng(11);
  int errors = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string arguments = rng.pick(seeds);
    for (std::uint64_t edits = rng.below(6); edits > 0; --edits) {
      const auto at = static_cast<std::size_t>(rng.below(arguments.size() + 1));
      switch (rng.below(4)) {
        case 0:
          arguments.insert(at, 1, static_cast<char>(rng.below(256)));
          break;
        case 1:
          arguments = arguments.substr(0, at);
          break;
        case 2:
          arguments.insert(at, arguments.substr(at / 2));
          break;
        default:
          if (at < arguments.size()) arguments[at] = static_cast<char>(rng.below(256));
      }
    }
    const ToolOutcome outcome = session.call(rng.pick(trip.spec->tools).spec.name, arguments);
    const Json result = parse_json(outcome.content, "result");
    CHECK(outcome.is_error == (result.is_object() && result.contains("error")));
    errors += outcome.is_error ? 1 : 0;
  }
  CHECK(errors > 5'000);
  CHECK(errors < 10'000);
  CHECK(session.state_fingerprint() == fresh);
}

}  // namespace gauntlet

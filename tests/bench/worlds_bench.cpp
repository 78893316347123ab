#include <fmt/format.h>

#include "core/error.h"
#include "envs/session.h"
#include "tests/bench/figure.h"

namespace gauntlet::bench {
namespace {

constexpr std::size_t kWorlds = 128;  // More than the connections that a runtime keeps, so none still holds the world by luck.
constexpr std::size_t kWrites = 5;

std::size_t count_rows(const World& world) {
  std::size_t rows = 0;
  for (const auto& table : world.tables) rows += table.rows;
  return rows;
}

void must_work(const ToolOutcome& outcome) { require(!outcome.is_error, ErrorKind::Internal, "a tool call of the benchmark failed: " + outcome.content); }

std::vector<Figure> fresh_worlds(const Settings& settings) {
  const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  const auto runtime = std::make_shared<EnvRuntime>(spec);
  std::vector<std::shared_ptr<const World>> worlds;
  const auto key_of = [&](std::uint64_t seed) { return WorldKey{.seed = seed, .parameters = {{"cities", 8}}, .edits = Json::array()}; };
  for (std::size_t i = 0; i < kWorlds; ++i) worlds.push_back(build_world(*spec, key_of(settings.seed * 1000 + i)));
  const auto begin = [&](const std::shared_ptr<const World>& world) {
    Session session(runtime, world);
    must_work(session.call("get_all_cities", "{}"));
  };
  const int rounds = settings.quick ? 1 : 40;
  const std::string rows = fmt::format("{} rows; the first tool call is in it", count_rows(*worlds[0]));
  Figure fresh{.name = "worlds.fresh", .title = "a fresh world for an episode, another world each time", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .target = 20};
  fresh.note = fmt::format("{} worlds in turn, {}", kWorlds, rows);
  fresh.samples = repeat(settings.repeats, [&] {
    for (int round = 0; round < rounds; ++round) {
      for (const auto& world : worlds) begin(world);
    }
    return static_cast<double>(rounds) * kWorlds;
  });
  Figure again{.name = "worlds.fresh_again", .title = "a fresh world for a further episode of the same task", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .target = 20};
  again.samples = repeat(settings.repeats, [&] {
    for (std::size_t i = 0; i < static_cast<std::size_t>(rounds) * kWorlds; ++i) begin(worlds[0]);
    return static_cast<double>(rounds) * kWorlds;
  });
  std::uint64_t seed = 1'000'000;
  Figure first{.name = "worlds.first", .title = "a world from its seed to the first tool call, never built before", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower};
  first.samples = repeat(settings.repeats, [&] {
    const int worlds_made = settings.quick ? 2 : 500;
    for (int i = 0; i < worlds_made; ++i) begin(build_world(*spec, key_of(++seed)));
    return static_cast<double>(worlds_made);
  });
  Figure built{.name = "worlds.build", .title = "of that, the rows from the seed", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower};
  built.samples = repeat(settings.repeats, [&] {
    const int worlds_made = settings.quick ? 2 : 500;
    for (int i = 0; i < worlds_made; ++i) build_world(*spec, key_of(++seed));
    return static_cast<double>(worlds_made);
  });
  return {fresh, again, first, built};
}

/// Forks of the bookings environment after some writes, each going its own way.
std::vector<Figure> forks(const Settings& settings) {
  const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("bookings"));
  const auto runtime = std::make_shared<EnvRuntime>(spec);
  const auto world = build_world(*spec, {.seed = settings.seed, .parameters = {{"rooms", 40}, {"guests", 20}}, .edits = Json::array()});
  const auto name = [&](const char* table, std::size_t row) {
    const WorldTable& data = world->tables[static_cast<std::size_t>(world->find_table(table))];
    return world->symbols.text(static_cast<std::int32_t>(data.columns[static_cast<std::size_t>(data.key_column)].cells[row]));
  };
  std::vector<std::string> bookings;
  for (std::size_t i = 0; i < 20; ++i) bookings.push_back(dump_json(Json{{"room", name("room", i)}, {"guest", name("guest", i)}, {"nights", 1}}));
  // The first bookings that do not fail; the last is the fork's own.
  Session base(runtime, world);
  std::vector<std::string> good;
  for (std::size_t i = 0; good.size() < kWrites + 1; ++i) {
    Session trial = base.fork();
    if (trial.call("book_room", bookings.at(i)).is_error) continue;
    good.push_back(bookings[i]);
    if (good.size() <= kWrites) base = std::move(trial);
  }
  const std::string own = good.back();
  const std::string balance = dump_json(Json{{"guest", name("guest", 0)}});
  const int rounds = settings.quick ? 2 : 5000;
  Figure fork{.name = "worlds.fork", .title = "a fork in mid-episode, its first read included", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .target = 20};
  fork.note = fmt::format("bookings, after {} writes", kWrites);
  fork.samples = repeat(settings.repeats, [&] {
    for (int i = 0; i < rounds; ++i) must_work(base.fork().call("get_balance", balance));
    return static_cast<double>(rounds);
  });
  Figure parted{.name = "worlds.fork_writes", .title = "a fork, a write of its own, and a read of the original (which leaves the fork's state)", .unit = "us", .quantity = Quantity::Microseconds,
                .better = Better::Lower};
  parted.samples = repeat(settings.repeats, [&] {
    for (int i = 0; i < rounds; ++i) {
      must_work(base.fork().call("book_room", own));
      must_work(base.call("get_balance", balance));
    }
    return static_cast<double>(rounds);
  });
  Figure write{.name = "worlds.write", .title = "one write call (four preconditions, an insert, an update) in a session of many", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower};
  write.samples = repeat(settings.repeats, [&] {
    const int sessions = settings.quick ? 1 : 1000;
    for (int i = 0; i < sessions; ++i) {
      Session session(runtime, world);
      for (const auto& booking : good) must_work(session.call("book_room", booking));
    }
    return static_cast<double>(sessions) * static_cast<double>(good.size());
  });
  const double each = write.median(settings.clock);
  parted.target = 20 + static_cast<double>(kWrites + 1) * each;
  parted.note = fmt::format("target: 20 us and {} writes of {:.1f} us (its own and those before the fork)", kWrites + 1, each);
  return {fork, parted, write};
}

}  // namespace

std::vector<Figure> bench_worlds(const Settings& settings) {
  std::vector<Figure> figures = fresh_worlds(settings);
  for (auto& figure : forks(settings)) figures.push_back(std::move(figure));
  return figures;
}

}  // namespace gauntlet::bench

#include "envs/world_images.h"

#include <doctest/doctest.h>

#include "envs/env_spec.h"
#include "envs/session.h"

namespace gauntlet {
namespace {

std::shared_ptr<const World> bookings_world(const EnvSpec& spec, std::uint64_t seed) {
  return build_world(spec, {.seed = seed, .parameters = Json::object(), .edits = Json::array()});
}

}  // namespace

TEST_CASE("an image is found again as long as its world is held, and only for that world") {
  const EnvSpec spec = load_builtin_domain("bookings");
  WorldImages images;
  auto world = bookings_world(spec, 1);
  const auto other = bookings_world(spec, 2);
  CHECK(images.find(world) == nullptr);
  const auto image = std::make_shared<const PageImage>("pages");
  images.put(world, image);
  CHECK(images.find(world) == image);
  CHECK(images.find(other) == nullptr);
}

TEST_CASE("images of worlds that are gone are given up as new ones come") {
  const EnvSpec spec = load_builtin_domain("bookings");
  WorldImages images;
  const auto image = std::make_shared<const PageImage>("pages");
  for (std::uint64_t seed = 0; seed < 300; ++seed) images.put(bookings_world(spec, seed), image);
  CHECK(image.use_count() < 130);
}

TEST_CASE("episodes in many worlds, in turn and with writes, see their own world") {
  const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("bookings"));
  const auto runtime = std::make_shared<EnvRuntime>(spec);
  std::vector<Session> sessions;
  std::vector<std::string> fresh;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto world = bookings_world(*spec, seed);
    sessions.emplace_back(runtime, world);
    // Another runtime has a connection of its own, which has shown no other world.
    fresh.push_back(Session(std::make_shared<EnvRuntime>(spec), world).state_fingerprint());
  }
  const auto name = [](const World& world, const char* table) {
    const WorldTable& data = world.tables[static_cast<std::size_t>(world.find_table(table))];
    return world.symbols.text(static_cast<std::int32_t>(data.columns[static_cast<std::size_t>(data.key_column)].cells[0]));
  };
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < sessions.size(); ++i) CHECK(sessions[i].state_fingerprint() == fresh[i]);
  }
  std::size_t booked = 0;
  for (auto& session : sessions) {
    const Json arguments = {{"room", name(session.world(), "room")}, {"guest", name(session.world(), "guest")}, {"nights", 1}};
    booked += session.call("book_room", dump_json(arguments)).is_error ? 0 : 1;
  }
  CHECK(booked > 10);
  std::size_t changed = 0;
  for (std::size_t i = 0; i < sessions.size(); ++i) changed += sessions[i].state_fingerprint() != fresh[i] ? 1 : 0;
  CHECK(changed == booked);
  for (std::size_t i = 0; i < sessions.size(); ++i) CHECK(Session(runtime, bookings_world(*spec, i)).state_fingerprint() == fresh[i]);
}

}  // namespace gauntlet

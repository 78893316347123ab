#pragma once

// The database images of worlds that are in use, shared by all connections of an environment.

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "envs/page_file.h"
#include "envs/world.h"

namespace gauntlet {

/// Safe from many threads.
class WorldImages {
 public:
  /// Nothing if no connection has made one yet.
  std::shared_ptr<const PageImage> find(const std::shared_ptr<const World>& world);
  /// Kept as long as somebody else holds the world.
  void put(const std::shared_ptr<const World>& world, std::shared_ptr<const PageImage> image);

  /// A number that no image of this environment has, as PageFile::copy() needs it.
  std::uint32_t next_stamp() { return next_stamp_.fetch_add(2); }

 private:
  struct Entry {
    std::weak_ptr<const World> world;
    std::shared_ptr<const PageImage> image;
  };
  std::mutex mutex_;
  std::unordered_map<const World*, Entry> entries_;
  std::size_t sweep_at_ = 64;  ///< so many entries start a search for those whose world is gone
  std::atomic<std::uint32_t> next_stamp_{0x10000};
};

}  // namespace gauntlet

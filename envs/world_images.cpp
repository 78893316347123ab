#include "envs/world_images.h"

#include <algorithm>

namespace gauntlet {

std::shared_ptr<const PageImage> WorldImages::find(const std::shared_ptr<const World>& world) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(world.get());
  // An address may have been used again for another world; then the old one has expired.
  return it == entries_.end() || it->second.world.expired() ? nullptr : it->second.image;
}

void WorldImages::put(const std::shared_ptr<const World>& world, std::shared_ptr<const PageImage> image) {
  const std::lock_guard lock(mutex_);
  entries_[world.get()] = {.world = world, .image = std::move(image)};
  if (entries_.size() < sweep_at_) return;
  std::erase_if(entries_, [](const auto& item) { return item.second.world.expired(); });
  sweep_at_ = std::max<std::size_t>(64, 2 * entries_.size());
}

}  // namespace gauntlet

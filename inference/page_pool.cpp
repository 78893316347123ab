#include "inference/page_pool.h"

#include <algorithm>

#include "core/error.h"

namespace gauntlet {
namespace {

/// FNV-1a over the parent and the ids; collisions only cost a comparison.
std::uint64_t hash_of(std::uint64_t parent, std::span<const std::int32_t> ids) {
  std::uint64_t hash = 14695981039346656037ULL ^ parent;
  for (const auto id : ids) hash = (hash ^ static_cast<std::uint32_t>(id)) * 1099511628211ULL;
  return hash;
}

}  // namespace

PagePool::PagePool(int pages) : entries_(static_cast<std::size_t>(pages)), available_(pages) {
  for (int i = pages; i-- > 0;) free_.push_back(i);
}

std::optional<std::int32_t> PagePool::take() {
  std::int32_t page = -1;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!idle_.empty()) {
    page = idle_.front();
    idle_.pop_front();
    forget(page);
  } else {
    return std::nullopt;
  }
  entries_[static_cast<std::size_t>(page)].references = 1;
  --available_;
  return page;
}

void PagePool::forget(std::int32_t page) {
  Entry& entry = entries_[static_cast<std::size_t>(page)];
  const auto [first, last] = by_hash_.equal_range(entry.hash);
  by_hash_.erase(std::find_if(first, last, [page](const auto& item) { return item.second == page; }));
  entry.uid = 0;
  entry.ids.clear();
}

void PagePool::add_reference(std::int32_t page) {
  Entry& entry = entries_[static_cast<std::size_t>(page)];
  if (entry.references++ == 0) {
    require(entry.uid != 0, ErrorKind::Internal, "page pool: a reference to a page that nobody holds");
    idle_.erase(entry.place);
    --available_;
  }
}

void PagePool::release(std::int32_t page) {
  Entry& entry = entries_[static_cast<std::size_t>(page)];
  require(entry.references > 0, ErrorKind::Internal, "page pool: a page was released more often than it was taken");
  if (--entry.references > 0) return;
  ++available_;
  if (entry.uid == 0) {
    free_.push_back(page);
  } else {
    entry.place = idle_.insert(idle_.end(), page);
  }
}

std::int32_t PagePool::find(std::uint64_t parent, std::uint64_t hash, std::span<const std::int32_t> ids) const {
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Entry& entry = entries_[static_cast<std::size_t>(it->second)];
    if (entry.parent == parent && std::equal(ids.begin(), ids.end(), entry.ids.begin(), entry.ids.end())) return it->second;
  }
  return -1;
}

std::vector<std::int32_t> PagePool::match(std::span<const std::int32_t> ids, std::size_t most) {
  std::vector<std::int32_t> out;
  std::uint64_t parent = 0;
  while (out.size() < most && (out.size() + 1) * kPageTokens <= ids.size()) {
    const auto part = ids.subspan(out.size() * kPageTokens, kPageTokens);
    const std::int32_t page = find(parent, hash_of(parent, part), part);
    if (page < 0) break;
    out.push_back(page);
    parent = entries_[static_cast<std::size_t>(page)].uid;
  }
  for (const auto page : out) add_reference(page);
  return out;
}

std::int32_t PagePool::publish(std::span<const std::int32_t> ids, std::span<const std::int32_t> pages, std::size_t index) {
  const std::int32_t page = pages[index];
  Entry& entry = entries_[static_cast<std::size_t>(page)];
  if (entry.uid != 0) return page;
  const std::uint64_t parent = index == 0 ? 0 : entries_[static_cast<std::size_t>(pages[index - 1])].uid;
  if (index > 0 && parent == 0) return page;
  const auto part = ids.subspan(index * kPageTokens, kPageTokens);
  const std::uint64_t hash = hash_of(parent, part);
  if (const std::int32_t known = find(parent, hash, part); known >= 0) {
    add_reference(known);
    release(page);
    return known;
  }
  entry.uid = next_uid_++;
  entry.parent = parent;
  entry.hash = hash;
  entry.ids.assign(part.begin(), part.end());
  by_hash_.emplace(hash, page);
  return page;
}

void PagePool::check() const {
  std::size_t held = 0, published = 0;
  for (const auto& entry : entries_) {
    held += entry.references > 0 ? 1U : 0U;
    published += entry.uid != 0 ? 1U : 0U;
  }
  require(held + free_.size() + idle_.size() == entries_.size(), ErrorKind::Internal, "page pool: pages are lost or owned twice");
  require(free_.size() + idle_.size() == static_cast<std::size_t>(available_), ErrorKind::Internal, "page pool: wrong number of available pages");
  require(published == by_hash_.size(), ErrorKind::Internal, "page pool: the index and the pages disagree");
  for (const auto page : idle_) require(entries_[static_cast<std::size_t>(page)].references == 0 && entries_[static_cast<std::size_t>(page)].uid != 0, ErrorKind::Internal, "page pool: an idle page is held");
}

}  // namespace gauntlet

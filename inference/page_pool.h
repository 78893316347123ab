#pragma once

// Who owns which page of the cache: reference counts, and the prefixes that finished or running sequences leave behind for others. Host logic
// only; contents live in the backend. A prefix is found by its exact ids (hashes only speed the search up), in whole pages.

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "inference/backend.h"

namespace gauntlet {

class PagePool {
 public:
  explicit PagePool(int pages);

  int pages() const { return static_cast<int>(entries_.size()); }
  /// Pages that take() can give: free ones, and cached ones that nobody holds.
  int available() const { return available_; }

  /// A page with one reference and unknown contents; nothing when all are held. Gives up the least recently used cached page if it must.
  std::optional<std::int32_t> take();
  void add_reference(std::int32_t page);
  /// The last release of a published page keeps it for others until the room is needed.
  void release(std::int32_t page);

  /// The pages that hold the longest known prefix of `ids`, each with a reference for the caller; at most `most` pages.
  std::vector<std::int32_t> match(std::span<const std::int32_t> ids, std::size_t most);

  /// Makes the page known as holding ids[index × 64, (index + 1) × 64) after the pages before it. `pages` are those of the sequence in order;
  /// pages[index] is held by the caller. Returns the page to hold instead: if an equal prefix is known already, the caller's page is
  /// released and the known one referenced, so that what follows can be published after it. Does nothing if the page before is not known.
  std::int32_t publish(std::span<const std::int32_t> ids, std::span<const std::int32_t> pages, std::size_t index);

  /// For tests: throws Error(Internal) if counts and lists disagree.
  void check() const;

 private:
  struct Entry {
    int references = 0;
    std::uint64_t uid = 0;                    ///< of what it is published as; 0: not published
    std::uint64_t parent = 0;                 ///< uid of the page before; 0: it is the first
    std::uint64_t hash = 0;
    std::vector<std::int32_t> ids;            ///< [64] while published
    std::list<std::int32_t>::iterator place;  ///< in idle_, while published and unreferenced
  };
  std::int32_t find(std::uint64_t parent, std::uint64_t hash, std::span<const std::int32_t> ids) const;
  void forget(std::int32_t page);

  std::vector<Entry> entries_;
  std::vector<std::int32_t> free_;
  std::list<std::int32_t> idle_;              ///< published and unreferenced, least recently used first
  std::unordered_multimap<std::uint64_t, std::int32_t> by_hash_;
  std::uint64_t next_uid_ = 1;
  int available_ = 0;
};

}  // namespace gauntlet

#include "inference/page_pool.h"

#include <doctest/doctest.h>

#include <map>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

std::vector<std::int32_t> ids_from(std::int32_t first, std::size_t count) {
  std::vector<std::int32_t> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = first + static_cast<std::int32_t>(i);
  return out;
}

TEST_CASE("pages are given once, and come back when the last holder lets go") {
  PagePool pool(2);
  const auto a = pool.take(), b = pool.take();
  REQUIRE(a.has_value());
  REQUIRE(b.has_value());
  CHECK(*a != *b);
  CHECK_FALSE(pool.take().has_value());
  pool.add_reference(*a);
  pool.release(*a);
  CHECK_FALSE(pool.take().has_value());
  pool.release(*a);
  CHECK(pool.take() == a);
  pool.check();
  CHECK_THROWS_AS((pool.release(*b), pool.release(*b)), Error);
}

TEST_CASE("a published prefix is found by its exact ids, in whole pages, and shared") {
  PagePool pool(8);
  const auto ids = ids_from(0, 200);
  std::vector<std::int32_t> pages = {*pool.take(), *pool.take(), *pool.take(), *pool.take()};
  for (std::size_t i = 0; i < 3; ++i) pool.publish(ids, pages, i);
  CHECK(pool.match(ids, 8) == std::vector<std::int32_t>(pages.begin(), pages.begin() + 3));
  CHECK(pool.match(std::span(ids).first(191), 8).size() == 2);
  CHECK(pool.match(ids, 1).size() == 1);
  auto other = ids;
  other[64] = 7;
  CHECK(pool.match(other, 8).size() == 1);
  // The same ids in second place are another prefix.
  CHECK(pool.match(std::span(ids).subspan(64), 8).empty());
}

TEST_CASE("a prefix outlives its sequence until room is needed, the longest unused going first") {
  PagePool pool(3);
  const auto first = ids_from(0, 64), second = ids_from(1000, 64);
  const std::vector<std::int32_t> a = {*pool.take()}, b = {*pool.take()};
  pool.publish(first, a, 0);
  pool.publish(second, b, 0);
  pool.release(a[0]);
  pool.release(b[0]);
  CHECK(pool.available() == 3);
  CHECK(pool.match(first, 1) == a);  // now used later than the second
  pool.release(a[0]);
  CHECK(pool.take().has_value());
  CHECK(pool.take() == b[0]);
  CHECK(pool.match(second, 1).empty());
  CHECK(pool.match(first, 1) == a);
  pool.check();
}

TEST_CASE("what follows a forgotten page is not found under another parent") {
  PagePool pool(3);
  const auto ids = ids_from(0, 128);
  std::vector<std::int32_t> pages = {*pool.take(), *pool.take()};
  pool.publish(ids, pages, 0);
  pool.publish(ids, pages, 1);
  pool.release(pages[0]);
  pool.take();
  CHECK(pool.take() == pages[0]);  // the prefix's head is given away
  CHECK(pool.match(ids, 2).empty());
  pool.check();
}

TEST_CASE("a page whose contents are known already gives way to the known one, and what follows is published after that") {
  PagePool pool(4);
  const auto ids = ids_from(0, 128);
  const std::vector<std::int32_t> first = {*pool.take()};
  CHECK(pool.publish(ids, first, 0) == first[0]);
  std::vector<std::int32_t> second = {*pool.take(), *pool.take()};
  const std::int32_t own = second[0];
  second[0] = pool.publish(ids, second, 0);
  CHECK(second[0] == first[0]);
  CHECK(pool.available() == 2);  // its own page is free again
  CHECK(pool.take() == own);
  CHECK(pool.publish(ids, second, 1) == second[1]);
  CHECK(pool.match(ids, 2) == second);
  pool.check();
}

TEST_CASE("over random traces no page is lost or owned twice, and matches hold what they claim") {
  Rng rng(3);
  PagePool pool(24);
  struct Sequence {
    std::vector<std::int32_t> ids, pages;
  };
  std::vector<Sequence> running;
  std::map<std::int32_t, std::vector<std::int32_t>> contents;  // page to the whole prefix that it ends
  for (int step = 0; step < 20'000; ++step) {
    if (rng.below(2) == 0 && running.size() < 6) {
      Sequence sequence;
      const std::size_t blocks = 1 + rng.below(5);
      for (std::size_t i = 0; i < blocks; ++i) {
        const auto part = ids_from(static_cast<std::int32_t>(rng.below(3)) * 1000, 64);
        sequence.ids.insert(sequence.ids.end(), part.begin(), part.end());
      }
      sequence.pages = pool.match(sequence.ids, blocks);
      for (std::size_t i = 0; i < sequence.pages.size(); ++i) {
        REQUIRE(contents.at(sequence.pages[i]) == std::vector<std::int32_t>(sequence.ids.begin(), sequence.ids.begin() + static_cast<std::ptrdiff_t>((i + 1) * 64)));
      }
      while (sequence.pages.size() < blocks) {
        const auto page = pool.take();
        if (!page) break;
        sequence.pages.push_back(*page);
        contents[*page].assign(sequence.ids.begin(), sequence.ids.begin() + static_cast<std::ptrdiff_t>(sequence.pages.size() * 64));
        sequence.pages.back() = pool.publish(sequence.ids, sequence.pages, sequence.pages.size() - 1);
      }
      running.push_back(std::move(sequence));
    } else if (!running.empty()) {
      const std::size_t i = rng.below(running.size());
      for (const auto page : running[i].pages) pool.release(page);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
    pool.check();
  }
}

}  // namespace
}  // namespace gauntlet

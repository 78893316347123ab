#include "core/ordered_results.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace gauntlet {
namespace {

constexpr std::chrono::milliseconds kLong{10'000};

TEST_CASE("results of many threads come in the order of their numbers") {
  OrderedResults<std::int64_t> results(4);
  std::atomic<std::int64_t> next{0};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 5; ++i) {
    workers.emplace_back([&] {
      for (std::int64_t index = next.fetch_add(1); results.wait_for_turn(index); index = next.fetch_add(1)) results.put(index, index * index);
    });
  }
  for (std::int64_t i = 0; i < 500; ++i) {
    const auto taken = results.take(kLong);
    REQUIRE(taken.has_value());
    CHECK(*taken == i * i);
  }
  results.stop();
}

TEST_CASE("nobody runs further ahead than the window, and stopping lets those who wait go") {
  OrderedResults<int> results(2);
  CHECK(results.wait_for_turn(0));
  CHECK(results.wait_for_turn(1));
  std::atomic<int> answer{-1};
  std::jthread ahead([&] { answer = results.wait_for_turn(2) ? 1 : 0; });
  CHECK_FALSE(results.take(std::chrono::milliseconds(1)).has_value());
  CHECK(answer == -1);
  results.put(0, 10);
  CHECK(results.take(kLong) == 10);
  ahead.join();
  CHECK(answer == 1);
  results.stop();
  CHECK_FALSE(results.wait_for_turn(3));
}

TEST_CASE("a worker's failure reaches the consumer") {
  OrderedResults<int> results(2);
  results.put(0, 1);
  results.fail(std::make_exception_ptr(std::runtime_error("broken")));
  CHECK_THROWS_WITH(results.take(kLong), "broken");
}

}  // namespace
}  // namespace gauntlet

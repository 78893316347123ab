// Faults from outside: killed writers, several writers, a full disk, a read-only folder.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "core/rng.h"
#include "datasets/sample_store.h"
#include "datasets/sqlite.h"

using gauntlet::sample::contains;

namespace gauntlet {
namespace {

struct Child {
  pid_t pid = -1;
  int output = -1;  ///< reading end of a pipe; the child gets the writing end
};

/// Runs `act` in another process. The parent must hold no open store: connections do not survive a fork.
Child start_child(const std::function<void(int output)>& act) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::close(ends[0]);
    try {
      act(ends[1]);
    } catch (const std::exception& error) {
      const std::string text = std::string("exception: ") + error.what();
      if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(2);
      ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  return {.pid = pid, .output = ends[0]};
}

void say(int output, const std::string& text) {
  if (::write(output, text.data(), text.size()) < 0) ::_exit(2);
}

std::string read_all(int descriptor) {
  std::string out;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(descriptor, buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(got));
  ::close(descriptor);
  return out;
}

std::string finish(const Child& child) {
  const std::string output = read_all(child.output);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  return output;
}

std::size_t episode_count(const Store& store) {
  std::size_t count = 0;
  store.for_each_outcome("r", [&](const Outcome&) { ++count; });
  return count;
}

/// Writes batches of two, and one byte to `output` for each batch that put_episodes has acknowledged.
void write_until_killed(const std::string& path, int output) {
  Store store(path, StoreMode::ReadWrite);
  auto next = static_cast<int>(episode_count(store));
  for (;; next += 2) {
    const std::vector<Episode> batch = {sample::episode("r", "t1", next), sample::episode("r", "t1", next + 1)};
    store.put_episodes(batch);
    say(output, "+");
  }
}

int kill_rounds() {
  const char* rounds = std::getenv("GAUNTLET_KILLS");
  return rounds == nullptr ? 50 : std::max(1, std::atoi(rounds));
}

TEST_CASE("no acknowledged episode is lost or doubled when writers are killed at random moments") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  Rng rng(20260101);
  std::size_t acknowledged = 0;
  std::size_t rounds_in_mid_write = 0;
  for (int round = 0; round < kill_rounds(); ++round) {
    const Child child = start_child([&](int output) { write_until_killed(path, output); });
    std::size_t acks = 0;
    char byte = 0;
    for (std::uint64_t wanted = rng.range(1, 6); acks < wanted && ::read(child.output, &byte, 1) == 1;) ++acks;
    REQUIRE(byte == '+');
    const auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds(rng.below(3000));
    while (std::chrono::steady_clock::now() < moment) {
    }
    ::kill(child.pid, SIGKILL);
    acks += finish(child).size();
    acknowledged += 2 * acks;

    const Store store(path, StoreMode::ReadWrite);  // rolls back what was half written
    const std::size_t stored = episode_count(store);
    // One more batch may be durable without its acknowledgement having been sent.
    REQUIRE(stored >= acknowledged);
    REQUIRE(stored <= acknowledged + 2);
    REQUIRE(stored % 2 == 0);
    if (stored > acknowledged) ++rounds_in_mid_write;
    acknowledged = stored;
  }
  const Store store(path, StoreMode::ReadOnly);
  CHECK(store.check() == std::vector<std::string>{});
  CHECK(store.completed_slots("r").size() == acknowledged);
  MESSAGE(kill_rounds() << " kills, " << acknowledged
                        << " episodes stored, 0 lost, 0 doubled; between commit and acknowledgement: " << rounds_in_mid_write);
}

/// Dies inside a transaction whose pages have reached the file, so that only the journal can undo them.
void die_in_mid_write(const std::string& path, int output) {
  Database database(path, DatabaseAccess::ReadWrite, std::chrono::seconds(1));
  database.execute("PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE tasks SET prompt = hex(zeroblob(50000))", "write");
  say(output, "died");
  ::_exit(0);
}

TEST_CASE("a store whose writer died can be read at once, without what was half written") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  REQUIRE(finish(start_child([&](int output) { die_in_mid_write(path, output); })) == "died");
  REQUIRE(std::filesystem::file_size(path + "-journal") > 0);
  const Store store(path, StoreMode::ReadOnly);
  CHECK(store.find_task("t1")->prompt == "Plan one day in Hangzhou.");
  CHECK(store.check() == std::vector<std::string>{});
}

TEST_CASE("four processes append to one store at once and nothing is lost") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  std::vector<Child> children;
  for (int process = 0; process < 4; ++process) {
    children.push_back(start_child([&, process](int output) {
      Store store(path, StoreMode::ReadWrite);
      for (int i = 0; i < 25; ++i) sample::put(store, sample::episode("r", "t2", process * 25 + i));
      say(output, "done");
    }));
  }
  for (const Child& child : children) CHECK(finish(child) == "done");
  const Store store(path, StoreMode::ReadOnly);
  CHECK(store.completed_slots("r").size() == 100);
  CHECK(store.check() == std::vector<std::string>{});
}

TEST_CASE("four processes may make the same store at once") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  std::vector<Child> children;
  for (int process = 0; process < 4; ++process) {
    children.push_back(start_child([&](int output) {
      sample::store(path);
      say(output, "done");
    }));
  }
  for (const Child& child : children) CHECK(finish(child) == "done");
  CHECK(Store(path, StoreMode::ReadOnly).count_tasks({}) == 3);
}

TEST_CASE("threads append to one store, each through its own connection") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  Store store = sample::store(path);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&path, thread] {
      Store own(path, StoreMode::ReadWrite);
      for (int i = 0; i < 10; ++i) sample::put(own, sample::episode("r", "t3", thread * 10 + i));
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(store.completed_slots("r").size() == 40);
}

std::string mount_small_disk(const std::string& folder, int kibibytes) {
  // Root needs no user namespace, and some kernels refuse one to root.
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return "skipped: no mount namespace";
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "skipped: cannot make mounts private";
  const std::string size = "size=" + std::to_string(kibibytes) + "k";
  if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, size.c_str()) != 0) return "skipped: cannot mount a tmpfs";
  return "";
}

/// Fills a disk of that size, makes room, and goes on; "ok" or what was wrong.
std::string fill_disk(const std::string& folder, int kibibytes) {
  const std::string skipped = mount_small_disk(folder, kibibytes);
  if (!skipped.empty()) return skipped;
  const std::string path = folder + "/s.db";
  Store store = sample::store(path);
  int acknowledged = 0;
  const auto put_next = [&] { sample::put(store, sample::episode("r", "t1", acknowledged)); };
  std::string message;
  while (message.empty()) {
    message = sample::error_of(put_next);
    if (message.empty()) ++acknowledged;
  }
  if (!contains(message, "is full; nothing that was stored before is lost")) return "another error: " + message;
  if (episode_count(store) != static_cast<std::size_t>(acknowledged)) return "acknowledged episodes are lost";
  if (!store.check().empty()) return "damaged: " + store.check()[0];
  if (::mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, "size=16m") != 0) return "could not make room";
  put_next();
  const Store reopened(path, StoreMode::ReadOnly);
  if (episode_count(reopened) != static_cast<std::size_t>(acknowledged) + 1) return "the store did not go on";
  return reopened.check().empty() ? "ok" : "damaged after going on: " + reopened.check()[0];
}

TEST_CASE("a full disk stops with a message, loses nothing, and the store goes on when there is room") {
  const sample::TemporaryFolder folder;
  int sizes = 0;
  for (int kibibytes = 400; kibibytes <= 1000; kibibytes += 60, ++sizes) {
    const std::string result = finish(start_child([&](int output) { say(output, fill_disk(folder.path(), kibibytes)); }));
    if (result.starts_with("skipped")) {
      MESSAGE(result);
      return;
    }
    CHECK_MESSAGE(result == "ok", kibibytes << " KiB");
  }
  CHECK(sizes == 11);
}

TEST_CASE("a store in a read-only folder can be read, and writing says what is missing") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  namespace fs = std::filesystem;
  fs::permissions(folder.path(), fs::perms(0555));
  fs::permissions(path, fs::perms(0444));
  const Child child = start_child([&](int output) {
    // Permissions do not bind root.
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return say(output, "skipped: cannot give up root");
    if (Store(path, StoreMode::ReadOnly).count_tasks({}) != 3) return say(output, "cannot be read");
    say(output, sample::error_of([&] { Store(path, StoreMode::ReadWrite); }));
    say(output, sample::error_of([&] { Store(folder.file("new.db"), StoreMode::Create); }));
  });
  const std::string result = finish(child);
  fs::permissions(folder.path(), fs::perms(0755));
  if (result.starts_with("skipped")) {
    MESSAGE(result);
    return;
  }
  CHECK(contains(result, "or its folder is read-only for this user; writing needs permission for both"));
  CHECK(contains(result, "could not open the store " + folder.file("new.db")));
}

}  // namespace
}  // namespace gauntlet

// Reads a store, prints which requirements fail most often, and scores the episodes anew with partial credit.
//   example_failures t.db [RUN]

#include <algorithm>
#include <cstdio>
#include <map>

#include "core/error.h"
#include "datasets/store.h"

namespace gauntlet {
namespace {

constexpr std::size_t kShown = 10;

/// The share of requirements that hold: another reward than the store's, from the same evidence.
double partial_credit(const Score& score) {
  const auto holding = std::count_if(score.components.begin(), score.components.end(), [](const ScoreComponent& part) { return part.holds; });
  return score.components.empty() ? 0.0 : static_cast<double>(holding) / static_cast<double>(score.components.size());
}

void print_failures(const std::string& path, const std::string& run) {
  const Store store(path, StoreMode::ReadOnly);
  std::map<std::string, int> failures;
  int scored = 0, passed = 0;
  double credit = 0.0;
  store.for_each_episode({.run_id = run, .with_messages = false}, [&](const StoredEpisode& stored) {
    const Score& score = stored.episode.score;
    if (!score.scored) return;  // an infrastructure fault says nothing about the agent
    ++scored;
    passed += score.value == 1.0 ? 1 : 0;
    credit += partial_credit(score);
    for (const auto& part : score.components) {
      if (!part.holds) ++failures[part.constraint];
    }
  });
  std::printf("%d scored episodes, %d pass, mean partial credit %.3f\n", scored, passed, scored == 0 ? 0.0 : credit / scored);
  std::vector<std::pair<int, std::string>> worst;
  for (const auto& [constraint, n] : failures) worst.emplace_back(n, constraint);
  std::sort(worst.rbegin(), worst.rend());
  for (std::size_t i = 0; i < std::min(worst.size(), kShown); ++i) std::printf("%5d  %s\n", worst[i].first, worst[i].second.c_str());
}

}  // namespace
}  // namespace gauntlet

int main(int argc, char** argv) {
  try {
    gauntlet::print_failures(argc > 1 ? argv[1] : "gauntlet.db", argc > 2 ? argv[2] : "");
  } catch (const gauntlet::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}

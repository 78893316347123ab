// The C++ half of tests/tokenizer_peer_test.py, which compares with Hugging Face's tokenizers.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "inference/tokenizer.h"

namespace gauntlet {
namespace {

/// Processor time, as other programs share the machine; the best of several rounds.
double megabytes_per_second(const Tokenizer& tokenizer, const std::vector<std::string>& documents) {
  double best = 0;
  std::size_t bytes = 0;
  for (const std::string& document : documents) bytes += document.size();
  for (int round = 0; round < 5; ++round) {
    const std::clock_t begin = std::clock();
    std::size_t ids = 0;
    for (const std::string& document : documents) ids += tokenizer.encode(document, SpecialTokens::Parse).size();
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (ids > 0) best = std::max(best, static_cast<double>(bytes) / 1e6 / seconds);
  }
  return best;
}

TEST_CASE("ids of a folder's texts are written for another implementation when a folder is named") {
  const char* folder_name = std::getenv("GAUNTLET_TOKENIZER_PEER");
  if (folder_name == nullptr) return;
  const std::string folder = folder_name;
  const std::clock_t begin = std::clock();
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const double load_seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  Json out = {{"load_seconds", load_seconds}, {"parsed", Json::array()}, {"plain", Json::array()}, {"decoded", Json::array()}};
  for (const Json& item : read_json_file(folder + "/texts.json")) {
    const std::string text = item.get<std::string>();
    const auto ids = tokenizer.encode(text, SpecialTokens::Parse);
    out["parsed"].push_back(ids);
    out["plain"].push_back(tokenizer.encode(text, SpecialTokens::AsText));
    out["decoded"].push_back(tokenizer.decode(ids, SkipSpecial::No));
  }
  out["megabytes_per_second"] = megabytes_per_second(tokenizer, read_json_file(folder + "/documents.json").get<std::vector<std::string>>());
  std::ofstream(folder + "/ids.json") << dump_json(out);
}

}  // namespace
}  // namespace gauntlet

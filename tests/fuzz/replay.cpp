// Runs a fuzz target without a fuzzer: over every file of its corpus, then over deterministic mutations of them.
// Usage: replay CORPUS_FOLDER MUTATIONS [--trace | --show N]. After a crash, --trace tells the number of the mutation, and --show writes
// that one to standard output.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size);

namespace {

using gauntlet::Json;
using gauntlet::Rng;

std::vector<std::string> read_corpus(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const auto& path : paths) seeds.push_back(gauntlet::read_text_file(path));
  return seeds;
}

/// A piece of up to `most` bytes of some seed.
std::string piece(const std::vector<std::string>& seeds, Rng& rng, std::size_t most) {
  const std::string& from = rng.pick(seeds);
  if (from.empty()) return "";
  const std::size_t at = rng.below(from.size());
  return from.substr(at, 1 + rng.below(most));
}

void mutate_once(std::string& text, const std::vector<std::string>& seeds, Rng& rng) {
  const std::size_t at = rng.below(text.size() + 1);
  const std::size_t length = rng.below(rng.chance(800'000) ? 8 : 200);
  switch (rng.below(8)) {
    case 0: text.insert(at, 1, static_cast<char>(rng.below(256))); break;
    case 1: text.insert(at, 1, rng.pick<char>({'"', '\\', '{', '}', '[', ']', ',', ':', '<', '>', '/', '\n', '\r', ' ', '0', '9', '-', '.', 'e'})); break;
    case 2: text.erase(at, length); break;
    case 3: text.insert(at, text.substr(std::min(at, text.size()), length)); break;
    case 4: text.insert(at, piece(seeds, rng, 40)); break;
    case 5: text.replace(at, std::min(length, text.size() - at), piece(seeds, rng, 40)); break;
    case 6: text.resize(at); break;
    default:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << rng.below(8)));
  }
}

using Pointer = Json::json_pointer;

void places(const Json& value, const Pointer& at, std::vector<Pointer>& out) {
  out.push_back(at);
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) places(value[i], at / i, out);
  } else if (value.is_object()) {
    for (const auto& item : value.items()) places(item.value(), at / item.key(), out);
  }
}

/// Changes of bytes seldom leave a document that can be parsed; these always do.
void mutate_document(Json& document, Rng& rng) {
  std::vector<Pointer> all;
  places(document, Pointer(), all);
  Json& target = document[rng.pick(all)];
  const Json other = document[rng.pick(all)];
  switch (rng.below(5)) {
    case 0: target = other; break;
    case 1:
      target = rng.pick<Json>({nullptr, true, 0, -1, 2, 1.5, 1e300, INT64_MIN, UINT64_MAX, "", "x", "{name}", "2025-10-01", "/0", Json::array(), Json::object()});
      break;
    case 2:
      if (target.is_structured() && !target.empty()) {
        const auto at = std::next(target.begin(), static_cast<std::ptrdiff_t>(rng.below(target.size())));
        target.is_object() ? static_cast<void>(target.erase(at.key())) : static_cast<void>(target.erase(at));
      }
      break;
    case 3:
      if (target.is_array()) target.push_back(other);
      if (target.is_object() && !all.back().empty()) target[all[rng.below(all.size() - 1) + 1].back()] = other;
      break;
    default:
      if (target.is_string()) target = target.get<std::string>().substr(0, rng.below(6)) + rng.pick<std::string>({"", "x", "'", ";", ":", "\u00e9"});
      if (target.is_number_integer()) target = static_cast<std::int64_t>(target.get<std::uint64_t>() + rng.below(5) - 2);
  }
}

std::string mutation(const std::vector<std::string>& seeds, std::size_t number) {
  Rng rng = Rng(0x5eed).split(number);
  std::string text = rng.pick(seeds);
  if (Json document = Json::parse(text, nullptr, false); document.is_structured() && rng.chance(700'000)) {
    for (std::size_t i = 1 + rng.below(3); i > 0; --i) mutate_document(document, rng);
    return gauntlet::dump_json(document);
  }
  const std::size_t steps = 1 + rng.below(6);
  for (std::size_t i = 0; i < steps; ++i) mutate_once(text, seeds, rng);
  return text;
}

void run(const std::string& text) { LLVMFuzzerTestOneInput(reinterpret_cast<const unsigned char*>(text.data()), text.size()); }

}  // namespace

int main(int argc, char** argv) try {
  const std::string option = argc > 3 ? argv[3] : "";
  const bool trace = option == "--trace" && argc == 4;
  const bool show = option == "--show" && argc == 5;
  if (argc < 3 || (argc > 3 && !trace && !show)) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER MUTATIONS [--trace | --show N]\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> seeds = read_corpus(argv[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s holds no file to start from\n", argv[1]);
    return 3;
  }
  if (show) {
    const std::string text = mutation(seeds, std::stoul(argv[4]));
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  }
  for (const auto& seed : seeds) run(seed);
  const std::size_t mutations = std::stoul(argv[2]);
  for (std::size_t i = 0; i < mutations; ++i) {
    if (trace) std::fprintf(stderr, "%zu\n", i);
    run(mutation(seeds, i));
  }
  std::printf("%zu files and %zu mutations of them: every one was answered\n", seeds.size(), mutations);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "an exception escaped: %s\n", error.what());
  return 3;
}

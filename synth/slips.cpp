#include "synth/slips.h"

#include <utility>

namespace gauntlet {

PlannedCall misspelt(const PlannedCall& call, Rng& rng) {
  PlannedCall wrong = call;
  for (auto& item : wrong.arguments.items()) {
    if (item.value().is_array() && !item.value().empty() && rng.chance(500'000)) {
      item.value()[0] = item.value()[0].get<std::string>() + "_info";
      return wrong;
    }
    if (!item.value().is_string()) continue;
    auto text = item.value().get<std::string>();
    for (std::size_t i = text.size() / 2; i + 1 < text.size(); ++i) {
      if (text[i] == text[i + 1] || text[i] == ' ' || text[i + 1] == ' ' || (text[i] & 0x80) != 0 || (text[i + 1] & 0x80) != 0) continue;
      std::swap(text[i], text[i + 1]);
      item.value() = text;
      return wrong;
    }
  }
  return wrong;
}

}  // namespace gauntlet

#include "synth/difficulty.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gauntlet {

const std::vector<std::string>& difficulty_entries() {
  static const std::vector<std::string> kEntries = {"log10_density", "active_constraints", "coupling",         "minimal_tool_calls",
                                                    "hops",          "distractor_share",   "answer_size",      "evidence_tokens"};
  return kEntries;
}

DifficultyRequest parse_difficulty(const std::string& text) {
  DifficultyRequest request;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = part.find('=');
    const std::string name = equals == std::string::npos ? "level" : part.substr(0, equals);
    const std::string value = equals == std::string::npos ? part : part.substr(equals + 1);
    const auto number = [&](const std::string& digits, const char* accepted) {
      char* stop = nullptr;
      const double parsed = std::strtod(digits.c_str(), &stop);
      require(!digits.empty() && *stop == '\0' && std::isfinite(parsed), ErrorKind::Usage, fmt::format("difficulty {}: found \"{}\"; accepted: {}", name, value, accepted));
      return parsed;
    };
    if (name == "level") {
      const double level = number(value, "1, 2, 3, 4, 5, or figures with ranges, such as level=4,minimal_tool_calls=30..40");
      require(level >= 1 && level <= 5 && level == std::floor(level), ErrorKind::Usage, fmt::format("difficulty level: found {}; accepted: 1, 2, 3, 4, 5", value));
      request.level = static_cast<int>(level);
      continue;
    }
    const auto& entries = difficulty_entries();
    require(std::find(entries.begin(), entries.end(), name) != entries.end(), ErrorKind::Usage,
            fmt::format("difficulty \"{}\": unknown entry \"{}\"; accepted: level, {}", text, name, fmt::join(entries, ", ")));
    const std::size_t dots = value.find("..");
    require(dots != std::string::npos, ErrorKind::Usage, fmt::format("difficulty {}: found \"{}\"; accepted: LOW..HIGH, either side may be empty", name, value));
    const std::string low = value.substr(0, dots);
    const std::string high = value.substr(dots + 2);
    const char* accepted = "LOW..HIGH with numbers, either side may be empty";
    const DifficultyRange range{.name = name, .low = low.empty() ? -1e18 : number(low, accepted), .high = high.empty() ? 1e18 : number(high, accepted)};
    require(range.low <= range.high, ErrorKind::Usage, fmt::format("difficulty {}: found \"{}\"; accepted: LOW..HIGH with LOW not above HIGH", name, value));
    request.ranges.push_back(range);
  }
  return request;
}

std::vector<DifficultyRange> parse_accept(const Json& accept, const std::string& path) {
  std::vector<DifficultyRange> out;
  for (const auto& item : accept.items()) {
    const std::string at = path + "/" + item.key();
    const Json& bounds = item.value();
    const auto& entries = difficulty_entries();
    require(std::find(entries.begin(), entries.end(), item.key()) != entries.end(), ErrorKind::Input, fmt::format("{}: unknown entry; accepted: {}", at, fmt::join(entries, ", ")));
    require(bounds.is_array() && bounds.size() == 2 && bounds[0].is_number() && bounds[1].is_number() && bounds[0] <= bounds[1], ErrorKind::Input,
            fmt::format("{}: found {}; accepted: [LOW, HIGH]", at, dump_json(bounds)));
    out.push_back({.name = item.key(), .low = bounds[0].get<double>(), .high = bounds[1].get<double>()});
  }
  return out;
}

}  // namespace gauntlet

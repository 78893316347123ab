#include "verifiers/mutants.h"

#include <algorithm>
#include <set>

#include "verifiers/verify.h"

namespace gauntlet {
namespace {

/// Objects with their keys in reverse, at every depth.
Json reversed(const Json& value) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const auto& item : value) out.push_back(reversed(item));
    return out;
  }
  if (!value.is_object()) return value;
  std::vector<std::string> keys;
  for (const auto& item : value.items()) keys.push_back(item.key());
  Json out = Json::object();
  for (auto it = keys.rbegin(); it != keys.rend(); ++it) out[*it] = reversed(value.at(*it));
  return out;
}

void add_extra_members(Json& value) {
  if (value.is_array()) {
    for (auto& item : value) add_extra_members(item);
  } else if (value.is_object()) {
    for (auto& item : value.items()) add_extra_members(item.value());
    value["a_note_that_nobody_asked_for"] = "fine";
  }
}

}  // namespace

KillMatrix sweep_mutants(const CompiledProblem& problem, const std::vector<SlotValue>& answer) {
  KillMatrix matrix;
  const auto& roots = problem.roots();
  matrix.kills.assign(roots.size(), 0);
  matrix.sole_kills.assign(roots.size(), 0);
  struct Miss {
    std::size_t broken;
    std::size_t slot;
    SlotValue value;
  };
  std::vector<std::vector<Miss>> misses(roots.size());
  Evaluator evaluator(problem);
  evaluator.assign_all(answer);
  std::vector<std::size_t> broken;
  for (std::size_t slot = 0; slot < answer.size(); ++slot) {
    std::vector<std::size_t> touched;
    for (std::size_t r = 0; r < roots.size(); ++r) {
      if (problem.node(roots[r]).slots[slot]) touched.push_back(r);
    }
    for (SlotValue value = 0; value < problem.slots()[slot].size; ++value) {
      if (value == answer[slot]) continue;
      ++matrix.mutants;
      evaluator.assign(static_cast<int>(slot), value);
      broken.clear();
      for (const std::size_t r : touched) {
        if (evaluator.truth(roots[r]) != Truth::True) broken.push_back(r);
      }
      if (broken.empty()) {
        ++matrix.harmless;
        matrix.survivors.emplace_back(slot, value);
      }
      for (const std::size_t r : broken) {
        ++matrix.kills[r];
        if (broken.size() == 1) ++matrix.sole_kills[r];
        misses[r].push_back({.broken = broken.size(), .slot = slot, .value = value});
      }
    }
    evaluator.assign(static_cast<int>(slot), answer[slot]);
  }
  std::set<std::pair<std::size_t, SlotValue>> taken;
  for (auto& list : misses) {
    std::stable_sort(list.begin(), list.end(), [](const Miss& a, const Miss& b) { return a.broken < b.broken; });
    int added = 0;
    for (const Miss& miss : list) {
      if (added == 2) break;
      if (!taken.insert({miss.slot, miss.value}).second) continue;
      matrix.samples.push_back(answer);
      matrix.samples.back()[miss.slot] = miss.value;
      ++added;
    }
  }
  return matrix;
}

std::vector<std::string> broken_texts(const CompiledProblem& problem, const std::vector<SlotValue>& answer) {
  const Json good = answer_to_json(problem, answer);
  const std::string text = dump_json(good);
  std::vector<std::string> out = {"",    "null", "[]", "{}", "\"" + problem.slots().front().id + "\"", text.substr(0, text.size() - 1), text + text,
                                  "Here is my plan: " + text};
  for (std::size_t i = 0; i < answer.size(); i += std::max<std::size_t>(1, answer.size() / 6)) {
    const Json::json_pointer pointer(problem.problem().slots[i].path);
    Json changed = good;
    changed[pointer] = nullptr;
    out.push_back(dump_json(changed));
    const auto spoil = [&](const std::string& name) {
      // Another value's name would be another answer, and perhaps a right one.
      const SlotDomain domain = problem.problem().slots[i].domain;
      if ((domain == SlotDomain::Entity || domain == SlotDomain::Texts) && problem.find_text(static_cast<int>(i), name) >= 0) return false;
      changed[pointer] = name;
      out.push_back(dump_json(changed));
      return true;
    };
    spoil("");
    changed[pointer] = Json::array({good.at(pointer)});
    out.push_back(dump_json(changed));
    if (good.at(pointer).is_string()) {
      std::string name = good.at(pointer).get<std::string>() + "x";
      while (!spoil(name)) name += "x";
    }
    changed = good;
    Json& parent = changed[pointer.parent_pointer()];
    if (parent.is_object()) {
      parent.erase(pointer.back());
      out.push_back(dump_json(changed));
    }
  }
  if (good.is_array()) {
    Json changed = good;
    changed.push_back(good.front());
    out.push_back(dump_json(changed));
    changed = good;
    changed.erase(changed.size() - 1);
    out.push_back(dump_json(changed));
    out.push_back(dump_json(Json{{"answer", good}}));
  }
  return out;
}

std::vector<std::string> equivalent_texts(const CompiledProblem& problem, const std::vector<SlotValue>& answer) {
  const Json good = answer_to_json(problem, answer);
  Json extra = good;
  add_extra_members(extra);
  std::vector<std::string> out = {dump_json(good), good.dump(2), dump_json(reversed(good)), "```json\n" + good.dump(1) + "\n```", dump_json(extra)};
  Json floats = good;
  bool any = false;
  for (const auto& slot : problem.problem().slots) {
    if (slot.domain != SlotDomain::Integers) continue;
    Json& place = floats[Json::json_pointer(slot.path)];
    place = place.get<double>();
    any = true;
  }
  if (any) out.push_back(dump_json(floats));
  return out;
}

}  // namespace gauntlet

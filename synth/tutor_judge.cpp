#include "synth/tutor_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "synth/additive.h"

namespace gauntlet {
namespace {

constexpr Cell kNoThreshold = std::numeric_limits<Cell>::min();

TutorRule merged(const TutorRule& base, const TutorRule& extra) {
  TutorRule out = base;
  for (std::size_t i = 0; i < out.single.size(); ++i) out.single[i].insert(out.single[i].end(), extra.single[i].begin(), extra.single[i].end());
  const auto larger = [](std::optional<Cell>& value, const std::optional<Cell>& other) {
    if (other) value = std::max(value.value_or(*other), *other);
  };
  larger(out.first_at_least, extra.first_at_least);
  larger(out.second_at_least, extra.second_at_least);
  larger(out.one_at_least, extra.one_at_least);
  if (extra.rated_column >= 0) out.rated_column = extra.rated_column;
  if (extra.sum && (!out.sum || extra.sum->value < out.sum->value)) {
    out.sum = extra.sum;
    out.summed_column = extra.summed_column;
  }
  return out;
}

}  // namespace

void add_line(std::string& notes, const std::string& line) { notes += (notes.empty() ? "" : "\n") + line; }

const WorldColumn& TutorJudge::column(const TutorMember& member, int column) const {
  return seen_.tables[static_cast<std::size_t>(member.table)].columns[static_cast<std::size_t>(column)];
}

std::string TutorJudge::cell(const TutorMember& member, int at, int row) const {
  const WorldColumn& data = column(member, at);
  return cell_text(seen_, data, data.cells[static_cast<std::size_t>(row)]);
}

std::string TutorJudge::key(const TutorMember& member, int row) const {
  const WorldTable& table = seen_.tables[static_cast<std::size_t>(member.table)];
  return seen_.symbols.text(static_cast<std::int32_t>(table.columns[static_cast<std::size_t>(table.key_column)].cells[static_cast<std::size_t>(row)]));
}

std::vector<int> TutorJudge::rows_at(const TutorMember& member, const std::string& place) const {
  const std::int32_t symbol = seen_.symbols.find(place);
  std::vector<int> rows;
  if (symbol < 0) return rows;
  const auto& cells = column(member, member.within_column).cells;
  for (std::size_t row = 0; row < cells.size(); ++row) {
    if (cells[row] == symbol) rows.push_back(static_cast<int>(row));
  }
  return rows;
}

std::string TutorJudge::single_text(const TutorGroup& group, std::size_t member, const std::vector<TutorCondition>& conditions) const {
  std::string out = name(group.members[member]);
  for (const auto& condition : conditions) out += " " + column(group.members[member], condition.column).name + condition.text();
  return out;
}

std::string TutorJudge::pair_text(const TutorGroup& group, std::size_t first, const TutorRule& rule) const {
  const TutorMember& a = group.members[first];
  const TutorMember& b = group.members[static_cast<std::size_t>(a.partner)];
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  const std::string rated = rule.rated_column < 0 ? std::string() : column(a, rule.rated_column).name;
  if (rule.first_at_least) add(fmt::format("{} {} >={}", name(a), rated, number_text(*rule.first_at_least)));
  if (rule.second_at_least) add(fmt::format("{} {} >={}", name(b), rated, number_text(*rule.second_at_least)));
  if (rule.one_at_least) add(fmt::format("one {} {} >={}", a.table >= 0 ? seen_.tables[static_cast<std::size_t>(a.table)].name : "", rated, number_text(*rule.one_at_least)));
  if (rule.sum) add(fmt::format("sum {} {}{}", column(a, rule.summed_column).name, op_text(rule.sum->op), number_text(rule.sum->value)));
  return out;
}

std::string TutorJudge::rule_text(const TutorGroup& group, const TutorRule& rule) const {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    if (!rule.single[i].empty()) add(single_text(group, i, rule.single[i]));
  }
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    if (group.members[i].partner > static_cast<int>(i) && rule.asks_of_pair()) add(pair_text(group, i, rule));
  }
  return out;
}

std::string TutorJudge::digest(const TutorGroup& group) const {
  const std::string always = rule_text(group, group.rule);
  std::string out = always.empty() && group.branches.empty() ? "anything" : always;
  for (const auto& branch : group.branches) {
    const TutorMember& member = group.members[static_cast<std::size_t>(group.guard_member)];
    const std::string then = rule_text(group, branch.rule);
    out += fmt::format("{}if {} {}{}: {}", out.empty() ? "" : "; ", name(member), column(member, branch.guard.column).name, branch.guard.text(), then.empty() ? "anything" : then);
  }
  return out;
}

int TutorJudge::choose_single(const TutorGroup& group, std::size_t at, const std::vector<TutorCondition>& conditions, const std::string& place, std::string& notes) const {
  const TutorMember& member = group.members[at];
  add_line(notes, single_text(group, at, conditions));
  for (const int row : rows_at(member, place)) {
    std::string line = key(member, row);
    bool meets = true;
    for (std::size_t i = 0; i < conditions.size() && meets; ++i) {
      meets = conditions[i].holds(column(member, conditions[i].column).cells[static_cast<std::size_t>(row)]);
      line += fmt::format(" {} {}", cell(member, conditions[i].column, row), meets ? "ok" : "no");
    }
    add_line(notes, line);
    if (meets) return row;
  }
  add_line(notes, fmt::format("no {}", name(member)));
  return -1;
}

/// The stricter place of the pair goes to the cheapest row above the higher threshold, the other to the cheapest of the rest above the
/// lower one: if any pair meets the sum, this one does.
bool TutorJudge::choose_pair(const TutorGroup& group, std::size_t first, const TutorRule& rule, const std::string& place, std::vector<int>& rows, std::string& notes) const {
  const TutorMember& member = group.members[first];
  const auto partner = static_cast<std::size_t>(member.partner);
  const Cell a = rule.first_at_least.value_or(kNoThreshold), b = rule.second_at_least.value_or(kNoThreshold);
  const Cell high = std::max({a, b, rule.one_at_least.value_or(kNoThreshold)}), low = std::min(a, b);
  const std::size_t strict = b > a ? partner : first, other = b > a ? first : partner;
  add_line(notes, pair_text(group, first, rule));
  std::vector<int> above, rest;
  for (const int row : rows_at(member, place)) {
    std::string line = key(member, row);
    bool counts = true;
    if (rule.rated_column >= 0) {
      const Cell rating = column(member, rule.rated_column).cells[static_cast<std::size_t>(row)];
      counts = rating >= low;
      line += fmt::format(" {} {}", cell(member, rule.rated_column, row), rating >= high ? "ok" : counts ? "half" : "no");
      if (rating >= high) above.push_back(row);
    } else {
      above.push_back(row);
    }
    if (counts) rest.push_back(row);
    if (counts && rule.sum) line += " " + cell(member, rule.summed_column, row);
    add_line(notes, line);
  }
  const auto choose = [&](const std::vector<int>& from) {
    if (!rule.sum || from.empty()) return from.empty() ? -1 : from.front();
    const auto& cells = column(member, rule.summed_column).cells;
    return *std::min_element(from.begin(), from.end(), [&](int x, int y) { return cells[static_cast<std::size_t>(x)] < cells[static_cast<std::size_t>(y)]; });
  };
  const auto list = [&](std::string_view what, const std::vector<int>& from, int chosen) {
    std::string line(what);
    for (const int row : from) line += " " + cell(member, rule.summed_column, row);
    add_line(notes, line + (chosen < 0 ? " none" : " -> " + cell(member, rule.summed_column, chosen)));
  };
  const int one = choose(above);
  if (rule.sum) list("first", above, one);
  std::erase(rest, one);
  const int two = one < 0 ? -1 : choose(rest);
  if (rule.sum && one >= 0) list("second", rest, two);
  if (one < 0 || two < 0) {
    add_line(notes, "too few");
    return false;
  }
  rows[strict] = one;
  rows[other] = two;
  if (!rule.sum) return true;
  const auto& cells = column(member, rule.summed_column).cells;
  const Cell total = cells[static_cast<std::size_t>(one)] + cells[static_cast<std::size_t>(two)];
  const bool meets = compare_cells(rule.sum->op, total, rule.sum->value);
  add_line(notes, fmt::format("{}+{}={} {}{} {}", cell(member, rule.summed_column, one), cell(member, rule.summed_column, two), number_text(total), op_text(rule.sum->op), number_text(rule.sum->value),
                              meets ? "ok" : "no"));
  return meets;
}

bool TutorJudge::judge_rule(const TutorGroup& group, const TutorRule& rule, const std::string& place, std::vector<int>& rows, std::string& notes) const {
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    const TutorMember& member = group.members[i];
    if (rows[i] >= 0 || member.partner >= 0) continue;
    const auto all = rows_at(member, place);
    rows[i] = rule.single[i].empty() ? (all.empty() ? -1 : all.front()) : choose_single(group, i, rule.single[i], place, notes);
    if (rows[i] < 0) return false;
  }
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    const TutorMember& member = group.members[i];
    if (member.partner <= static_cast<int>(i)) continue;
    if (rule.asks_of_pair()) {
      if (!choose_pair(group, i, rule, place, rows, notes)) return false;
      continue;
    }
    const auto all = rows_at(member, place);
    if (all.size() < 2) return false;
    rows[i] = all[0];
    rows[static_cast<std::size_t>(member.partner)] = all[1];
  }
  return true;
}

TutorVerdict TutorJudge::judge(const TutorGroup& group, const std::string& place, int chosen_member, int chosen_row, std::string& notes) const {
  TutorVerdict verdict;
  std::vector<int> rows(group.members.size(), -1);
  if (chosen_member >= 0) rows[static_cast<std::size_t>(chosen_member)] = chosen_row;
  add_line(notes, fmt::format("{}, {}", place, group.name));
  if (group.branches.empty()) {
    verdict.fits = judge_rule(group, group.rule, place, rows, notes);
  } else {
    const auto guard = static_cast<std::size_t>(group.guard_member);
    const TutorMember& member = group.members[guard];
    std::vector<bool> failed(group.branches.size() + 1, false);
    for (const int row : rows_at(member, place)) {
      std::size_t branch = 0;
      while (branch < group.branches.size() && !group.branches[branch].guard.holds(column(member, group.branches[branch].guard.column).cells[static_cast<std::size_t>(row)])) ++branch;
      const bool none = branch == group.branches.size();
      const int guard_column = group.branches[none ? 0 : branch].guard.column;
      std::string line = fmt::format("{} {}{}", key(member, row), cell(member, guard_column, row), none ? " otherwise" : group.branches[branch].guard.text());
      const auto& asked = group.rule.single[guard];
      const bool meets = std::all_of(asked.begin(), asked.end(), [&](const auto& condition) { return condition.holds(column(member, condition.column).cells[static_cast<std::size_t>(row)]); });
      add_line(notes, line + (failed[branch] ? " failed" : meets ? "" : " no"));
      if (failed[branch] || !meets) continue;
      rows.assign(group.members.size(), -1);
      rows[guard] = row;
      verdict.fits = judge_rule(group, none ? group.rule : merged(group.rule, group.branches[branch].rule), place, rows, notes);
      if (verdict.fits) break;
      failed[branch] = true;
    }
  }
  if (!verdict.fits) {
    add_line(notes, fmt::format("{} not for {}", place, group.name));
    return verdict;
  }
  add_line(notes, fmt::format("{} for {}", place, group.name));
  for (std::size_t i = 0; i < group.members.size(); ++i) add_line(notes, fmt::format("{}={}", name(group.members[i]), key(group.members[i], rows[i])));
  verdict.rows = std::move(rows);
  return verdict;
}

}  // namespace gauntlet

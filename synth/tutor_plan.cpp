#include "synth/tutor_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "synth/additive.h"

namespace gauntlet {
namespace {

int table_of(const EnvSpec& spec, const std::string& entity) {
  const EntitySpec* found = spec.find_entity(entity);
  return found == nullptr ? -1 : static_cast<int>(found - spec.entities.data());
}

int column_of(const EnvSpec& spec, int table, const std::string& name) {
  const EntitySpec& entity = spec.entities[static_cast<std::size_t>(table)];
  const ColumnSpec* found = entity.find_column(name);
  return found == nullptr ? -1 : static_cast<int>(found - entity.columns.data());
}

/// Reads rules of one plan out of nodes; `ok` turns false at the first that it cannot say.
class Reader {
 public:
  Reader(const Problem& problem, const EnvSpec& spec, TutorPlan& plan) : problem_(problem), spec_(spec), plan_(plan) {}

  bool read() {
    if (problem_.sense != ObjectiveSense::None || !read_slots()) return false;
    for (const auto& node : problem_.constraints) {
      if (!read_constraint(node)) return false;
    }
    const auto fixed = static_cast<std::size_t>(std::count_if(plan_.groups.begin(), plan_.groups.end(), [](const auto& group) { return !group.fixed_place.empty(); }));
    if (plan_.groups.size() > 1 && (!places_differ_ || fixed == 0)) return false;
    return fixed >= 1 && plan_.groups.size() - fixed <= 3;
  }

 private:
  struct Where {
    int group = -1;
    int member = -1;  ///< -1: the place or the date
  };

  bool read_slots() {
    std::map<std::string, int> by_name;
    for (std::size_t i = 0; i < problem_.slots.size(); ++i) {
      const SlotSpec& slot = problem_.slots[i];
      const auto [it, added] = by_name.try_emplace(slot.group, static_cast<int>(plan_.groups.size()));
      if (added) plan_.groups.push_back({.name = slot.group});
      TutorGroup& group = plan_.groups[static_cast<std::size_t>(it->second)];
      const int number = static_cast<int>(i);
      if (slot.domain == SlotDomain::Dates && group.date_slot < 0) {
        group.date_slot = number;
      } else if (slot.domain == SlotDomain::Entity && slot.within.empty() && group.place_slot < 0) {
        group.place_slot = number;
        const int table = table_of(spec_, slot.entity);
        if (table < 0 || (plan_.place_table >= 0 && plan_.place_table != table)) return false;
        plan_.place_table = table;
      } else if (slot.domain == SlotDomain::Entity && slot.within.size() == 1 && group.place_slot >= 0 && slot.within[0].second == problem_.slots[static_cast<std::size_t>(group.place_slot)].id) {
        const int table = table_of(spec_, slot.entity);
        TutorMember member{.slot = number, .table = table, .within_column = table < 0 ? -1 : column_of(spec_, table, slot.within[0].first)};
        if (member.within_column < 0) return false;
        for (std::size_t other = 0; other < group.members.size(); ++other) {
          if (group.members[other].table != table) continue;
          if (group.members[other].partner >= 0) return false;  // three of one kind
          member.partner = static_cast<int>(other);
          group.members[other].partner = static_cast<int>(group.members.size());
        }
        where_[slot.id] = {.group = it->second, .member = static_cast<int>(group.members.size())};
        group.members.push_back(member);
        continue;
      } else {
        return false;
      }
      where_[slot.id] = {.group = it->second};
    }
    for (auto& group : plan_.groups) {
      if (group.place_slot < 0 || group.members.empty()) return false;
      const auto pairs = std::count_if(group.members.begin(), group.members.end(), [](const auto& member) { return member.partner >= 0; });
      if (pairs > 2 || !same_members(group, plan_.groups.front())) return false;
      group.rule.single.resize(group.members.size());
    }
    return !plan_.groups.empty();
  }

  /// A place is looked into for all groups at once, so all ask for the same.
  static bool same_members(const TutorGroup& a, const TutorGroup& b) {
    return std::equal(a.members.begin(), a.members.end(), b.members.begin(), b.members.end(), [](const TutorMember& x, const TutorMember& y) {
      return x.table == y.table && x.within_column == y.within_column && x.partner == y.partner;
    });
  }

  bool read_constraint(const Node& node) {
    if (node.kind == NodeKind::AllDifferent) {
      // Different places make all else different, and the members of a pair are chosen apart.
      std::size_t places = 0;
      for (const auto& child : node.children) {
        if (child.kind != NodeKind::SlotValue) return false;
        places += is_place(child.slot) ? 1 : 0;
      }
      if (places == plan_.groups.size()) places_differ_ = true;
      return true;
    }
    if (node.kind == NodeKind::Compare && node.op == CompareOp::Equal && node.children[0].kind == NodeKind::SlotValue && node.children[1].kind == NodeKind::Const) {
      const Where where = where_.at(node.children[0].slot);
      TutorGroup& group = plan_.groups[static_cast<std::size_t>(where.group)];
      const Constant& constant = node.children[1].constant;
      if (constant.type == ConstType::Text && is_place(node.children[0].slot)) {
        group.fixed_place = constant.text;
        return true;
      }
      if (constant.type != ConstType::Date || where.member >= 0) return false;
      group.date = format_date(constant.number / kCellScale);
      return true;
    }
    if (node.kind == NodeKind::IfThenElse) return read_branches(node);
    int group = -1;
    return find_group(node, group) && read_rule(node, group, plan_.groups[static_cast<std::size_t>(group)].rule);
  }

  bool is_place(const std::string& id) const {
    return std::any_of(plan_.groups.begin(), plan_.groups.end(), [&](const auto& group) { return problem_.slots[static_cast<std::size_t>(group.place_slot)].id == id; });
  }

  /// The one group whose members the node reads.
  bool find_group(const Node& node, int& group) const {
    if (node.kind == NodeKind::Attribute) {
      const Where where = where_.at(node.slot);
      if (where.member < 0 || (group >= 0 && group != where.group)) return false;
      group = where.group;
    }
    return std::all_of(node.children.begin(), node.children.end(), [&](const auto& child) { return find_group(child, group); }) && (group >= 0 || node.kind == NodeKind::Const);
  }

  bool bound_of(const Node& node, TutorCondition::Bound& bound) const {
    if (node.kind != NodeKind::Compare || node.op == CompareOp::Equal || node.op == CompareOp::NotEqual) return false;
    if (node.children[1].kind != NodeKind::Const || node.children[1].constant.type != ConstType::Number) return false;
    bound = {.op = node.op, .value = node.children[1].constant.number};
    return true;
  }

  int column(const TutorGroup& group, int member, const std::string& name) const { return column_of(spec_, group.members[static_cast<std::size_t>(member)].table, name); }

  static void add_bound(std::vector<TutorCondition>& conditions, int column, TutorCondition::Bound bound) {
    for (auto& condition : conditions) {
      if (condition.column == column) {
        condition.bounds.push_back(bound);
        return;
      }
    }
    conditions.push_back({.column = column, .bounds = {bound}});
  }

  bool read_rule(const Node& node, int group_number, TutorRule& rule) {
    const TutorGroup& group = plan_.groups[static_cast<std::size_t>(group_number)];
    if (node.kind == NodeKind::AllOf) {
      return std::all_of(node.children.begin(), node.children.end(), [&](const auto& child) { return read_rule(child, group_number, rule); });
    }
    if (node.kind == NodeKind::AtLeast || node.kind == NodeKind::AnyOf) return read_one_of(node, group, rule);
    TutorCondition::Bound bound;
    if (!bound_of(node, bound)) return false;
    const Node& value = node.children[0];
    if (value.kind == NodeKind::Attribute) {
      const int member = where_.at(value.slot).member, at = column(group, member, value.column);
      const int partner = group.members[static_cast<std::size_t>(member)].partner;
      if (at < 0) return false;
      if (partner < 0) {
        add_bound(rule.single[static_cast<std::size_t>(member)], at, bound);
        return true;
      }
      if (bound.op != CompareOp::GreaterEqual || (rule.rated_column >= 0 && rule.rated_column != at)) return false;
      rule.rated_column = at;
      auto& least = member < partner ? rule.first_at_least : rule.second_at_least;
      least = std::max(least.value_or(bound.value), bound.value);
      return true;
    }
    if (value.kind != NodeKind::Sum || value.children.size() != 2 || rule.sum || (bound.op != CompareOp::Less && bound.op != CompareOp::LessEqual)) return false;
    for (const auto& child : value.children) {
      if (child.kind != NodeKind::Attribute) return false;
    }
    const int a = where_.at(value.children[0].slot).member, b = where_.at(value.children[1].slot).member;
    if (group.members[static_cast<std::size_t>(a)].partner != b || value.children[0].column != value.children[1].column) return false;
    rule.summed_column = column(group, a, value.children[0].column);
    rule.sum = bound;
    return rule.summed_column >= 0;
  }

  bool read_one_of(const Node& node, const TutorGroup& group, TutorRule& rule) const {
    if ((node.kind == NodeKind::AtLeast && node.at_least != 1) || node.children.size() != 2 || rule.one_at_least) return false;
    std::set<int> members;
    for (const auto& child : node.children) {
      TutorCondition::Bound bound;
      if (!bound_of(child, bound) || bound.op != CompareOp::GreaterEqual || child.children[0].kind != NodeKind::Attribute) return false;
      const int member = where_.at(child.children[0].slot).member, at = column(group, member, child.children[0].column);
      if (group.members[static_cast<std::size_t>(member)].partner < 0 || at < 0 || (rule.rated_column >= 0 && rule.rated_column != at)) return false;
      if (rule.one_at_least && *rule.one_at_least != bound.value) return false;
      rule.rated_column = at;
      rule.one_at_least = bound.value;
      members.insert(member);
    }
    return members.size() == 2;
  }

  bool read_branches(const Node& node) {
    int number = -1;
    if (!find_group(node, number)) return false;
    TutorGroup& group = plan_.groups[static_cast<std::size_t>(number)];
    if (!group.branches.empty()) return false;
    for (const Node* at = &node; at != nullptr;) {
      if (at->kind != NodeKind::IfThenElse) return false;
      TutorBranch branch;
      branch.rule.single.resize(group.members.size());
      if (!read_guard(at->children[0], group, branch.guard) || !read_rule(at->children[1], number, branch.rule)) return false;
      if (!branch.rule.single[static_cast<std::size_t>(group.guard_member)].empty()) return false;
      group.branches.push_back(std::move(branch));
      at = at->children.size() > 2 ? &at->children[2] : nullptr;
    }
    return true;
  }

  bool read_guard(const Node& node, TutorGroup& group, TutorCondition& guard) const {
    if (node.kind == NodeKind::AllOf) {
      return std::all_of(node.children.begin(), node.children.end(), [&](const auto& child) { return read_guard(child, group, guard); });
    }
    TutorCondition::Bound bound;
    if (!bound_of(node, bound) || node.children[0].kind != NodeKind::Attribute) return false;
    const int member = where_.at(node.children[0].slot).member, at = column(group, member, node.children[0].column);
    if (at < 0 || group.members[static_cast<std::size_t>(member)].partner >= 0) return false;
    if ((group.guard_member >= 0 && group.guard_member != member) || (guard.column >= 0 && guard.column != at)) return false;
    group.guard_member = member;
    guard.column = at;
    guard.bounds.push_back(bound);
    return true;
  }

  const Problem& problem_;
  const EnvSpec& spec_;
  TutorPlan& plan_;
  std::map<std::string, Where> where_;
  bool places_differ_ = false;
};

}  // namespace

std::string_view op_text(CompareOp op) {
  switch (op) {
    case CompareOp::Equal: return "=";
    case CompareOp::NotEqual: return "!=";
    case CompareOp::Less: return "<";
    case CompareOp::LessEqual: return "<=";
    case CompareOp::Greater: return ">";
    case CompareOp::GreaterEqual: return ">=";
  }
  return "";
}

std::string number_text(Cell cell) { return fmt::format("{}", static_cast<double>(cell) / static_cast<double>(kCellScale)); }

bool TutorCondition::holds(Cell cell) const {
  return std::all_of(bounds.begin(), bounds.end(), [&](const Bound& bound) { return compare_cells(bound.op, cell, bound.value); });
}

std::string TutorCondition::text() const {
  std::string out;
  for (const auto& bound : bounds) out += fmt::format(" {}{}", op_text(bound.op), number_text(bound.value));
  return out;
}

std::optional<TutorPlan> tutor_plan(const Problem& problem, const EnvSpec& spec) {
  TutorPlan plan;
  if (!Reader(problem, spec, plan).read()) return std::nullopt;
  return plan;
}

std::string slot_name(const SlotSpec& slot) { return slot.path.substr(slot.path.rfind('/') + 1); }

}  // namespace gauntlet

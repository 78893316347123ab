// How the oracle looks into relations between rows (trains between cities, the weather of a day) before it compares whole plans.

#include <algorithm>

#include "synth/oracle.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxLookUps = 400;  ///< of one relation; beyond it only what candidates rest on is looked up

}  // namespace

/// What a node may be worth, as arguments of tools; nothing for what only an answer decides.
std::vector<Json> OracleAgent::possible_values(const Node& node) const {
  std::vector<Json> values;
  if (node.kind == NodeKind::Const) {
    if (node.constant.type == ConstType::Text) values.emplace_back(node.constant.text);
    if (node.constant.type == ConstType::Date) values.emplace_back(format_date(node.constant.number / kCellScale));
  } else if (node.kind == NodeKind::SlotValue) {
    const SlotSpec& slot = problem_.slots[static_cast<std::size_t>(problem_.find_slot(node.slot))];
    if (slot.domain == SlotDomain::Entity) {
      const int table = seen_.world().find_table(slot.entity);
      for (std::size_t row = 0; row < seen_.world().tables[static_cast<std::size_t>(table)].rows; ++row) values.emplace_back(key_text(table, static_cast<int>(row)));
    } else if (slot.domain == SlotDomain::Dates) {
      for (std::int64_t day = slot.from; day <= slot.to; ++day) values.emplace_back(format_date(day));
    } else if (slot.domain == SlotDomain::Texts) {
      for (const auto& text : slot.texts) values.emplace_back(text);
    }
  }
  return values;
}

/// The look-ups of every relation cell that the tree below `node` can read, as far as values of slots and constants lead there.
void OracleAgent::relation_calls(const Node& node, std::vector<PlannedCall>& calls) const {
  for (const auto& child : node.children) relation_calls(child, calls);
  if (node.kind != NodeKind::Linked && node.kind != NodeKind::Link) return;
  const int table = seen_.world().find_table(node.table);
  std::vector<int> columns;
  std::vector<std::vector<Json>> choices;
  std::size_t combinations = 1;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    columns.push_back(seen_.world().tables[static_cast<std::size_t>(table)].find_column(node.match_columns[i]));
    choices.push_back(possible_values(node.children[i]));
    combinations *= choices.back().size();
    if (combinations > kMaxLookUps) return;
  }
  for (std::size_t k = 0; k < combinations; ++k) {
    std::vector<Json> cells;
    std::size_t rest = k;
    for (const auto& choice : choices) {
      cells.push_back(choice[rest % choice.size()]);
      rest /= choice.size();
    }
    // A row linked to itself is asked for when a candidate rests on it.
    if (std::any_of(cells.begin(), cells.end(), [&](const Json& cell) { return std::count(cells.begin(), cells.end(), cell) > 1; })) continue;
    const auto call = planner_.look_up(table, columns, cells);
    if (call && !seen_.called(*call) && std::find(calls.begin(), calls.end(), *call) == calls.end()) calls.push_back(*call);
  }
}

}  // namespace gauntlet

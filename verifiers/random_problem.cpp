#include "verifiers/random_problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "verifiers/reference.h"

namespace gauntlet {
namespace {

constexpr std::string_view kSpec = R"({
  "format": "gauntlet.env/1", "name": "small", "family": "general", "locale": "en",
  "parameters": [
    {"name": "places", "type": "integer", "default": 4, "minimum": 3, "maximum": 6},
    {"name": "venues", "type": "integer", "default": 4, "minimum": 3, "maximum": 6},
    {"name": "routes", "type": "integer", "default": 4, "minimum": 3, "maximum": 6}],
  "entities": [
    {"name": "place", "key": "name", "description": "a place", "count": {"parameter": "places"}, "columns": [
      {"name": "name", "type": "text", "generator": {"kind": "name", "pattern": "{given} Town"}},
      {"name": "size", "type": "integer", "generator": {"kind": "range", "min": 1, "max": 5}},
      {"name": "kind", "type": "text", "generator": {"kind": "choice", "values": ["coast", "hill", "lake"]}},
      {"name": "founded", "type": "date", "generator": {"kind": "constant", "value": "2025-10-01"}},
      {"name": "open", "type": "boolean", "generator": {"kind": "boolean", "per_million": 500000}}]},
    {"name": "venue", "key": "name", "description": "a venue", "count": {"parameter": "venues"}, "columns": [
      {"name": "name", "type": "text", "generator": {"kind": "name", "pattern": "{given} Hall"}},
      {"name": "place", "type": "reference", "references": "place", "generator": {"kind": "row"}},
      {"name": "price", "type": "number", "decimals": 1, "unit": "EUR", "generator": {"kind": "range", "min": 1, "max": 4, "step": 0.5}},
      {"name": "stars", "type": "integer", "generator": {"kind": "range", "min": 1, "max": 4}},
      {"name": "kind", "type": "text", "generator": {"kind": "choice", "values": ["inn", "bar", "hill"]}},
      {"name": "built", "type": "date", "generator": {"kind": "constant", "value": "2025-10-01"}},
      {"name": "open", "type": "boolean", "generator": {"kind": "boolean", "per_million": 500000}}]},
    {"name": "route", "description": "a route", "count": {"parameter": "routes"}, "columns": [
      {"name": "origin", "type": "reference", "references": "place", "generator": {"kind": "row"}},
      {"name": "target", "type": "reference", "references": "place", "generator": {"kind": "row"}},
      {"name": "mode", "type": "text", "generator": {"kind": "choice", "values": ["train", "bus"]}},
      {"name": "cost", "type": "integer", "unit": "EUR", "generator": {"kind": "range", "min": 1, "max": 6}},
      {"name": "day", "type": "date", "generator": {"kind": "constant", "value": "2025-10-01"}}]}],
  "tools": [
    {"name": "list_places", "description": "All places.", "effect": "read", "parameters": {"type": "object", "properties": {}},
     "statements": ["SELECT name FROM place ORDER BY rowid"], "result": {"shape": "list", "columns": ["name"]},
     "reads": {"place": ["name"]}},
    {"name": "submit_result", "description": "Submit.", "effect": "submit", "parameters": {"type": "object",
     "properties": {"answer_text": {"type": "string"}}, "required": ["answer_text"]}}],
  "submit": {"tool": "submit_result", "argument": "answer_text"}})";

const EnvSpec& small_spec() {
  static const EnvSpec spec = parse_env_spec(parse_json(kSpec, "small"), "small");
  return spec;
}

/// What a value is about: values of one sort are worth comparing.
enum class Sort { Number, Date, Boolean, Place, Venue, Kind, Mode };

struct Column {
  std::string_view table;
  std::string_view name;
  Sort sort;
};

constexpr std::array<Column, 17> kColumns = {{
    {"place", "name", Sort::Place},    {"place", "size", Sort::Number},  {"place", "kind", Sort::Kind},    {"place", "founded", Sort::Date},
    {"place", "open", Sort::Boolean},  {"venue", "name", Sort::Venue},   {"venue", "place", Sort::Place},  {"venue", "price", Sort::Number},
    {"venue", "stars", Sort::Number},  {"venue", "kind", Sort::Kind},    {"venue", "built", Sort::Date},   {"venue", "open", Sort::Boolean},
    {"route", "origin", Sort::Place},  {"route", "target", Sort::Place}, {"route", "mode", Sort::Mode},    {"route", "cost", Sort::Number},
    {"route", "day", Sort::Date},
}};

constexpr std::int64_t kFirstDay = 20362;  // 2025-10-01

/// A copy of the world with other dates, and cells without content in one world of two.
std::shared_ptr<const World> vary(const World& built, Rng& rng) {
  auto world = std::make_shared<World>(built);
  const std::uint32_t empty = rng.chance(500'000) ? 150'000 : 0;
  for (auto& table : world->tables) {
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      if (static_cast<int>(c) == table.key_column) continue;
      for (Cell& cell : table.columns[c].cells) {
        if (table.columns[c].type == ColumnType::Date) cell = (kFirstDay + rng.range(0, 3)) * kCellScale;
        if (rng.chance(empty)) cell = kUnknownCell;
      }
    }
  }
  world->index_keys();
  return world;
}

std::vector<std::string> names(const World& world, std::string_view entity) {
  std::vector<std::string> found;
  const auto& table = world.tables[static_cast<std::size_t>(world.find_table(entity))];
  for (const Cell cell : table.columns[static_cast<std::size_t>(table.key_column)].cells) {
    found.push_back(world.symbols.text(static_cast<std::int32_t>(cell)));
  }
  return found;
}

class Maker {
 public:
  Maker(const World& world, Rng& rng) : world_(world), rng_(rng) {}

  Problem make() {
    const bool grouped = rng_.chance(500'000);
    const auto slots = static_cast<std::size_t>(rng_.range(2, 5));
    for (std::size_t i = 0; i < slots; ++i) add_slot(i, grouped);
    // The assignment that a problem is made around; without one nothing is known of its answers.
    const bool planted = rng_.chance(667'000);
    if (planted) {
      std::vector<Json> values;
      for (const auto& choice : slot_choices(problem_, world_)) values.push_back(rng_.pick(choice));
      witness_ = answer_with(problem_, values);
    }
    add_within(planted);
    const auto constraints = rng_.range(1, 5);
    for (std::int64_t i = 0; i < constraints; ++i) {
      for (int attempt = 0; attempt < 4; ++attempt) {
        Node node = predicate(rng_.chance(300'000) ? 3 : 2);
        if (planted && !reference_predicate(problem_, world_, witness_, node)) continue;
        problem_.constraints.push_back(std::move(node));
        break;
      }
    }
    if (rng_.chance(250'000)) {
      problem_.sense = rng_.chance(500'000) ? ObjectiveSense::Minimise : ObjectiveSense::Maximise;
      problem_.objective = value(rng_.chance(850'000) ? Sort::Number : Sort::Date, 2);
    }
    return std::move(problem_);
  }

 private:
  void add_slot(std::size_t number, bool grouped) {
    SlotSpec slot;
    const std::size_t group = number / 2;
    slot.id = fmt::format("s{}", number);
    slot.path = grouped ? fmt::format("/{}/s{}", group, number % 2) : fmt::format("/s{}", number);
    if (grouped) slot.group = fmt::format("day {}", group + 1);
    const std::string letter(1, static_cast<char>('A' + number));
    switch (rng_.weighted({4, 5, 1, 2, 2})) {
      case 0:
        slot.entity = "place";
        slot.noun = "place " + letter;
        break;
      case 1:
        slot.entity = "venue";
        slot.noun = "venue " + letter;
        break;
      case 2:
        slot.domain = SlotDomain::Texts;
        slot.texts = {"train", "bus", "ferry"};  // the last is in no world
        slot.noun = "mode " + letter;
        break;
      case 3:
        slot.domain = SlotDomain::Dates;
        slot.from = kFirstDay + rng_.range(0, 1);
        slot.to = slot.from + rng_.range(0, 3);
        slot.noun = "date " + letter;
        break;
      default:
        slot.domain = SlotDomain::Integers;
        slot.from = rng_.range(-1, 2);
        slot.to = slot.from + rng_.range(0, 4);
        slot.noun = "number " + letter;
    }
    problem_.slots.push_back(std::move(slot));
  }

  /// Venues that lie in the place of a place slot; only true ones around a witness.
  void add_within(bool planted) {
    for (std::size_t i = 0; i < problem_.slots.size(); ++i) {
      if (problem_.slots[i].entity != "venue") continue;
      for (const auto& parent : problem_.slots) {
        if (parent.entity != "place" || !rng_.chance(500'000)) continue;
        Node rule = compare(CompareOp::Equal, attribute(problem_.slots[i].id, "place"), slot_value(parent.id));
        if (planted && !reference_predicate(problem_, world_, witness_, rule)) continue;
        problem_.slots[i].within.emplace_back("place", parent.id);
        break;
      }
    }
  }

  static Node node_of(NodeKind kind) {
    Node node;
    node.kind = kind;
    return node;
  }

  static Node slot_value(const std::string& id) {
    Node node = node_of(NodeKind::SlotValue);
    node.slot = id;
    return node;
  }

  static Node attribute(const std::string& id, std::string_view column) {
    Node node = node_of(NodeKind::Attribute);
    node.slot = id;
    node.column = column;
    return node;
  }

  static Node compare(CompareOp op, Node left, Node right) {
    Node node = node_of(NodeKind::Compare);
    node.op = op;
    node.children = {std::move(left), std::move(right)};
    return node;
  }

  Constant constant(Sort sort) {
    switch (sort) {
      case Sort::Number: return {.type = ConstType::Number, .number = rng_.range(-2, 16) * (kCellScale / 2), .text = ""};
      case Sort::Date: return {.type = ConstType::Date, .number = (kFirstDay + rng_.range(-1, 5)) * kCellScale, .text = ""};
      case Sort::Boolean: return {.type = ConstType::Boolean, .number = rng_.chance(500'000) ? kCellScale : 0, .text = ""};
      case Sort::Kind: return {.type = ConstType::Text, .number = 0, .text = rng_.pick<std::string>({"coast", "hill", "lake", "inn", "bar", "moor"})};
      case Sort::Mode: return {.type = ConstType::Text, .number = 0, .text = rng_.pick<std::string>({"train", "bus", "ferry", "mule"})};
      case Sort::Place:
      case Sort::Venue: break;
    }
    auto known = names(world_, sort == Sort::Place ? "place" : "venue");
    known.emplace_back("Nowhere");
    return {.type = ConstType::Text, .number = 0, .text = rng_.pick(known)};
  }

  /// Slots and columns of slots' rows that hold values of this sort.
  std::vector<Node> leaves(Sort sort) const {
    std::vector<Node> found;
    for (const auto& slot : problem_.slots) {
      const Sort own = slot.domain == SlotDomain::Dates      ? Sort::Date
                       : slot.domain == SlotDomain::Integers ? Sort::Number
                       : slot.domain == SlotDomain::Texts    ? Sort::Mode
                       : slot.entity == "place"              ? Sort::Place
                                                             : Sort::Venue;
      if (own == sort) found.push_back(slot_value(slot.id));
      for (const auto& column : kColumns) {
        if (column.table == slot.entity && column.sort == sort) found.push_back(attribute(slot.id, column.name));
      }
    }
    return found;
  }

  Node leaf(Sort sort) {
    const auto found = leaves(sort);
    if (!found.empty() && rng_.chance(850'000)) return rng_.pick(found);
    Node node = node_of(NodeKind::Const);
    node.constant = constant(sort);
    return node;
  }

  /// Fills table, match columns and operands of a link or linked node.
  void match(Node& node, std::string_view table, int depth) {
    std::vector<Column> columns;
    for (const auto& column : kColumns) {
      if (column.table == table) columns.push_back(column);
    }
    rng_.shuffle(columns);
    columns.resize(static_cast<std::size_t>(rng_.range(1, 2)));
    node.table = table;
    for (const auto& column : columns) {
      node.match_columns.emplace_back(column.name);
      node.children.push_back(value(column.sort, depth - 1));
    }
  }

  /// A link reads numbers or dates of any number of rows, or a text of the one row that a key names.
  Node link(Sort sort, int depth) {
    std::vector<Column> columns;
    const bool many = sort == Sort::Number || sort == Sort::Date;
    for (const auto& column : kColumns) {
      if (column.sort == sort && (many || column.table != "route") && column.name != "name") columns.push_back(column);
    }
    if (columns.empty()) return leaf(sort);
    const Column column = rng_.pick(columns);
    Node node = node_of(NodeKind::Link);
    node.column = column.name;
    if (many) {
      // A sum of dates means nothing.
      node.aggregate = static_cast<Aggregate>(rng_.below(sort == Sort::Number ? 3 : 2));
      match(node, column.table, depth);
    } else {
      node.table = column.table;
      node.match_columns = {"name"};
      node.children.push_back(value(column.table == "place" ? Sort::Place : Sort::Venue, depth - 1));
    }
    return node;
  }

  std::vector<Node> values(Sort sort, int depth, std::int64_t least) {
    std::vector<Node> out(static_cast<std::size_t>(rng_.range(least, 3)));
    for (auto& node : out) node = value(sort, depth);
    return out;
  }

  std::vector<Node> predicates(int depth) {
    std::vector<Node> out(static_cast<std::size_t>(rng_.range(1, 3)));
    for (auto& node : out) node = predicate(depth);
    return out;
  }

  Node value(Sort sort, int depth) {
    if (depth <= 0 || rng_.chance(450'000)) return leaf(sort);
    if (sort != Sort::Number && sort != Sort::Date) return rng_.chance(400'000) ? link(sort, depth) : leaf(sort);
    const std::size_t kinds = sort == Sort::Number ? 6 : 3;
    switch (rng_.below(kinds)) {
      case 0: return link(sort, depth);
      case 1:
      case 2: {
        Node node = node_of(rng_.chance(500'000) ? NodeKind::Min : NodeKind::Max);
        node.children = values(sort, depth - 1, 1);
        return node;
      }
      case 3: {
        Node node = node_of(NodeKind::Count);
        node.children = predicates(depth - 1);
        return node;
      }
      case 4: {
        Node node = node_of(NodeKind::Difference);
        const Sort operands = rng_.chance(500'000) ? Sort::Number : Sort::Date;
        node.children = {value(operands, depth - 1), value(operands, depth - 1)};
        return node;
      }
      default: {
        Node node = node_of(NodeKind::Sum);
        node.children = values(Sort::Number, depth - 1, 1);
        return node;
      }
    }
  }

  Sort any_sort() { return static_cast<Sort>(rng_.weighted({5, 3, 1, 2, 1, 2, 1})); }

  Node predicate(int depth) {
    Node node;
    switch (depth <= 0 ? rng_.below(5) : rng_.below(11)) {
      case 0:
      case 1: {
        const Sort sort = any_sort();
        const bool ordered = sort == Sort::Number || sort == Sort::Date;
        const auto op = static_cast<CompareOp>(rng_.below(ordered ? 6 : 2));
        return compare(op, value(sort, depth), value(sort, depth));
      }
      case 2: {
        const Sort sort = any_sort();
        node.kind = NodeKind::Member;
        node.children.push_back(value(sort, depth));
        const auto count = rng_.range(1, 3);
        for (std::int64_t i = 0; i < count; ++i) node.members.push_back(constant(sort));
        return node;
      }
      case 3:
        node.kind = NodeKind::AllDifferent;
        node.children = values(any_sort(), depth, 2);
        return node;
      case 4:
        node.kind = NodeKind::Linked;
        match(node, rng_.pick<std::string_view>({"place", "venue", "route", "route"}), depth);
        return node;
      case 5:
      case 6:
        node.kind = NodeKind::IfThenElse;
        node.children = {predicate(depth - 1), predicate(depth - 1)};
        if (rng_.chance(500'000)) node.children.push_back(predicate(depth - 1));
        return node;
      case 7: node.kind = NodeKind::AllOf; break;
      case 8: node.kind = NodeKind::AnyOf; break;
      case 9:
        node.kind = NodeKind::AtLeast;
        node.children = predicates(depth - 1);
        node.at_least = static_cast<int>(rng_.range(1, static_cast<std::int64_t>(node.children.size())));
        return node;
      default:
        node.kind = NodeKind::Not;
        node.children = {predicate(depth - 1)};
        return node;
    }
    node.children = predicates(depth - 1);
    return node;
  }

  const World& world_;
  Rng& rng_;
  Problem problem_;
  Json witness_;
};

}  // namespace

std::vector<std::vector<Json>> slot_choices(const Problem& problem, const World& world) {
  std::vector<std::vector<Json>> choices(problem.slots.size());
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const SlotSpec& slot = problem.slots[i];
    if (slot.domain == SlotDomain::Entity) {
      for (const auto& name : names(world, slot.entity)) choices[i].emplace_back(name);
    } else if (slot.domain == SlotDomain::Texts) {
      for (const auto& text : slot.texts) choices[i].emplace_back(text);
    } else {
      for (auto value = slot.from; value <= slot.to; ++value) {
        choices[i].push_back(slot.domain == SlotDomain::Dates ? Json(format_date(value)) : Json(value));
      }
    }
  }
  return choices;
}

Json answer_with(const Problem& problem, const std::vector<Json>& values) {
  Json answer;
  for (std::size_t i = 0; i < values.size(); ++i) answer[Json::json_pointer(problem.slots[i].path)] = values[i];
  return answer;
}

RandomProblem random_problem(Rng& rng) {
  RandomProblem out{.spec = small_spec(), .world = nullptr, .problem = {}};
  const WorldKey key{.seed = rng.next(),
                     .parameters = {{"places", rng.range(3, 6)}, {"venues", rng.range(3, 6)}, {"routes", rng.range(3, 6)}},
                     .edits = Json::array()};
  out.world = vary(*build_world(out.spec, key), rng);
  out.problem = Maker(*out.world, rng).make();
  return out;
}

}  // namespace gauntlet

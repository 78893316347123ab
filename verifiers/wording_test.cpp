#include "verifiers/wording.h"

#include <doctest/doctest.h>

#include <map>

#include "core/error.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/render.h"

namespace gauntlet {

namespace {

/// Three days of the trip planning environment.
struct Trip {
  EnvSpec spec = load_builtin_domain("trip_planning");
  Problem problem;

  Trip() {
    Json slots = Json::array();
    for (int day = 1; day <= 3; ++day) {
      const auto add = [&](const std::string& id, const std::string& noun, const std::string& entity) {
        Json slot = {{"id", fmt_id(day, id)}, {"path", "/" + std::to_string(day - 1) + "/" + id}, {"group", "day " + std::to_string(day)},
                     {"noun", noun}, {"entity", entity}};
        if (entity != "city") slot["within"] = {{"city", fmt_id(day, "city")}};
        slots.push_back(slot);
      };
      add("city", "city", "city");
      add("hotel", "hotel", "hotel");
      add("lunch", "afternoon restaurant", "restaurant");
      add("dinner", "evening restaurant", "restaurant");
      add("sight", "attraction", "attraction");
    }
    problem = parse_problem({{"slots", slots}, {"constraints", Json::array()}}, "");
  }

  static std::string fmt_id(int day, const std::string& id) { return "day" + std::to_string(day) + "." + id; }
  std::string say(const char* node) const { return render_constraint(parse_node(parse_json(node, "node"), ""), problem, spec, "en"); }
};

/// The nodes of a tree, to change one.
void collect(Node& node, std::vector<Node*>& out) {
  out.push_back(&node);
  for (auto& child : node.children) collect(child, out);
}

/// One change that may give another meaning and keeps the types; false if this node has none of that sort.
bool change(Node& node, const Problem& problem, const World& world, Rng& rng) {
  const auto drop_child = [&](std::size_t least) {
    if (node.children.size() <= least) return false;
    node.children.erase(node.children.begin() + static_cast<std::ptrdiff_t>(rng.below(node.children.size())));
    node.at_least = std::min(node.at_least, static_cast<int>(node.children.size()));
    return true;
  };
  switch (node.kind) {
    case NodeKind::Const:
      if (node.constant.type == ConstType::Text) node.constant.text += "x";
      if (node.constant.type == ConstType::Boolean) node.constant.number = kCellScale - node.constant.number;
      if (node.constant.type == ConstType::Number) node.constant.number += rng.chance(500'000) ? kCellScale : 1;
      if (node.constant.type == ConstType::Date) node.constant.number += kCellScale;
      return true;
    case NodeKind::SlotValue:
    case NodeKind::Attribute: {
      const SlotSpec& own = problem.slots[static_cast<std::size_t>(problem.find_slot(node.slot))];
      if (node.kind == NodeKind::Attribute && rng.chance(500'000)) {
        const auto& table = world.tables[static_cast<std::size_t>(world.find_table(own.entity))];
        const auto& other = rng.pick(table.columns);
        const auto type = table.columns[static_cast<std::size_t>(table.find_column(node.column))].type;
        if (other.name == node.column || other.type != type) return false;
        node.column = other.name;
        return true;
      }
      const SlotSpec& other = rng.pick(problem.slots);
      if (other.id == own.id || other.domain != own.domain || other.entity != own.entity) return false;
      node.slot = other.id;
      return true;
    }
    case NodeKind::Link:
      node.aggregate = node.aggregate == Aggregate::Min ? Aggregate::Max : Aggregate::Min;
      return true;
    case NodeKind::Min:
    case NodeKind::Max:
      if (rng.chance(500'000)) return drop_child(1);
      node.kind = node.kind == NodeKind::Min ? NodeKind::Max : NodeKind::Min;
      return true;
    case NodeKind::Sum:
    case NodeKind::Count: return drop_child(1);
    case NodeKind::Difference: std::swap(node.children[0], node.children[1]); return true;
    case NodeKind::Compare:
      if (rng.chance(300'000)) {
        std::swap(node.children[0], node.children[1]);
      } else if (node.op == CompareOp::Equal || node.op == CompareOp::NotEqual) {
        node.op = node.op == CompareOp::Equal ? CompareOp::NotEqual : CompareOp::Equal;
      } else {
        node.op = static_cast<CompareOp>(2 + rng.below(4));
      }
      return true;
    case NodeKind::Member: node.members.pop_back(); return !node.members.empty();
    case NodeKind::AllDifferent: return drop_child(2);
    case NodeKind::Linked: {
      if (node.children.size() < 2) return false;
      node.children.pop_back();
      node.match_columns.pop_back();
      return true;
    }
    case NodeKind::IfThenElse:
      if (node.children.size() == 3 && rng.chance(500'000)) {
        node.children.pop_back();
      } else {
        std::swap(node.children[rng.below(2)], node.children.back());
      }
      return true;
    case NodeKind::AllOf:
    case NodeKind::AnyOf:
      if (rng.chance(400'000)) return drop_child(1);
      node.kind = node.kind == NodeKind::AllOf ? NodeKind::AnyOf : NodeKind::AllOf;
      return true;
    case NodeKind::AtLeast:
      if (rng.chance(400'000)) return drop_child(1);
      node.at_least = 1 + static_cast<int>(rng.below(node.children.size()));
      return true;
    case NodeKind::Not: {
      const Node child = node.children[0];
      node = child;
      return true;
    }
  }
  return false;
}

/// Brackets put in other places: [A and B] or C against A and [B or C], and the like.
bool regroup(Node& node) {
  if (!is_predicate(node.kind) || node.children.size() < 2) return false;
  Node& last = node.children.back();
  const bool lists = (node.kind == NodeKind::AllOf || node.kind == NodeKind::AnyOf) && (last.kind == NodeKind::AllOf || last.kind == NodeKind::AnyOf);
  if (!lists || last.children.size() < 2) return false;
  Node moved = last.children.back();
  last.children.pop_back();
  node.children.push_back(std::move(moved));
  return true;
}

std::vector<Json> random_answers(const Problem& problem, const World& world, Rng& rng) {
  const auto choices = slot_choices(problem, world);
  std::vector<Json> answers;
  for (int i = 0; i < 60; ++i) {
    std::vector<Json> values;
    for (const auto& choice : choices) values.push_back(rng.pick(choice));
    answers.push_back(answer_with(problem, values));
  }
  return answers;
}

}  // namespace

TEST_CASE_FIXTURE(Trip, "bounds say whether they are included") {
  CHECK(say(R"({"<": [{"attr": "price", "of": "day1.hotel"}, {"const": 500}]})") == "The price of the hotel on day 1 must be less than 500 CNY per night");
  CHECK(say(R"({"<=": [{"attr": "price", "of": "day1.hotel"}, {"const": 500}]})") == "The price of the hotel on day 1 must be at most 500 CNY per night");
  CHECK(say(R"({">": [{"attr": "rating", "of": "day2.lunch"}, {"const": 4.5}]})") == "The rating of the afternoon restaurant on day 2 must be more than 4.5");
  CHECK(say(R"({">=": [{"attr": "price", "of": "day1.sight"}, {"const": 20}]})") == "The ticket price of the attraction on day 1 must be at least 20 CNY per ticket");
  CHECK(say(R"({">=": [{"const": 500}, {"attr": "price", "of": "day1.hotel"}]})") == "The price of the hotel on day 1 must be at most 500 CNY per night");
}

TEST_CASE_FIXTURE(Trip, "half-open brackets of prices are said as such") {
  CHECK(say(R"({"all": [{">=": [{"attr": "price", "of": "day1.hotel"}, {"const": 200}]}, {"<": [{"attr": "price", "of": "day1.hotel"}, {"const": 500}]}]})") ==
        "The price of the hotel on day 1 must be at least 200 and less than 500 CNY per night");
  CHECK(say(R"({"all": [{">": [{"attr": "price", "of": "day1.hotel"}, {"const": 200}]}, {"<=": [{"attr": "price", "of": "day1.hotel"}, {"const": 500}]}]})") ==
        "The price of the hotel on day 1 must be more than 200 and at most 500 CNY per night");
}

TEST_CASE_FIXTURE(Trip, "the paper's conditional budget reads with its condition and both branches") {
  CHECK(say(R"({"if": {"all": [{">=": [{"attr": "price", "of": "day2.hotel"}, {"const": 500}]}, {"<": [{"attr": "price", "of": "day2.hotel"}, {"const": 800}]}]},
                "then": {"all": [
                  {"<": [{"sum": [{"attr": "price", "of": "day2.lunch"}, {"attr": "price", "of": "day2.dinner"}]}, {"const": 350}]},
                  {">=": [{"attr": "rating", "of": "day2.lunch"}, {"const": 4}]}]},
                "else": {"<": [{"attr": "price", "of": "day2.sight"}, {"const": 120}]}})") ==
        "If the price of the hotel on day 2 is at least 500 and less than 800 CNY per night, then the sum of the price of the afternoon restaurant on day 2 "
        "and the price of the evening restaurant on day 2 must be less than 350 CNY; and the rating of the afternoon restaurant on day 2 must be at least 4; "
        "otherwise, the ticket price of the attraction on day 2 must be less than 120 CNY per ticket");
}

TEST_CASE_FIXTURE(Trip, "what repeats over the days is said once") {
  CHECK(say(R"({"all_different": [{"slot": "day1.city"}, {"slot": "day2.city"}, {"slot": "day3.city"}]})") ==
        "No two of day 1 to day 3 may have the same city");
  CHECK(say(R"({"all_different": [{"slot": "day1.city"}, {"slot": "day2.city"}]})") == "Day 1 and day 2 must not have the same city");
  CHECK(say(R"({"all_different": [{"attr": "cuisine", "of": "day1.lunch"}, {"attr": "cuisine", "of": "day2.lunch"}, {"attr": "cuisine", "of": "day3.lunch"}]})") ==
        "No two of day 1 to day 3 may have the same cuisine of the afternoon restaurant");
  CHECK(say(R"({"all_different": [{"slot": "day1.lunch"}, {"slot": "day1.dinner"}, {"slot": "day2.lunch"}, {"slot": "day2.dinner"}]})") ==
        "Taken over day 1 and day 2 together, the afternoon restaurant and the evening restaurant must all be different from one another");
  CHECK(say(R"({"<=": [{"sum": [{"attr": "price", "of": "day1.hotel"}, {"attr": "price", "of": "day2.hotel"}, {"attr": "price", "of": "day3.hotel"}]}, {"const": 2000}]})") ==
        "The total over day 1 to day 3 of the price of the hotel must be at most 2000 CNY");
}

TEST_CASE_FIXTURE(Trip, "links, memberships, counts and negations read plainly") {
  CHECK(say(R"({"linked": "inter_city_transport", "match": {"from_city": {"slot": "day1.city"}, "to_city": {"slot": "day2.city"}, "mode": {"const": "train"}}})") ==
        "There must be direct transport between two cities with (from city: the city on day 1; to city: the city on day 2; mode: \"train\")");
  CHECK(say(R"({"not": {"linked": "inter_city_transport", "match": {"from_city": {"slot": "day1.city"}, "to_city": {"slot": "day2.city"}}}})") ==
        "There must not be any direct transport between two cities with (from city: the city on day 1; to city: the city on day 2)");
  CHECK(say(R"({"<=": [{"link": "inter_city_transport", "match": {"from_city": {"slot": "day1.city"}, "to_city": {"slot": "day2.city"}}, "attr": "price"}, {"const": 300}]})") ==
        "The lowest price of any direct transport between two cities with (from city: the city on day 1; to city: the city on day 2) must be at most 300 CNY per ticket");
  CHECK(say(R"({"!=": [{"link": "weather", "match": {"city": {"slot": "day1.city"}, "date": {"const": "2025-10-01", "type": "date"}}, "attr": "condition"}, {"const": "rain"}]})") ==
        "The condition of the weather forecast of a city and date with (city: the city on day 1; date: 2025-10-01) must not be \"rain\"");
  CHECK(say(R"({"in": [{"attr": "cuisine", "of": "day1.dinner"}, ["Sichuan", "Hunan"]]})") ==
        "The cuisine of the evening restaurant on day 1 must be one of \"Sichuan\" or \"Hunan\"");
  CHECK(say(R"({"at_least": 2, "of": [{"==": [{"attr": "setting", "of": "day1.sight"}, {"const": "indoor"}]}, {"==": [{"attr": "setting", "of": "day2.sight"}, {"const": "indoor"}]}, {"==": [{"attr": "setting", "of": "day3.sight"}, {"const": "indoor"}]}]})") ==
        "At least 2 of the following must be true: (a) the setting of the attraction on day 1 is \"indoor\"; (b) the setting of the attraction on day 2 is \"indoor\"; "
        "(c) the setting of the attraction on day 3 is \"indoor\"");
  CHECK(say(R"({"not": {"any": [{"==": [{"slot": "day1.city"}, {"const": "Suzhou"}]}]}})") ==
        "It must not be the case that [at least one of the following is true: (a) the city on day 1 is \"Suzhou\"]");
}

TEST_CASE_FIXTURE(Trip, "an inner conditional stands in brackets, so that its otherwise is its own") {
  const char* a = R"({"if": {"==": [{"slot": "day1.city"}, {"const": "A"}]}, "then": {"if": {"==": [{"slot": "day2.city"}, {"const": "B"}]}, "then": {"==": [{"slot": "day3.city"}, {"const": "C"}]}}, "else": {"==": [{"slot": "day3.city"}, {"const": "D"}]}})";
  const char* b = R"({"if": {"==": [{"slot": "day1.city"}, {"const": "A"}]}, "then": {"if": {"==": [{"slot": "day2.city"}, {"const": "B"}]}, "then": {"==": [{"slot": "day3.city"}, {"const": "C"}]}, "else": {"==": [{"slot": "day3.city"}, {"const": "D"}]}}})";
  CHECK(say(a) ==
        "If the city on day 1 is \"A\", then [if the city on day 2 is \"B\", then the city on day 3 must be \"C\"]; otherwise, the city on day 3 must be \"D\"");
  CHECK(say(b) ==
        "If the city on day 1 is \"A\", then [if the city on day 2 is \"B\", then the city on day 3 must be \"C\"; otherwise, the city on day 3 must be \"D\"]");
}

TEST_CASE("slots that share noun and group are told apart by their place in the answer") {
  Rng rng(1);
  RandomProblem made = random_problem(rng);
  made.problem.slots.resize(2);
  for (auto& slot : made.problem.slots) slot.noun = "thing";
  made.problem.slots[0].group = made.problem.slots[1].group = "";
  const Wording wording(made.problem, made.spec, "en");
  CHECK(wording.slot_name("s0") == "the thing (at " + made.problem.slots[0].path + " in the answer)");
  CHECK(wording.slot_name("s0") != wording.slot_name("s1"));
}

TEST_CASE("two constraints that read the same are satisfied by the same answers") {
  std::size_t different = 0;
  std::size_t same = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    if (made.problem.constraints.empty()) continue;
    const Node& original = rng.pick(made.problem.constraints);
    const std::string text = render_constraint(original, made.problem, made.spec, "en");
    CHECK(text == render_constraint(original, made.problem, made.spec, "en"));
    const auto answers = random_answers(made.problem, *made.world, rng);
    for (int attempt = 0; attempt < 8; ++attempt) {
      Node mutant = original;
      std::vector<Node*> nodes;
      collect(mutant, nodes);
      Node& target = *rng.pick(nodes);
      if (!(attempt == 0 ? regroup(target) : change(target, made.problem, *made.world, rng))) continue;
      if (render_constraint(mutant, made.problem, made.spec, "en") != text) {
        ++different;
        continue;
      }
      ++same;
      INFO(text);
      INFO(dump_json(to_json(original)));
      INFO(dump_json(to_json(mutant)));
      for (const auto& answer : answers) {
        CHECK(reference_predicate(made.problem, *made.world, answer, original) == reference_predicate(made.problem, *made.world, answer, mutant));
      }
    }
  }
  CHECK(different > 10'000);
  CHECK(same > 20);  // a comparison turned round, a list of one: the same said in the same words
}

}  // namespace gauntlet

// The solver against Z3, which knows nothing of our code: problems are encoded from their text form over finite domains, tables
// as chains of if-then-else. Compiled only where Z3 is installed.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <z3++.h>

#include <map>

#include "synth/blueprint.h"
#include "synth/solver.h"
#include "verifiers/random_problem.h"

namespace gauntlet {

namespace {

/// A value with the condition under which it is defined. Texts are numbered, all else is in thousandths.
struct Term {
  z3::expr value;
  z3::expr defined;
};

class Encoding {
 public:
  Encoding(const Problem& problem, const World& world) : problem_(problem), world_(world), solver_(context_) {
    for (const auto& slot : problem.slots) {
      z3::expr variable = context_.int_const(slot.id.c_str());
      const std::int64_t size = slot.domain == SlotDomain::Entity  ? static_cast<std::int64_t>(table(slot.entity).rows)
                                : slot.domain == SlotDomain::Texts ? static_cast<std::int64_t>(slot.texts.size())
                                                                   : slot.to - slot.from + 1;
      solver_.add(variable >= 0 && variable < context_.int_val(size));
      variables_.push_back(variable);
    }
    for (const auto& slot : problem.slots) {
      for (const auto& [column, target] : slot.within) {
        const Term own = attribute(slot, column);
        const Term other = slot_value(slot_of(target));
        solver_.add(own.defined && other.defined && own.value == other.value);
      }
    }
    for (const auto& node : problem.constraints) solver_.add(holds(node));
  }

  bool satisfiable() { return solver_.check() == z3::sat; }

  /// Models up to `cap`, each blocked once found.
  std::uint64_t count(std::uint64_t cap) {
    solver_.push();
    if (problem_.sense != ObjectiveSense::None) {
      const auto best = optimum();
      if (!best) {
        solver_.pop();
        return 0;
      }
      const Term reached = value(problem_.objective);
      solver_.add(reached.defined && reached.value == number(*best));
    }
    std::uint64_t found = 0;
    while (found < cap && solver_.check() == z3::sat) {
      ++found;
      const z3::model model = solver_.get_model();
      z3::expr other = context_.bool_val(false);
      for (const auto& variable : variables_) other = other || variable != model.eval(variable, true);
      solver_.add(other);
    }
    solver_.pop();
    return found;
  }

  /// The best defined value of the objective, by asking for better ones until there is none.
  std::optional<Cell> optimum() {
    const Term reached = value(problem_.objective);
    solver_.push();
    solver_.add(reached.defined);
    std::optional<Cell> best;
    while (solver_.check() == z3::sat) {
      best = solver_.get_model().eval(reached.value, true).get_numeral_int64();
      solver_.add(problem_.sense == ObjectiveSense::Minimise ? reached.value < number(*best) : reached.value > number(*best));
    }
    solver_.pop();
    return best;
  }

 private:
  z3::expr number(Cell cell) { return context_.int_val(static_cast<std::int64_t>(cell)); }
  z3::expr yes(bool is) { return context_.bool_val(is); }

  std::int64_t text_number(const std::string& text) {
    return texts_.try_emplace(text, static_cast<std::int64_t>(texts_.size())).first->second;
  }

  const WorldTable& table(const std::string& name) const {
    for (const auto& candidate : world_.tables) {
      if (candidate.name == name) return candidate;
    }
    throw std::runtime_error("no table " + name);
  }

  static const WorldColumn& column(const WorldTable& data, const std::string& name) {
    for (const auto& candidate : data.columns) {
      if (candidate.name == name) return candidate;
    }
    throw std::runtime_error("no column " + name);
  }

  const SlotSpec& slot_of(const std::string& id) const {
    for (const auto& slot : problem_.slots) {
      if (slot.id == id) return slot;
    }
    throw std::runtime_error("no slot " + id);
  }

  z3::expr variable(const SlotSpec& slot) const { return variables_[static_cast<std::size_t>(&slot - problem_.slots.data())]; }

  Term cell(const WorldColumn& data, std::size_t row) {
    const Cell found = data.cells[row];
    if (found == kUnknownCell) return {number(0), yes(false)};
    const bool text = data.type == ColumnType::Text || data.type == ColumnType::Reference;
    return {number(text ? text_number(world_.symbols.text(static_cast<std::int32_t>(found))) : found), yes(true)};
  }

  /// The cell of the row that the slot's variable names.
  Term attribute(const SlotSpec& slot, const std::string& name) {
    const WorldTable& data = table(slot.entity);
    const WorldColumn& cells = column(data, name);
    Term chain{number(0), yes(false)};
    for (std::size_t row = 0; row < data.rows; ++row) {
      const Term one = cell(cells, row);
      const z3::expr here = variable(slot) == context_.int_val(static_cast<std::int64_t>(row));
      chain = {z3::ite(here, one.value, chain.value), z3::ite(here, one.defined, chain.defined)};
    }
    return chain;
  }

  Term slot_value(const SlotSpec& slot) {
    switch (slot.domain) {
      case SlotDomain::Entity: {
        const WorldTable& data = table(slot.entity);
        return attribute(slot, data.columns[static_cast<std::size_t>(data.key_column)].name);
      }
      case SlotDomain::Texts: {
        z3::expr chain = number(-1);
        for (std::size_t i = 0; i < slot.texts.size(); ++i) {
          chain = z3::ite(variable(slot) == context_.int_val(static_cast<std::int64_t>(i)), number(text_number(slot.texts[i])),
                          chain);
        }
        return {chain, yes(true)};
      }
      default:
        return {(variable(slot) + context_.int_val(slot.from)) * context_.int_val(std::int64_t{kCellScale}), yes(true)};
    }
  }

  Term constant(const Constant& given) {
    return {number(given.type == ConstType::Text ? text_number(given.text) : given.number), yes(true)};
  }

  /// For each row of the relation the condition under which it matches.
  std::vector<z3::expr> matching(const Node& node) {
    const WorldTable& data = table(node.table);
    std::vector<Term> wanted;
    for (const auto& child : node.children) wanted.push_back(value(child));
    std::vector<z3::expr> conditions;
    for (std::size_t row = 0; row < data.rows; ++row) {
      z3::expr matches = yes(true);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Term have = cell(column(data, node.match_columns[i]), row);
        matches = matches && have.defined && wanted[i].defined && have.value == wanted[i].value;
      }
      conditions.push_back(matches);
    }
    return conditions;
  }

  Term combine(Aggregate aggregate, const Term& a, const Term& b) {
    const z3::expr joined = aggregate == Aggregate::Sum   ? a.value + b.value
                            : aggregate == Aggregate::Min ? z3::ite(a.value <= b.value, a.value, b.value)
                                                          : z3::ite(a.value >= b.value, a.value, b.value);
    return {joined, a.defined && b.defined};
  }

  Term link(const Node& node) {
    const std::vector<z3::expr> conditions = matching(node);
    const WorldColumn& cells = column(table(node.table), node.column);
    z3::expr some = yes(false);
    z3::expr known = yes(true);
    z3::expr total = number(0);
    for (std::size_t row = 0; row < conditions.size(); ++row) {
      const Term one = cell(cells, row);
      const Term joined = combine(node.aggregate, {total, yes(true)}, one);
      total = z3::ite(conditions[row], z3::ite(some, joined.value, one.value), total);
      some = some || conditions[row];
      known = known && (!conditions[row] || one.defined);
    }
    return {total, some && known};
  }

  Term value(const Node& node) {
    switch (node.kind) {
      case NodeKind::Const:
        return constant(node.constant);
      case NodeKind::SlotValue:
        return slot_value(slot_of(node.slot));
      case NodeKind::Attribute:
        return attribute(slot_of(node.slot), node.column);
      case NodeKind::Link:
        return link(node);
      case NodeKind::Count:
        return {how_many(node) * context_.int_val(std::int64_t{kCellScale}), yes(true)};
      case NodeKind::Difference: {
        const Term a = value(node.children[0]);
        const Term b = value(node.children[1]);
        return {a.value - b.value, a.defined && b.defined};
      }
      default: {
        const Aggregate aggregate = node.kind == NodeKind::Sum   ? Aggregate::Sum
                                    : node.kind == NodeKind::Min ? Aggregate::Min
                                                                 : Aggregate::Max;
        Term total = value(node.children[0]);
        for (std::size_t i = 1; i < node.children.size(); ++i) total = combine(aggregate, total, value(node.children[i]));
        return total;
      }
    }
  }

  z3::expr how_many(const Node& node) {
    z3::expr sum = context_.int_val(0);
    for (const auto& child : node.children) sum = sum + z3::ite(holds(child), context_.int_val(1), context_.int_val(0));
    return sum;
  }

  z3::expr holds(const Node& node) {
    switch (node.kind) {
      case NodeKind::Compare: {
        const Term a = value(node.children[0]);
        const Term b = value(node.children[1]);
        const z3::expr both = a.defined && b.defined;
        switch (node.op) {
          case CompareOp::Equal:
            return both && a.value == b.value;
          case CompareOp::NotEqual:
            return both && a.value != b.value;
          case CompareOp::Less:
            return both && a.value < b.value;
          case CompareOp::LessEqual:
            return both && a.value <= b.value;
          case CompareOp::Greater:
            return both && a.value > b.value;
          case CompareOp::GreaterEqual:
            return both && a.value >= b.value;
        }
        return yes(false);
      }
      case NodeKind::Member: {
        const Term a = value(node.children[0]);
        z3::expr any = yes(false);
        for (const auto& member : node.members) any = any || a.value == constant(member).value;
        return a.defined && any;
      }
      case NodeKind::AllDifferent: {
        z3::expr all = yes(true);
        std::vector<Term> terms;
        for (const auto& child : node.children) terms.push_back(value(child));
        for (std::size_t i = 0; i < terms.size(); ++i) {
          all = all && terms[i].defined;
          for (std::size_t j = 0; j < i; ++j) all = all && terms[i].value != terms[j].value;
        }
        return all;
      }
      case NodeKind::Linked: {
        z3::expr some = yes(false);
        for (const auto& condition : matching(node)) some = some || condition;
        return some;
      }
      case NodeKind::IfThenElse:
        return z3::ite(holds(node.children[0]), holds(node.children[1]),
                       node.children.size() > 2 ? holds(node.children[2]) : yes(true));
      case NodeKind::AllOf:
        return how_many(node) == context_.int_val(static_cast<std::int64_t>(node.children.size()));
      case NodeKind::AnyOf:
        return how_many(node) >= 1;
      case NodeKind::AtLeast:
        return how_many(node) >= node.at_least;
      default:
        return !holds(node.children[0]);
    }
  }

  const Problem& problem_;
  const World& world_;
  z3::context context_;
  z3::solver solver_;
  std::vector<z3::expr> variables_;
  std::map<std::string, std::int64_t> texts_;
};

std::string disagreement(const Problem& problem, const World& world, std::uint64_t cap) {
  const CompiledProblem compiled(problem, world);
  const SolveResult ours = solve(compiled);
  if (!ours.complete) return "our solver gave up";
  Encoding encoding(problem, world);
  if (problem.sense == ObjectiveSense::None && encoding.satisfiable() != (ours.count > 0))
    return "satisfiable for one of the two only";
  if (problem.sense != ObjectiveSense::None && encoding.optimum() != ours.optimum) return "the optima differ";
  const std::uint64_t theirs = encoding.count(cap);
  if (theirs != std::min(cap, ours.count)) return fmt::format("we count {}, Z3 {} (at most {})", ours.count, theirs, cap);
  return "";
}

/// Decides slots of `answer` until few enough answers are left for counting models one by one.
Problem pinned(const Problem& problem, const World& world, const std::vector<SlotValue>& answer, std::uint64_t few, Rng& rng) {
  Problem out = problem;
  const CompiledProblem names(problem, world);
  std::vector<std::size_t> order(answer.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  rng.shuffle(order);
  for (const std::size_t i : order) {
    if (solve(CompiledProblem(out, world)).count <= few) break;
    Node slot{.kind = NodeKind::SlotValue};
    slot.slot = problem.slots[i].id;
    Node value{.kind = NodeKind::Const};
    const Json text = names.value_to_json(static_cast<int>(i), answer[i]);
    if (problem.slots[i].domain == SlotDomain::Dates) {
      value.constant = {.type = ConstType::Date, .number = *parse_date(text.get<std::string>()) * kCellScale, .text = ""};
    } else {
      value.constant = {.type = ConstType::Text, .number = 0, .text = text.get<std::string>()};
    }
    Node equal{.kind = NodeKind::Compare, .op = CompareOp::Equal};
    equal.children = {slot, value};
    out.constraints.push_back(equal);
  }
  return out;
}

}  // namespace

TEST_CASE("Z3 agrees on random trees: satisfiable, optimum, number of answers") {
  Rng rng(31);
  int with_objective = 0;
  for (int i = 0; i < 400; ++i) {
    const RandomProblem drawn = random_problem(rng);
    with_objective += drawn.problem.sense != ObjectiveSense::None ? 1 : 0;
    const std::string wrong = disagreement(drawn.problem, *drawn.world, 25);
    if (!wrong.empty()) FAIL(wrong << ": " << dump_json(to_json(drawn.problem)));
  }
  CHECK(with_objective > 40);
}

TEST_CASE("Z3 agrees on trip planning tasks of levels 1 to 3: satisfiable, number of answers, lowest cost") {
  const EnvSpec spec = load_builtin_domain("trip_planning");
  Rng rng(5);
  for (const int level : {1, 2, 3}) {
    for (std::uint64_t seed = 0, made = 0; made < 3; ++seed) {
      const auto candidate = draw_candidate(spec, {.level = level, .ranges = {}}, "", seed);
      if (!candidate) continue;
      ++made;
      INFO("level " << level << ", seed " << seed);
      CHECK(disagreement(candidate->problem, *candidate->world, 1) == "");
      const CompiledProblem compiled(candidate->problem, *candidate->world);
      const auto answer = find_answer(compiled, rng).answer;
      REQUIRE(answer.has_value());
      CHECK(disagreement(pinned(candidate->problem, *candidate->world, *answer, 20, rng), *candidate->world, 25) == "");
      Problem cheapest = pinned(candidate->problem, *candidate->world, *answer, 2000, rng);
      cheapest.sense = ObjectiveSense::Minimise;
      cheapest.objective = Node{.kind = NodeKind::Sum};
      for (const auto& slot : cheapest.slots) {
        if (slot.entity != "hotel" && slot.entity != "restaurant" && slot.entity != "attraction") continue;
        Node price{.kind = NodeKind::Attribute};
        price.slot = slot.id;
        price.column = "price";
        cheapest.objective.children.push_back(price);
      }
      CHECK(disagreement(cheapest, *candidate->world, 5) == "");
    }
  }
}

}  // namespace gauntlet

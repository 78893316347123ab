#include "inference/constraint/number_language.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace gauntlet {
namespace {

int compare_magnitude(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int order = a.whole.compare(b.whole); order != 0) return order;
  return a.fraction.compare(b.fraction);  // without trailing zeros the order of digits is that of characters
}

/// How the digits read so far compare with the bound's digits at the same places.
enum class Order : std::uint8_t { Less, Equal, Greater };

/// A number read so far without its sign, compared with one bound.
struct Progress {
  bool fraction = false;
  int digits = 0;              ///< of the part being read
  Order order = Order::Equal;  ///< whole part: of the digits read against as many of the bound's; fraction: final but for Equal

  auto operator<=>(const Progress&) const = default;
};

Progress read_digit(Progress at, int digit, const Decimal& bound) {
  const std::string& against = at.fraction ? bound.fraction : bound.whole;
  const auto place = static_cast<std::size_t>(at.digits);
  const int other = place < against.size() ? against[place] - '0' : at.fraction ? 0 : -1;
  if (at.order == Order::Equal && other >= 0 && digit != other) at.order = digit < other ? Order::Less : Order::Greater;
  ++at.digits;
  return at;
}

/// The order of the whole part when it ends here.
Order whole_order(const Progress& at, const Decimal& bound) {
  const int size = static_cast<int>(bound.whole.size());
  if (at.digits != size) return at.digits < size ? Order::Less : Order::Greater;
  return at.order;
}

Order final_order(const Progress& at, const Decimal& bound) {
  Order order = at.fraction ? at.order : whole_order(at, bound);
  if (order == Order::Equal && static_cast<std::size_t>(at.fraction ? at.digits : 0) < bound.fraction.size()) order = Order::Less;  // the bound has digits left
  return order;
}

/// What a magnitude must hold to: at least one bound, at most another; each may be missing.
struct Magnitudes {
  const NumberBounds::Bound* least = nullptr;
  const NumberBounds::Bound* most = nullptr;
  bool zero = true;  ///< 0 itself may be written
};

struct State {
  Progress low, high;
  bool zero_whole = false;  ///< the whole part is "0": no digit may follow
  bool all_zero = true;

  auto operator<=>(const State&) const = default;
};

class MagnitudeBuilder {
 public:
  MagnitudeBuilder(CharLanguage& out, NumberKind kind, Magnitudes bounds, Budget& budget) : out_(out), kind_(kind), bounds_(bounds), budget_(budget) {}

  /// Adds the magnitudes after state `from`.
  void add(std::uint32_t from) {
    index_.emplace(State{}, from);
    std::vector<State> open = {State{}};
    while (!open.empty()) {
      const State at = open.back();
      open.pop_back();
      const auto number = index_.at(at);
      const bool began = at.low.digits > 0;
      if (began && allowed(at)) out_.states[number].accepts = true;
      const int most = at.low.fraction ? kFractionDigits : kIntegerDigits;
      if (at.low.digits < most && !(at.zero_whole && !at.low.fraction)) {
        for (int digit = 0; digit < 10; ++digit) {
          State next = at;
          if (bounds_.least != nullptr) next.low = read_digit(at.low, digit, bounds_.least->value);
          else next.low = {.fraction = at.low.fraction, .digits = at.low.digits + 1};
          if (bounds_.most != nullptr) next.high = read_digit(at.high, digit, bounds_.most->value);
          next.all_zero = at.all_zero && digit == 0;
          next.zero_whole = at.low.fraction ? at.zero_whole : !began && digit == 0;
          link(number, static_cast<char32_t>(U'0' + digit), next, open);
        }
      }
      if (kind_ == NumberKind::Any && began && !at.low.fraction) {
        State next = at;
        next.low = {.fraction = true, .digits = 0, .order = bounds_.least != nullptr ? whole_order(at.low, bounds_.least->value) : Order::Equal};
        if (bounds_.most != nullptr) next.high = {.fraction = true, .digits = 0, .order = whole_order(at.high, bounds_.most->value)};
        next.zero_whole = false;
        link(number, U'.', next, open);
      }
    }
  }

 private:
  bool allowed(const State& at) const {
    if (at.low.fraction && at.low.digits == 0) return false;
    if (at.all_zero && !bounds_.zero) return false;
    if (bounds_.least != nullptr) {
      const Order order = final_order(at.low, bounds_.least->value);
      if (order == Order::Less || (order == Order::Equal && !bounds_.least->included)) return false;
    }
    if (bounds_.most != nullptr) {
      const Order order = final_order(at.high, bounds_.most->value);
      if (order == Order::Greater || (order == Order::Equal && !bounds_.most->included)) return false;
    }
    return true;
  }

  void link(std::uint32_t from, char32_t c, const State& next, std::vector<State>& open) {
    budget_.spend(1);
    const auto [it, fresh] = index_.try_emplace(next, static_cast<std::uint32_t>(out_.states.size()));
    if (fresh) {
      budget_.hold(sizeof(CharLanguage::State) + 200);
      out_.states.emplace_back();
      open.push_back(next);
    }
    auto& edges = out_.states[from].edges;
    if (!edges.empty() && edges.back().target == it->second && edges.back().chars.back().high + 1 == c) edges.back().chars.back().high = c;
    else edges.push_back({{{c, c}}, it->second});
  }

  CharLanguage& out_;
  NumberKind kind_;
  Magnitudes bounds_;
  Budget& budget_;
  std::map<State, std::uint32_t> index_;
};

}  // namespace

Decimal Decimal::of(const Json& number) {
  // Shortest digits that give the number back: [-]d[.ddd][e[+-]dd]
  std::string text = number.is_number_float() ? fmt::format("{}", number.get<double>()) : number.dump();
  Decimal out;
  if (text.starts_with('-')) {
    out.negative = true;
    text.erase(0, 1);
  }
  int exponent = 0;
  if (const auto e = text.find('e'); e != std::string::npos) {
    exponent = std::atoi(text.c_str() + e + 1);
    text.resize(e);
  }
  const auto point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point) + (point < text.size() ? text.substr(point + 1) : "");
  int whole = static_cast<int>(point) + exponent;  // digits before the point
  if (whole < 0) {
    digits.insert(0, static_cast<std::size_t>(-whole), '0');
    whole = 0;
  }
  if (static_cast<std::size_t>(whole) > digits.size()) digits.append(static_cast<std::size_t>(whole) - digits.size(), '0');
  out.whole = digits.substr(0, static_cast<std::size_t>(whole));
  out.fraction = digits.substr(static_cast<std::size_t>(whole));
  out.whole.erase(0, out.whole.find_first_not_of('0'));
  if (out.whole.empty()) out.whole = "0";
  out.fraction.resize(out.fraction.find_last_not_of('0') + 1);
  if (out.is_zero()) out.negative = false;
  return out;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int order = compare_magnitude(a, b);
  return a.negative ? -order : order;
}

void NumberBounds::raise(const Bound& bound) {
  const int order = least ? compare(bound.value, least->value) : 1;
  if (order > 0 || (order == 0 && !bound.included)) least = bound;
}

void NumberBounds::lower(const Bound& bound) {
  const int order = most ? compare(bound.value, most->value) : -1;
  if (order < 0 || (order == 0 && !bound.included)) most = bound;
}

bool NumberBounds::allows(const Decimal& value) const {
  if (least) {
    const int order = compare(value, least->value);
    if (order < 0 || (order == 0 && !least->included)) return false;
  }
  if (most) {
    const int order = compare(value, most->value);
    if (order > 0 || (order == 0 && !most->included)) return false;
  }
  return true;
}

CharLanguage number_language(NumberKind kind, const NumberBounds& bounds, Budget& budget) {
  CharLanguage raw;
  const auto* least = bounds.least ? &*bounds.least : nullptr;
  const auto* most = bounds.most ? &*bounds.most : nullptr;
  const bool negative = least == nullptr || least->value.negative;       // some negative numbers are allowed
  const bool positive = most == nullptr || !most->value.negative;        // and some that are not
  if (positive) MagnitudeBuilder(raw, kind, {.least = least != nullptr && !least->value.negative ? least : nullptr, .most = most}, budget).add(0);
  if (negative) {
    const auto minus = static_cast<std::uint32_t>(raw.states.size());
    raw.states.emplace_back();
    raw.states[0].edges.push_back({{{U'-', U'-'}}, minus});
    // The magnitude runs the other way.
    MagnitudeBuilder(raw, kind, {.least = most != nullptr && most->value.negative ? most : nullptr, .most = least, .zero = false}, budget).add(minus);
  }
  return pruned(std::move(raw), budget);
}

}  // namespace gauntlet

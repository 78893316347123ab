#pragma once

// Numbers between bounds as automata over their digits.

#include <cstdint>
#include <optional>
#include <string>

#include "core/json.h"
#include "inference/constraint/char_language.h"

namespace gauntlet {

/// Digits before the point, and digits after it, that are ever written: such integers fit 64 bits, and no reader overflows.
inline constexpr int kIntegerDigits = 18;
inline constexpr int kFractionDigits = 18;

/// A finite number as its decimal digits.
struct Decimal {
  bool negative = false;
  std::string whole = "0";   ///< no leading zeros
  std::string fraction;      ///< no trailing zeros

  static Decimal of(const Json& number);
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

/// <0, 0, >0
int compare(const Decimal& a, const Decimal& b);

struct NumberBounds {
  struct Bound {
    Decimal value;
    bool included = true;
  };
  std::optional<Bound> least, most;

  /// Both hold.
  void raise(const Bound& bound);
  void lower(const Bound& bound);
  bool allows(const Decimal& value) const;
};

/// JSON's spelling of the integers, or of the numbers without an exponent, between the bounds; no "-0". No characters at all if there is none.
enum class NumberKind { Integer, Any };
CharLanguage number_language(NumberKind kind, const NumberBounds& bounds, Budget& budget);

}  // namespace gauntlet

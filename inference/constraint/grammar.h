#pragma once

// A grammar over bytes and token ids: rules, each a small nondeterministic automaton whose edges read a byte, read a token, call another rule
// or read nothing. Built once, then immutable.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/constraint/budget.h"
#include "inference/constraint/grammar_limits.h"

namespace gauntlet {

using StateId = std::uint32_t;
using RuleId = std::uint32_t;

struct GrammarEdge {
  enum class Kind : std::uint8_t { Empty, Bytes, Token, Call };

  Kind kind = Kind::Empty;
  std::uint8_t low = 0, high = 0;  ///< Bytes: both included
  std::uint32_t value = 0;         ///< Token: its id. Call: the rule
  StateId target = 0;
};

struct GrammarRule {
  StateId start = 0, end = 0;
  bool nests = false;              ///< counts towards the limit of nesting
};

/// Every state that can be reached can also reach the end of its rule within the limit of nesting.
struct Grammar {
  static constexpr std::uint16_t kUnreachable = UINT16_MAX;

  std::vector<GrammarRule> rules;
  std::vector<std::uint32_t> first_edge;    ///< edges of state s: first_edge[s] to first_edge[s + 1]
  std::vector<GrammarEdge> edges;
  std::vector<std::uint8_t> is_end;         ///< of its rule, by state
  std::vector<std::uint8_t> only_ends;      ///< nothing can follow but the end of the rule
  std::vector<std::uint16_t> need;          ///< nesting that the way from the state to the end of its rule takes at least
  /// A state after which the next `horizon` bytes may be the same as after this one (itself, if there is no earlier one): masks are shared.
  std::vector<StateId> twin;
  std::array<std::uint8_t, 256> byte_class{};
  std::vector<std::uint8_t> class_byte;     ///< one byte of each class
  RuleId root = 0;

  std::size_t states() const { return is_end.size(); }
};

class GrammarBuilder {
 public:
  /// A token that template text spells.
  struct Marker {
    std::string text;
    std::int32_t id = -1;
  };

  /// `horizon`: the longest token, in bytes.
  explicit GrammarBuilder(const GrammarLimits& limits, std::size_t horizon = 256, std::vector<Marker> markers = {}) : limits_(limits), budget_(limits), horizon_(horizon), markers_(std::move(markers)) {}

  enum class Nesting { No, Yes };
  RuleId add_rule(Nesting nesting = Nesting::No);
  StateId start(RuleId rule) const { return rules_[rule].start; }
  StateId end(RuleId rule) const { return rules_[rule].end; }
  StateId add_state();

  void empty(StateId from, StateId to) { add(from, {.kind = GrammarEdge::Kind::Empty, .target = to}); }
  void bytes(StateId from, std::uint8_t low, std::uint8_t high, StateId to) { add(from, {.kind = GrammarEdge::Kind::Bytes, .low = low, .high = high, .target = to}); }
  void token(StateId from, std::int32_t id, StateId to) { add(from, {.kind = GrammarEdge::Kind::Token, .value = static_cast<std::uint32_t>(id), .target = to}); }
  void call(StateId from, RuleId rule, StateId to) { add(from, {.kind = GrammarEdge::Kind::Call, .value = rule, .target = to}); }
  void literal(StateId from, std::string_view text, StateId to);
  /// The same, but markers in it are read as their tokens.
  void template_text(StateId from, std::string_view text, StateId to);
  /// Any of the texts; beginnings that they share are read once.
  void literals(StateId from, std::vector<std::string> texts, StateId to);

  static constexpr std::uint64_t kUnbounded = UINT64_MAX;
  /// `rule` so many times; it must not match the empty text. Throws Error(Usage) when the counts need more states than there may be; `what`
  /// names them.
  void repeat(StateId from, RuleId rule, std::uint64_t least, std::uint64_t most, StateId to, const std::string& what);

  const GrammarLimits& limits() const { return limits_; }
  /// Whatever is compiled into this grammar spends of it.
  Budget& budget() { return budget_; }
  /// A rule that several parts of the grammar use, by a name that says all that it depends on; absent until someone makes it.
  std::optional<RuleId>& shared(const std::string& name) { return shared_[name]; }

  /// Throws Error(Usage): nothing matches the grammar, or a rule begins with itself.
  Grammar finish(RuleId root) &&;

 private:
  struct From {
    StateId from;
    GrammarEdge edge;
  };
  void add(StateId from, GrammarEdge edge);
  void compute_need(Grammar& grammar) const;
  void drop_dead_edges(Grammar& grammar) const;
  void refuse_left_recursion(const Grammar& grammar) const;
  static void classify_bytes(Grammar& grammar);

  GrammarLimits limits_;
  Budget budget_;
  std::size_t horizon_;
  std::vector<Marker> markers_;
  std::vector<GrammarRule> rules_;
  std::vector<From> edges_;
  std::vector<StateId> twin_;
  std::map<std::string, std::optional<RuleId>> shared_;
  struct Piece {
    std::string before;
    const Marker* marker = nullptr;  ///< none: the text's end
  };
  std::map<std::string, std::vector<Piece>, std::less<>> pieces_;  ///< of template texts: each tag of a grammar has the same ones
  const std::vector<Piece>& pieces(std::string_view text);
};

}  // namespace gauntlet

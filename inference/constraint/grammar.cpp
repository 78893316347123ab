#include "inference/constraint/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "core/error.h"

namespace gauntlet {

using Kind = GrammarEdge::Kind;

RuleId GrammarBuilder::add_rule(Nesting nesting) {
  require(rules_.size() < limits_.rules, ErrorKind::Usage, fmt::format("the grammar needs more than {} rules", limits_.rules));
  const StateId start = add_state(), end = add_state();
  rules_.push_back({.start = start, .end = end, .nests = nesting == Nesting::Yes});
  return static_cast<RuleId>(rules_.size() - 1);
}

StateId GrammarBuilder::add_state() {
  require(twin_.size() < limits_.states, ErrorKind::Usage, fmt::format("the grammar needs more than {} states", limits_.states));
  budget_.spend(1);
  budget_.hold(48);  // with what finish() adds
  twin_.push_back(static_cast<StateId>(twin_.size()));
  return twin_.back();
}

void GrammarBuilder::add(StateId from, GrammarEdge edge) {
  // Automata of patterns have many edges a state.
  require(edges_.size() < 8 * limits_.states, ErrorKind::Usage, fmt::format("the grammar needs more than {} edges", 8 * limits_.states));
  budget_.spend(1);
  budget_.hold(48);
  edges_.push_back({from, edge});
}

void GrammarBuilder::literal(StateId from, std::string_view text, StateId to) {
  if (text.empty()) return empty(from, to);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const StateId next = i + 1 == text.size() ? to : add_state();
    const auto byte = static_cast<std::uint8_t>(text[i]);
    bytes(from, byte, byte, next);
    from = next;
  }
}

const std::vector<GrammarBuilder::Piece>& GrammarBuilder::pieces(std::string_view text) {
  const auto known = pieces_.find(text);
  if (known != pieces_.end()) return known->second;
  auto& out = pieces_[std::string(text)];
  while (true) {
    // The first marker, the longest of several at one place.
    std::size_t at = std::string_view::npos;
    const Marker* found = nullptr;
    budget_.spend(markers_.size());
    for (const auto& marker : markers_) {
      const std::size_t place = text.find(marker.text);
      if (place == std::string_view::npos || place > at || (place == at && marker.text.size() <= found->text.size())) continue;
      at = place;
      found = &marker;
    }
    out.push_back({std::string(text.substr(0, at)), found});
    if (found == nullptr) return out;
    text.remove_prefix(at + found->text.size());
  }
}

void GrammarBuilder::template_text(StateId from, std::string_view text, StateId to) {
  for (const auto& piece : pieces(text)) {
    if (piece.marker == nullptr) return literal(from, piece.before, to);
    const StateId before = add_state(), after = add_state();
    literal(from, piece.before, before);
    token(before, piece.marker->id, after);
    from = after;
  }
}

void GrammarBuilder::literals(StateId from, std::vector<std::string> texts, StateId to) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  std::vector<StateId> path = {from};  // states after 0, 1, 2, … bytes of the text before
  std::string_view before;
  for (const auto& text : texts) {
    std::size_t shared = 0;
    while (shared < before.size() && shared < text.size() && before[shared] == text[shared]) ++shared;
    path.resize(shared + 1);
    for (std::size_t i = shared; i < text.size(); ++i) {
      path.push_back(add_state());
      const auto byte = static_cast<std::uint8_t>(text[i]);
      bytes(path[i], byte, byte, path[i + 1]);
    }
    empty(path.back(), to);
    before = text;
  }
}

void GrammarBuilder::repeat(StateId from, RuleId rule, std::uint64_t least, std::uint64_t most, StateId to, const std::string& what) {
  const std::uint64_t chain = most == kUnbounded ? least : most;
  if (chain > limits_.states) fail(ErrorKind::Usage, fmt::format("{}: counting to {} needs more than {} states", what, chain, limits_.states));
  // Far from the least and the most count, one state is like another for as long as one token lasts.
  const std::uint64_t far = horizon_ + 1;
  StateId at = add_state();
  empty(from, at);
  StateId first_below = at, first_between = at;
  for (std::uint64_t count = 0;; ++count) {
    if (count == least) first_between = at;
    if (count < least && least - count > far) twin_[at] = first_below;
    if (count >= least && most != kUnbounded && most - count > far) twin_[at] = first_between;
    if (count >= least) empty(at, to);
    if (count == chain) break;
    const StateId next = add_state();
    call(at, rule, next);
    at = next;
  }
  if (most == kUnbounded) call(at, rule, at);
}

Grammar GrammarBuilder::finish(RuleId root) && {
  Grammar grammar;
  grammar.rules = std::move(rules_);
  grammar.twin = std::move(twin_);
  grammar.root = root;
  const std::size_t states = grammar.twin.size();
  grammar.first_edge.assign(states + 1, 0);
  for (const auto& item : edges_) ++grammar.first_edge[item.from + 1];
  for (std::size_t s = 0; s < states; ++s) grammar.first_edge[s + 1] += grammar.first_edge[s];
  grammar.edges.resize(edges_.size());
  std::vector<std::uint32_t> next(grammar.first_edge.begin(), grammar.first_edge.end() - 1);
  for (const auto& item : edges_) grammar.edges[next[item.from]++] = item.edge;
  edges_.clear();
  grammar.is_end.assign(states, 0);
  for (const auto& rule : grammar.rules) grammar.is_end[rule.end] = 1;

  compute_need(grammar);
  const std::uint16_t need = grammar.need[grammar.rules[root].start];
  require(need != Grammar::kUnreachable, ErrorKind::Usage, "no finite text can satisfy the schema or grammar");
  const int deep = need + (grammar.rules[root].nests ? 1 : 0);
  require(deep <= limits_.nesting, ErrorKind::Usage, fmt::format("what the grammar asks for is nested {} levels deep; accepted: {}", deep, limits_.nesting));
  drop_dead_edges(grammar);
  refuse_left_recursion(grammar);
  grammar.only_ends.assign(states, 0);
  for (StateId s = 0; s < states; ++s) {
    StateId at = s;
    for (int steps = 0; steps < 4 && grammar.is_end[at] == 0 && grammar.first_edge[at + 1] - grammar.first_edge[at] == 1; ++steps) {
      const auto& edge = grammar.edges[grammar.first_edge[at]];
      if (edge.kind != Kind::Empty) break;
      at = edge.target;
    }
    grammar.only_ends[s] = grammar.is_end[at] != 0 && grammar.first_edge[at + 1] == grammar.first_edge[at];
  }
  classify_bytes(grammar);
  return grammar;
}

/// Knuth's generalisation of Dijkstra's algorithm: states are settled by growing need, and a call waits for both the rule and what follows.
void GrammarBuilder::compute_need(Grammar& grammar) const {
  const std::size_t states = grammar.states();
  grammar.need.assign(states, Grammar::kUnreachable);
  struct Back {
    StateId from;
    std::uint32_t edge;
  };
  // Edges by where they lead: those of state s from first_into[s] on.
  std::vector<std::uint32_t> first_into(states + 1, 0);
  const auto each = [&](const auto& use) {
    for (StateId s = 0; s < states; ++s) {
      for (std::uint32_t e = grammar.first_edge[s]; e < grammar.first_edge[s + 1]; ++e) {
        const auto& edge = grammar.edges[e];
        use(edge.target, s, e);
        if (edge.kind == Kind::Call) use(grammar.rules[edge.value].start, s, e);
      }
    }
  };
  each([&](StateId to, StateId, std::uint32_t) { ++first_into[to + 1]; });
  for (std::size_t s = 0; s < states; ++s) first_into[s + 1] += first_into[s];
  std::vector<Back> into(first_into[states]);
  std::vector<std::uint32_t> next(first_into.begin(), first_into.end() - 1);
  each([&](StateId to, StateId from, std::uint32_t e) { into[next[to]++] = {from, e}; });
  using Item = std::pair<std::uint16_t, StateId>;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> open;
  std::vector<std::uint8_t> settled(states, 0);
  for (const auto& rule : grammar.rules) {
    grammar.need[rule.end] = 0;
    open.push({0, rule.end});
  }
  while (!open.empty()) {
    const auto [need, state] = open.top();
    open.pop();
    if (settled[state] != 0) continue;
    settled[state] = 1;
    for (std::uint32_t i = first_into[state]; i < first_into[state + 1]; ++i) {
      const auto& [from, e] = into[i];
      const auto& edge = grammar.edges[e];
      unsigned value = grammar.need[edge.target];
      if (settled[edge.target] == 0) continue;
      if (edge.kind == Kind::Call) {
        const auto& rule = grammar.rules[edge.value];
        if (settled[rule.start] == 0) continue;
        value = std::max(value, grammar.need[rule.start] + (rule.nests ? 1U : 0U));
      }
      if (value < grammar.need[from]) {
        grammar.need[from] = static_cast<std::uint16_t>(value);
        open.push({grammar.need[from], from});
      }
    }
  }
}

void GrammarBuilder::drop_dead_edges(Grammar& grammar) const {
  std::size_t kept = 0;
  std::uint32_t begin = 0;
  for (StateId s = 0; s < grammar.states(); ++s) {
    const std::uint32_t end = grammar.first_edge[s + 1];
    grammar.first_edge[s] = static_cast<std::uint32_t>(kept);
    for (std::uint32_t e = begin; e < end; ++e) {
      const GrammarEdge edge = grammar.edges[e];
      const bool dead = grammar.need[edge.target] == Grammar::kUnreachable || (edge.kind == Kind::Call && grammar.need[grammar.rules[edge.value].start] == Grammar::kUnreachable);
      if (!dead) grammar.edges[kept++] = edge;
    }
    begin = end;
  }
  grammar.first_edge[grammar.states()] = static_cast<std::uint32_t>(kept);
  grammar.edges.resize(kept);
}

void GrammarBuilder::refuse_left_recursion(const Grammar& grammar) const {
  std::vector<std::uint8_t> nullable(grammar.rules.size(), 0);
  std::vector<std::vector<RuleId>> first(grammar.rules.size());
  std::vector<std::uint32_t> mark(grammar.states(), 0);
  std::uint32_t round = 0;
  // Called at the start of a rule, before anything is read; `first` is complete once `nullable` no longer grows.
  const auto explore = [&](RuleId r) {
    first[r].clear();
    std::vector<StateId> stack = {grammar.rules[r].start};
    mark[stack.back()] = ++round;
    while (!stack.empty()) {
      const StateId s = stack.back();
      stack.pop_back();
      if (s == grammar.rules[r].end) nullable[r] = 1;
      for (std::uint32_t e = grammar.first_edge[s]; e < grammar.first_edge[s + 1]; ++e) {
        const auto& edge = grammar.edges[e];
        if (edge.kind == Kind::Call) first[r].push_back(edge.value);
        if (edge.kind != Kind::Empty && !(edge.kind == Kind::Call && nullable[edge.value] != 0)) continue;
        if (mark[edge.target] == round) continue;
        mark[edge.target] = round;
        stack.push_back(edge.target);
      }
    }
  };
  for (bool grew = true; grew;) {
    grew = false;
    for (RuleId r = static_cast<RuleId>(grammar.rules.size()); r-- > 0;) {
      const bool before = nullable[r] != 0;
      explore(r);
      grew = grew || (nullable[r] != 0) != before;
    }
  }
  enum : std::uint8_t { New, Open, Done };
  std::vector<std::uint8_t> state(grammar.rules.size(), New);
  for (RuleId top = 0; top < grammar.rules.size(); ++top) {
    if (state[top] != New) continue;
    std::vector<std::pair<RuleId, std::size_t>> path = {{top, 0}};
    state[top] = Open;
    while (!path.empty()) {
      auto& [rule, at] = path.back();
      if (at == first[rule].size()) {
        state[rule] = Done;
        path.pop_back();
        continue;
      }
      const RuleId next = first[rule][at++];
      require(state[next] != Open, ErrorKind::Usage, "a rule of the grammar begins with itself");
      if (state[next] == New) {
        state[next] = Open;
        path.emplace_back(next, 0);
      }
    }
  }
}

void GrammarBuilder::classify_bytes(Grammar& grammar) {
  std::array<bool, 257> boundary{};
  for (const auto& edge : grammar.edges) {
    if (edge.kind != Kind::Bytes) continue;
    boundary[edge.low] = true;
    boundary[edge.high + 1U] = true;
  }
  int current = 0;
  grammar.class_byte = {0};
  for (unsigned b = 0; b < 256; ++b) {
    if (b > 0 && boundary[b]) {
      ++current;
      grammar.class_byte.push_back(static_cast<std::uint8_t>(b));
    }
    grammar.byte_class[b] = static_cast<std::uint8_t>(current);
  }
}

}  // namespace gauntlet

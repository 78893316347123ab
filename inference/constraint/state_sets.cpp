#include "inference/constraint/state_sets.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {
namespace {

using Kind = GrammarEdge::Kind;

std::uint64_t pair_key(std::uint32_t a, std::uint32_t b) { return (std::uint64_t{a} << 32) | b; }

std::uint64_t hash_of(std::uint64_t seed, std::span<const std::uint32_t> values) {
  std::uint64_t hash = seed * 0x9E3779B97F4A7C15ULL + 0x632BE59BD9B4E019ULL;
  for (const auto value : values) {
    hash = (hash ^ value) * 0xFF51AFD7ED558CCDULL;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

StateSets::StateSets(const Grammar& grammar, const GrammarLimits& limits) : grammar_(grammar), limits_(limits), classes_(grammar.class_byte.size()) {
  const std::uint32_t bottom = frame(0, {kBottom});
  const auto& root = grammar.rules[grammar.root];
  visit(root.start, root.nests ? frame(1, {kBottom}) : bottom);
  start_ = close();
}

SetId StateSets::read(SetId set, std::string_view bytes) {
  for (const char byte : bytes) {
    if (set == kDead) break;
    set = step(set, static_cast<std::uint8_t>(byte));
  }
  return set;
}

void StateSets::count(std::uint64_t steps) {
  steps_ += steps;
  if (steps_ > stop_at_) fail(ErrorKind::Usage, fmt::format("the grammar is too ambiguous: one token takes more than {} steps", allowed_));
}

/// Without what a set that failed has left.
void StateSets::begin_set() {
  open_.clear();
  if (!visited_.empty()) visited_.clear();
}

SetId StateSets::compute(SetId set, std::uint8_t byte_class) {
  begin_set();
  const std::uint8_t byte = grammar_.class_byte[byte_class];
  count(sets_[static_cast<std::size_t>(set)].nodes.size());
  for (const std::uint32_t n : sets_[static_cast<std::size_t>(set)].nodes) {
    const Node at = nodes_[n];
    for (std::uint32_t e = grammar_.first_edge[at.state]; e < grammar_.first_edge[at.state + 1]; ++e) {
      const auto& edge = grammar_.edges[e];
      if (edge.kind == Kind::Bytes && edge.low <= byte && byte <= edge.high) visit(edge.target, at.frame);
    }
  }
  const SetId out = close();
  next_[static_cast<std::size_t>(set) * classes_ + byte_class] = out;
  return out;
}

const std::vector<std::pair<std::int32_t, SetId>>& StateSets::tokens(SetId set) {
  if (!sets_[static_cast<std::size_t>(set)].tokens_known) {
    begin_set();
    std::vector<std::pair<std::uint32_t, Node>> targets;
    for (const std::uint32_t n : sets_[static_cast<std::size_t>(set)].nodes) {
      const Node at = nodes_[n];
      for (std::uint32_t e = grammar_.first_edge[at.state]; e < grammar_.first_edge[at.state + 1]; ++e) {
        const auto& edge = grammar_.edges[e];
        if (edge.kind == Kind::Token) targets.push_back({edge.value, {edge.target, at.frame}});
      }
    }
    std::sort(targets.begin(), targets.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::pair<std::int32_t, SetId>> found;
    for (std::size_t i = 0; i < targets.size();) {
      const std::uint32_t id = targets[i].first;
      for (; i < targets.size() && targets[i].first == id; ++i) visit(targets[i].second.state, targets[i].second.frame);
      const SetId next = close();
      if (next != kDead) found.emplace_back(static_cast<std::int32_t>(id), next);
    }
    sets_[static_cast<std::size_t>(set)].tokens = std::move(found);
    sets_[static_cast<std::size_t>(set)].tokens_known = true;
  }
  return sets_[static_cast<std::size_t>(set)].tokens;
}

std::uint32_t StateSets::node(StateId state, std::uint32_t frame) {
  const auto [it, fresh] = node_index_.try_emplace(pair_key(state, frame), static_cast<std::uint32_t>(nodes_.size()));
  if (fresh) nodes_.push_back({state, frame});
  return it->second;
}

std::uint32_t StateSets::frame(std::uint32_t depth, std::vector<std::uint32_t> nodes) {
  const std::uint64_t hash = hash_of(depth, nodes);
  const auto [first, last] = frame_index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Frame& known = frames_[it->second];
    if (known.depth == depth && known.nodes == nodes) return it->second;
  }
  const auto id = static_cast<std::uint32_t>(frames_.size());
  references_ += nodes.size();
  frames_.push_back({.depth = depth, .nodes = std::move(nodes)});
  frame_index_.emplace(hash, id);
  return id;
}

/// A place where the new set may be; dropped when its end would need more nesting than is left.
void StateSets::visit(StateId state, std::uint32_t frame) {
  if (static_cast<int>(frames_[frame].depth) + grammar_.need[state] > limits_.nesting) return;
  if (visited_.try_emplace(pair_key(state, frame), true).second) open_.push_back({state, frame});
}

SetId StateSets::close() {
  std::vector<Node> readers;
  bool accepts = false;
  std::size_t steps = 0;
  while (!open_.empty()) {
    const Node at = open_.back();
    open_.pop_back();
    count(1);
    if (++steps > 16 * limits_.parallel) fail(ErrorKind::Usage, fmt::format("the grammar is too ambiguous: more than {} steps for one byte", 16 * limits_.parallel));
    if (grammar_.is_end[at.state] != 0) {
      for (const std::uint32_t n : frames_[at.frame].nodes) {
        if (n == kBottom) accepts = true;
        else visit(nodes_[n].state, nodes_[n].frame);
      }
    }
    bool reads = false;
    for (std::uint32_t e = grammar_.first_edge[at.state]; e < grammar_.first_edge[at.state + 1]; ++e) {
      const auto& edge = grammar_.edges[e];
      if (edge.kind == Kind::Empty) {
        visit(edge.target, at.frame);
      } else if (edge.kind == Kind::Call) {
        const auto& rule = grammar_.rules[edge.value];
        const std::uint32_t depth = frames_[at.frame].depth;
        if (static_cast<int>(depth) + grammar_.need[edge.target] > limits_.nesting) continue;
        const std::uint32_t inner = depth + (rule.nests ? 1U : 0U);
        if (static_cast<int>(inner) + grammar_.need[rule.start] > limits_.nesting) continue;
        if (grammar_.only_ends[edge.target] == 0) visit(rule.start, frame(inner, {node(edge.target, at.frame)}));
        else visit(rule.start, inner == depth ? at.frame : frame(inner, frames_[at.frame].nodes));
      } else {
        reads = true;
      }
    }
    if (reads) readers.push_back(at);
  }
  visited_.clear();
  require(readers.size() <= limits_.parallel, ErrorKind::Usage, fmt::format("the grammar is too ambiguous: more than {} readings at once", limits_.parallel));
  if (readers.empty() && !accepts) return kDead;
  return intern(merged(std::move(readers)), accepts);
}

std::vector<std::uint32_t> StateSets::merged(std::vector<Node> nodes) {
  std::sort(nodes.begin(), nodes.end(), [&](const Node& a, const Node& b) {
    if (a.state != b.state) return a.state < b.state;
    if (frames_[a.frame].depth != frames_[b.frame].depth) return frames_[a.frame].depth < frames_[b.frame].depth;
    return a.frame < b.frame;
  });
  std::vector<std::uint32_t> out;
  for (std::size_t i = 0; i < nodes.size();) {
    std::size_t end = i + 1;
    const std::uint32_t depth = frames_[nodes[i].frame].depth;
    while (end < nodes.size() && nodes[end].state == nodes[i].state && frames_[nodes[end].frame].depth == depth) ++end;
    std::uint32_t into = nodes[i].frame;
    if (end - i > 1) {
      std::vector<std::uint32_t> all;
      for (std::size_t k = i; k < end; ++k) all.insert(all.end(), frames_[nodes[k].frame].nodes.begin(), frames_[nodes[k].frame].nodes.end());
      count(all.size());
      std::sort(all.begin(), all.end());
      all.erase(std::unique(all.begin(), all.end()), all.end());
      into = frame(depth, std::move(all));
    }
    out.push_back(node(nodes[i].state, into));
    i = end;
  }
  std::sort(out.begin(), out.end());
  return out;
}

SetId StateSets::intern(std::vector<std::uint32_t> nodes, bool accepts) {
  const std::uint64_t hash = hash_of(accepts ? 1 : 0, nodes);
  const auto [first, last] = set_index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Set& known = sets_[it->second];
    if (known.accepts == accepts && known.nodes == nodes) return static_cast<SetId>(it->second);
  }
  const auto id = static_cast<std::uint32_t>(sets_.size());
  references_ += nodes.size();
  sets_.push_back({.nodes = std::move(nodes), .accepts = accepts});
  next_.resize(next_.size() + classes_, kUnknown);
  set_index_.emplace(hash, id);
  return static_cast<SetId>(id);
}

std::uint32_t StateSets::twin_frame(std::uint32_t id) {
  if (frames_[id].twin >= 0) return static_cast<std::uint32_t>(frames_[id].twin);
  std::vector<Node> nodes;
  std::vector<std::uint32_t> out;
  const std::vector<std::uint32_t> from = frames_[id].nodes;
  count(from.size());
  bool bottom = false;
  for (const std::uint32_t n : from) {
    if (n == kBottom) bottom = true;
    else nodes.push_back({grammar_.twin[nodes_[n].state], twin_frame(nodes_[n].frame)});
  }
  out = merged(std::move(nodes));
  if (bottom) out.push_back(kBottom);  // the largest
  const std::uint32_t twin = frame(frames_[id].depth, std::move(out));
  frames_[id].twin = twin;
  return twin;
}

SetId StateSets::twin(SetId id) {
  if (const SetId known = sets_[static_cast<std::size_t>(id)].twin; known != kUnknown) return known;
  std::vector<Node> nodes;
  count(sets_[static_cast<std::size_t>(id)].nodes.size());
  for (const std::uint32_t n : std::vector<std::uint32_t>(sets_[static_cast<std::size_t>(id)].nodes)) nodes.push_back({grammar_.twin[nodes_[n].state], twin_frame(nodes_[n].frame)});
  const SetId twin = intern(merged(std::move(nodes)), accepts(id));
  sets_[static_cast<std::size_t>(id)].twin = twin;
  return twin;
}

std::uint32_t StateSets::adopt_frame(const StateSets& other, std::uint32_t id, std::unordered_map<std::uint32_t, std::uint32_t>& known) {
  if (const auto it = known.find(id); it != known.end()) return it->second;
  count(other.frames_[id].nodes.size());
  std::vector<std::uint32_t> nodes;
  for (const std::uint32_t n : other.frames_[id].nodes) nodes.push_back(n == kBottom ? kBottom : node(other.nodes_[n].state, adopt_frame(other, other.nodes_[n].frame, known)));
  std::sort(nodes.begin(), nodes.end());
  const std::uint32_t out = frame(other.frames_[id].depth, std::move(nodes));
  known.emplace(id, out);
  return out;
}

SetId StateSets::adopt(const StateSets& other, SetId set) {
  if (set == kDead) return kDead;
  std::unordered_map<std::uint32_t, std::uint32_t> known;
  std::vector<std::uint32_t> nodes;
  const Set& from = other.sets_[static_cast<std::size_t>(set)];
  for (const std::uint32_t n : from.nodes) nodes.push_back(node(other.nodes_[n].state, adopt_frame(other, other.nodes_[n].frame, known)));
  std::sort(nodes.begin(), nodes.end());
  return intern(std::move(nodes), from.accepts);
}

}  // namespace gauntlet

#include "synth/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "envs/generators.h"
#include "verifiers/reference.h"

namespace gauntlet {
namespace {

constexpr int kMaxDepth = 100;
constexpr std::int64_t kMaxExpanded = 200'000;  ///< values made by one template, against fragments that double each other
constexpr std::int64_t kMaxRounds = 10'000;

Json cell_json(Cell cell) {
  if (cell % kCellScale == 0) return cell / kCellScale;
  return static_cast<double>(cell) / static_cast<double>(kCellScale);
}

/// Messages are put together only where they are needed: templates are expanded for every draw.
template <class Message>
void require_input(bool condition, const Message& message) {
  if (!condition) fail(ErrorKind::Input, message());
}

Cell floor_to(Cell value, Cell step) { return value >= 0 ? value / step * step : -((-value + step - 1) / step * step); }

bool is_spliced(const Json& item) {
  if (!item.is_object() || item.empty()) return false;
  const std::string& key = item.begin().key();
  return key == "$for" || key == "$if" || key == "$maybe" || key == "$sample" || key == "$splice";
}

/// The operands of a form: an array of exactly `count` elements.
const Json& operands(const Json& value, std::size_t count, const std::string& path) {
  require_input(value.is_array() && value.size() == count, [&] { return fmt::format("{}: found {}; accepted: an array of {}", path, dump_json(value), count); });
  return value;
}

std::string text_operand(const Json& value, const std::string& path) {
  require_input(value.is_string(), [&] { return fmt::format("{}: found {}; accepted: a string", path, dump_json(value)); });
  return value.get<std::string>();
}

std::int64_t days_operand(const Json& value, const std::string& path) {
  const auto days = value.is_string() ? parse_date(value.get<std::string>()) : std::nullopt;
  require_input(days.has_value(), [&] { return fmt::format("{}: found {}; accepted: a date", path, dump_json(value)); });
  return *days;
}

[[noreturn]] void unknown_name(const std::string& path, const char* what, const std::string& name, const std::vector<std::string>& known) {
  const std::string nearest = nearest_word(name, known);
  fail(ErrorKind::Input, fmt::format("{}: there is no {} \"{}\"{}; accepted: {}", path, what, name, nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest),
                                     known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

std::string fragment_path(const Json& name) { return "/tasks/fragments/" + name.get<std::string>(); }

template <class T>
void require_ordered(T low, T high, const Json& value, const std::string& path) {
  require_input(low <= high, [&] { return fmt::format("{}: found {}; accepted: the smaller one first", path, dump_json(value)); });
}

/// A whole number with its sign, as it stands in "{d-1}".
std::optional<std::int64_t> parse_whole(const std::string& text) {
  std::int64_t number = 0;
  const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The reference judge trusts its tree, so names are checked here.
void require_slots(const Node& node, const Problem& problem, const std::string& path) {
  if (node.kind == NodeKind::SlotValue || node.kind == NodeKind::Attribute) {
    const int slot = problem.find_slot(node.slot);
    require_input(slot >= 0, [&] { return fmt::format("{}: there is no slot \"{}\"", path, node.slot); });
    require_input(node.kind == NodeKind::SlotValue || problem.slots[static_cast<std::size_t>(slot)].domain == SlotDomain::Entity, [&] { return fmt::format("{}: slot \"{}\" holds no row, so it has no {}", path, node.slot, node.column); });
  }
  for (const auto& child : node.children) require_slots(child, problem, path);
}

}  // namespace

Template::Nesting::Nesting(Template& owner, const std::string& path) : owner_(owner) {
  require_input(owner.depth_ < kMaxDepth, [&] { return path + ": the template is nested too deeply (a fragment that uses itself?)"; });
  require_input(owner.expanded_ < kMaxExpanded, [&] { return fmt::format("{}: the template grows beyond {} values", path, kMaxExpanded); });
  ++owner.depth_;
  ++owner.expanded_;
}

std::size_t BranchTurns::next(const Json& place, std::size_t count) {
  Turn& turn = turns_[&place];
  turn.count = count;
  return turn.taken++ % count;
}

bool BranchTurns::all_taken() const {
  return std::all_of(turns_.begin(), turns_.end(), [](const auto& item) { return item.second.taken >= item.second.count; });
}

Template::Template(const EnvSpec& spec, const Json& fragments, Rng rng, BranchTurns* turns) : spec_(spec), fragments_(fragments), rng_(rng), turns_(turns) {}

const Json& Template::variable(const std::string& name, const std::string& path) const {
  const auto it = variables_.find(name);
  if (it != variables_.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, value] : variables_) names.push_back(known);
  unknown_name(path, "variable", name, names);
}

const Json& Template::find_fragment(const Json& name, const std::string& path) const {
  const std::string wanted = text_operand(name, path);
  const auto it = fragments_.find(wanted);
  if (it != fragments_.end()) return *it;
  std::vector<std::string> names;
  for (const auto& item : fragments_.items()) names.push_back(item.key());
  unknown_name(path, "fragment", wanted, names);
}

std::size_t Template::branch(const Json& place, std::size_t count) { return turns_ != nullptr ? turns_->next(place, count) : rng_.below(count); }

std::string Template::interpolate(const std::string& text, const std::string& path) const {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = std::min(text.find('{', at), text.size());
    out += text.substr(at, open - at);
    if (open == text.size()) break;
    const std::size_t close = text.find('}', open);
    require_input(close != std::string::npos, [&] { return fmt::format("{}: \"{}\" has an open brace without its end", path, text); });
    std::string name = text.substr(open + 1, close - open - 1);
    std::int64_t offset = 0;
    const std::size_t sign = name.find_first_of("+-");
    if (sign != std::string::npos) {
      const auto whole = parse_whole(name.substr(sign));
      require_input(whole && std::abs(*whole) <= 1'000'000, [&] { return fmt::format("{}: found \"{{{}}}\"; accepted: a variable, plus or minus a whole number", path, name); });
      offset = *whole;
      name.resize(sign);
    }
    const Json& value = variable(name, path);
    require_input(sign == std::string::npos || value.is_number_integer(), [&] { return fmt::format("{}: \"{}\" counts from the variable \"{}\", which is {}; accepted: an integer", path, text, name, dump_json(value)); });
    if (value.is_number_integer()) {
      out += std::to_string(value.get<std::int64_t>() + offset);
    } else {
      out += value.is_string() ? value.get<std::string>() : dump_json(value);
    }
    at = close + 1;
  }
  return out;
}

std::int64_t Template::integer(const Json& value, const std::string& path) {
  const Json expanded = expand(value, path);
  require_input(expanded.is_number_integer(), [&] { return fmt::format("{}: expected an integer, found {}", path, dump_json(expanded)); });
  return expanded.get<std::int64_t>();
}

Cell Template::cell(const Json& value, const std::string& path) { return number_to_cell(expand(value, path), path); }

/// The threshold is moved away from the planted value, never past it, so the planted answer always meets it.
Json Template::fit(const Json& value, const std::string& path) {
  require_input(planted_.problem != nullptr, [&] { return path + ": \"$fit\" needs a planted answer; it belongs into clauses"; });
  if (value.contains("when")) {
    const Node condition = parse_node(expand(value["when"], path + "/when"), path + "/when");
    require_slots(condition, *planted_.problem, path + "/when");
    const bool holds = planted_.answer != nullptr ? reference_predicate(*planted_.problem, *planted_.world, *planted_.answer, condition) : branch(value, 2) == 0;
    if (!holds) {
      return expand(get_member(value, "otherwise", path), path + "/otherwise");
    }
  }
  const Node measured = parse_node(expand(get_member(value, "of", path), path + "/of"), path + "/of");
  require_slots(measured, *planted_.problem, path + "/of");
  const auto planted = planted_.answer != nullptr ? reference_value(*planted_.problem, *planted_.world, *planted_.answer, measured) : Cell{0};
  require_input(planted.has_value(), [&] { return path + "/of: is undefined for the planted answer"; });
  const Json& slack = operands(get_member(value, "slack", path), 2, path + "/slack");
  const Cell step = cell(get_member(value, "round", path), path + "/round");
  require_input(step > 0, [&] { return path + "/round: accepted: a number above 0"; });
  const Cell low = cell(slack[0], path + "/slack/0");
  const Cell high = cell(slack[1], path + "/slack/1");
  require_input(low >= 0, [&] { return path + "/slack: accepted: numbers from 0 on"; });  // Or the planted answer would fail.
  require_ordered(low, high, slack, path + "/slack");
  const Cell away = low + (high - low) * rng_.range(0, 16) / 16;
  const std::string side = get_string(value, "side", path);
  if (side == "below") return cell_json(floor_to(*planted - away, step));
  require_input(side == "above", [&] { return fmt::format("{}/side: found \"{}\"; accepted: above, below", path, side); });
  return cell_json(floor_to(*planted + away, step) + step);
}

Json Template::special(const std::string& form, const Json& value, const std::string& path) {
  const std::string at = path + "/" + form;
  const Json& given = value[form];
  if (form == "$use") {
    const Json& fragment = find_fragment(given, at);
    return expand(fragment, fragment_path(given));
  }
  if (form == "$int") {
    operands(given, 2, at);
    const auto low = integer(given[0], at);
    const auto high = integer(given[1], at);
    require_ordered(low, high, given, at);
    return rng_.range(low, high);
  }
  if (form == "$number") {
    operands(given, 3, at);
    const Cell low = cell(given[0], at);
    const Cell step = cell(given[2], at);
    const Cell high = cell(given[1], at);
    require_ordered(low, high, given, at);
    require_input(step > 0, [&] { return at + ": accepted: a step above 0"; });
    return cell_json(low + step * rng_.range(0, (high - low) / step));
  }
  if (form == "$date") {
    operands(given, 2, at);
    const auto from = days_operand(given[0], at);
    const auto to = days_operand(given[1], at);
    require_ordered(from, to, given, at);
    return format_date(rng_.range(from, to));
  }
  if (form == "$date_plus") {
    operands(given, 2, at);
    const auto days = days_operand(expand(given[0], at), at);
    return format_date(days + integer(given[1], at));
  }
  if (form == "$word") {
    const auto list = spec_.names.find(text_operand(given, at));
    require_input(list != spec_.names.end() && !list->second.empty(), [&] { return fmt::format("{}: locale {} has no word list {}", at, spec_.locale, dump_json(given)); });
    return rng_.pick(list->second);
  }
  if (form == "$pick") {
    require_input(given.is_array() && !given.empty(), [&] { return fmt::format("{}: found {}; accepted: an array of one or more", at, dump_json(given)); });
    const std::size_t chosen = branch(given, given.size());
    return expand(given[chosen], fmt::format("{}/{}", at, chosen));
  }
  if (form == "$fit") return fit(given, at);
  if (form == "$let") {
    require_input(given.is_object(), [&] { return fmt::format("{}: found {}; accepted: an object", at, dump_json(given)); });
    const auto saved = bound_;
    for (const auto& item : given.items()) bound_[item.key()] = expand(item.value(), at + "/" + item.key());
    Json result = expand(get_member(value, "in", path), path + "/in");
    bound_ = saved;
    return result;
  }
  const std::vector<std::string> forms = {"$use",  "$splice", "$int", "$number", "$date", "$date_plus", "$word",
                                          "$pick", "$let",    "$fit", "$for",    "$if",   "$maybe",     "$sample"};
  const std::string nearest = nearest_word(form, forms);
  fail(ErrorKind::Input, fmt::format("{}: unknown form \"{}\"{}; accepted: {}", path, form, nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(forms, ", ")));
}

void Template::expand_into(const Json& item, Json& out, const std::string& path, std::vector<std::string>* places) {
  if (!is_spliced(item)) {
    out.push_back(expand(item, path));
    if (places != nullptr) places->push_back(path);
    return;
  }
  const Nesting nesting(*this, path);
  const std::string form = item.begin().key();
  const Json& given = item[form];
  const std::string at = path + "/" + form;
  const auto append = [&](const Json& list, const std::string& where) {
    require_input(list.is_array(), [&] { return fmt::format("{}: expected an array", where); });
    for (std::size_t i = 0; i < list.size(); ++i) expand_into(list[i], out, where + "/" + std::to_string(i), places);
  };
  if (form == "$splice") {
    const Json& list = find_fragment(given, at);
    append(list, fragment_path(given));
  } else if (form == "$for") {
    const std::string name = text_operand(given, at);
    const auto from = integer(get_member(item, "from", path), path + "/from");
    const auto to = integer(get_member(item, "to", path), path + "/to");
    require_input(to - from < kMaxRounds, [&] { return fmt::format("{}: found {} to {}; accepted: at most {} rounds", at, from, to, kMaxRounds); });
    const auto before = variables_;
    for (std::int64_t i = from; i <= to; ++i) {
      variables_[name] = i;
      append(get_member(item, "do", path), path + "/do");
    }
    variables_ = before;
  } else if (form == "$if") {
    operands(given, 3, at);
    const auto a = integer(given[0], at);
    const auto b = integer(given[2], at);
    const std::string op = text_operand(given[1], at);
    require_input(op == ">" || op == "<" || op == "==", [&] { return fmt::format("{}: found \"{}\"; accepted: >, <, ==", at, op); });
    if ((op == ">" && a > b) || (op == "<" && a < b) || (op == "==" && a == b)) append(get_member(item, "do", path), path + "/do");
  } else if (form == "$maybe") {
    const auto chance = integer(given, at);
    require_input(chance >= 0 && chance <= 1'000'000, [&] { return fmt::format("{}: found {}; accepted: 0 to 1000000", at, chance); });
    const bool certain = chance == 0 || chance == 1'000'000;
    const bool taken = turns_ != nullptr && !certain ? turns_->next(item, 2) == 0 : rng_.chance(static_cast<std::uint32_t>(chance));
    if (taken) append(get_member(item, "do", path), path + "/do");
  } else {
    const Json& options = get_array(item, "of", path);
    const bool range = given.is_array();
    const auto low = integer(range ? operands(given, 2, at)[0] : given, at);
    const auto high = range ? integer(given[1], at) : low;
    require_input(0 <= low && low <= high && high <= static_cast<std::int64_t>(options.size()), [&] { return fmt::format("{}: found {}; accepted: 0 to {}, as many as there are", at, dump_json(given), options.size()); });
    const auto wanted = range ? rng_.range(low, high) : low;
    std::vector<std::size_t> order(options.size());
    std::iota(order.begin(), order.end(), 0);
    if (turns_ == nullptr) {
      rng_.shuffle(order);
    } else if (!order.empty()) {
      std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(turns_->next(item, order.size())), order.end());
    }
    order.resize(static_cast<std::size_t>(wanted));
    std::sort(order.begin(), order.end());
    for (const std::size_t i : order) expand_into(options[i], out, fmt::format("{}/of/{}", path, i), places);
  }
}

Json Template::expand_object(const Json& value, const std::string& path) {
  if (!value.empty() && value.begin().key().starts_with('$') && !is_spliced(value)) return special(value.begin().key(), value, path);
  if (is_spliced(value)) {
    Json list = Json::array();
    expand_into(value, list, path, nullptr);
    return list;
  }
  Json out = Json::object();
  for (const auto& item : value.items()) {
    require_input(!item.key().starts_with('$'), [&] { return fmt::format("{}: the form \"{}\" must be the first member of its object", path, item.key()); });
    out[interpolate(item.key(), path)] = expand(item.value(), path + "/" + item.key());
  }
  return out;
}

Json Template::expand_list(const Json& list, const std::string& path, std::vector<std::string>& places) {
  const Nesting nesting(*this, path);
  Json out = Json::array();
  if (is_spliced(list)) {
    expand_into(list, out, path, &places);
  } else if (list.is_object() && list.contains("$use")) {
    const std::string at = path + "/$use";
    const Json& fragment = find_fragment(list["$use"], at);
    out = expand_list(fragment, fragment_path(list["$use"]), places);
  } else if (list.is_array()) {
    for (std::size_t i = 0; i < list.size(); ++i) expand_into(list[i], out, path + "/" + std::to_string(i), &places);
  } else {
    out = expand(list, path);
    require_input(out.is_array(), [&] { return fmt::format("{}: found {}; accepted: an array", path, out.type_name()); });
    places.insert(places.end(), out.size(), path);
  }
  return out;
}

Json Template::expand(const Json& value, const std::string& path) {
  const Nesting nesting(*this, path);
  Json result;
  if (value.is_object()) {
    result = expand_object(value, path);
  } else if (value.is_array()) {
    result = Json::array();
    for (std::size_t i = 0; i < value.size(); ++i) expand_into(value[i], result, path + "/" + std::to_string(i), nullptr);
  } else if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (text.starts_with("{@") && text.ends_with("}")) {
      const auto it = bound_.find(text.substr(2, text.size() - 3));
      require_input(it != bound_.end(), [&] { return fmt::format("{}: nothing is bound to {}", path, text); });
      result = it->second;
    } else if (text.starts_with("{=") && text.ends_with("}")) {
      const std::string digits = interpolate("{" + text.substr(2), path);
      const auto whole = parse_whole(digits);
      require_input(whole.has_value(), [&] { return fmt::format("{}: {} is \"{}\"; accepted: an integer", path, text, digits); });
      result = *whole;
    } else {
      result = interpolate(text, path);
    }
  } else {
    result = value;
  }
  return result;
}

}  // namespace gauntlet

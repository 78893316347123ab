#include "synth/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "envs/generators.h"
#include "verifiers/reference.h"

namespace gauntlet {
namespace {

constexpr int kMaxDepth = 100;

Json cell_json(Cell cell) {
  if (cell % kCellScale == 0) return cell / kCellScale;
  return static_cast<double>(cell) / static_cast<double>(kCellScale);
}

Cell floor_to(Cell value, Cell step) { return value >= 0 ? value / step * step : -((-value + step - 1) / step * step); }

bool is_spliced(const Json& item) {
  if (!item.is_object() || item.empty()) return false;
  const std::string& key = item.begin().key();
  return key == "$for" || key == "$if" || key == "$maybe" || key == "$sample" || key == "$splice";
}

}  // namespace

Template::Template(const EnvSpec& spec, const Json& fragments, Rng rng) : spec_(spec), fragments_(fragments), rng_(rng) {}

const Json& Template::variable(const std::string& name) const {
  const auto it = variables_.find(name);
  if (it != variables_.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, value] : variables_) names.push_back(known);
  fail(ErrorKind::Input, fmt::format("the template names the variable \"{}\"; known: {}", name, fmt::join(names, ", ")));
}

std::string Template::interpolate(const std::string& text, const std::string& path) const {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = std::min(text.find('{', at), text.size());
    out += text.substr(at, open - at);
    if (open == text.size()) break;
    const std::size_t close = text.find('}', open);
    require(close != std::string::npos, ErrorKind::Input, fmt::format("{}: \"{}\" has an open brace without its end", path, text));
    std::string name = text.substr(open + 1, close - open - 1);
    std::int64_t offset = 0;
    const std::size_t sign = name.find_first_of("+-");
    if (sign != std::string::npos) {
      offset = std::stoll(name.substr(sign));
      name.resize(sign);
    }
    const Json& value = variable(name);
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
  require(expanded.is_number_integer(), ErrorKind::Input, fmt::format("{}: expected an integer, found {}", path, dump_json(expanded)));
  return expanded.get<std::int64_t>();
}

Cell Template::cell(const Json& value, const std::string& path) { return number_to_cell(expand(value, path), path); }

/// The threshold is moved away from the planted value, never past it, so the planted answer always meets it.
Json Template::fit(const Json& value, const std::string& path) {
  require(planted_.answer != nullptr, ErrorKind::Input, path + ": \"$fit\" needs a planted answer; it belongs into clauses");
  if (value.contains("when")) {
    const Node condition = parse_node(expand(value["when"], path + "/when"), path + "/when");
    if (!reference_predicate(*planted_.problem, *planted_.world, *planted_.answer, condition)) {
      return expand(get_member(value, "otherwise", path), path + "/otherwise");
    }
  }
  const Node measured = parse_node(expand(get_member(value, "of", path), path + "/of"), path + "/of");
  const auto planted = reference_value(*planted_.problem, *planted_.world, *planted_.answer, measured);
  require(planted.has_value(), ErrorKind::Input, path + "/of: is undefined for the planted answer");
  const Json& slack = get_array(value, "slack", path);
  const Cell step = cell(get_member(value, "round", path), path + "/round");
  const Cell low = cell(slack[0], path + "/slack/0");
  const Cell away = low + (cell(slack[1], path + "/slack/1") - low) * rng_.range(0, 16) / 16;
  const std::string side = get_string(value, "side", path);
  if (side == "below") return cell_json(floor_to(*planted - away, step));
  require(side == "above", ErrorKind::Input, fmt::format("{}/side: found \"{}\"; accepted: above, below", path, side));
  return cell_json(floor_to(*planted + away, step) + step);
}

Json Template::special(const std::string& form, const Json& value, const std::string& path) {
  const std::string at = path + "/" + form;
  if (form == "$use") {
    const std::string name = value[form].get<std::string>();
    return expand(get_member(fragments_, name, "/fragments"), "/fragments/" + name);
  }
  if (form == "$int") return rng_.range(integer(value[form][0], at), integer(value[form][1], at));
  if (form == "$number") {
    const Cell low = cell(value[form][0], at);
    const Cell step = cell(value[form][2], at);
    return cell_json(low + step * rng_.range(0, (cell(value[form][1], at) - low) / step));
  }
  if (form == "$date") return format_date(rng_.range(*parse_date(value[form][0].get<std::string>()), *parse_date(value[form][1].get<std::string>())));
  if (form == "$date_plus") {
    const Json date = expand(value[form][0], at);
    const auto days = parse_date(date.is_string() ? date.get<std::string>() : "");
    require(days.has_value(), ErrorKind::Input, fmt::format("{}: found {}; accepted: a date", at, dump_json(date)));
    return format_date(*days + integer(value[form][1], at));
  }
  if (form == "$word") {
    const auto list = spec_.names.find(value[form].get<std::string>());
    require(list != spec_.names.end(), ErrorKind::Input, fmt::format("{}: locale {} has no such word list", at, spec_.locale));
    return rng_.pick(list->second);
  }
  if (form == "$pick") return expand(value[form][rng_.below(value[form].size())], at);
  if (form == "$fit") return fit(value[form], at);
  if (form == "$let") {
    const auto saved = bound_;
    for (const auto& item : value[form].items()) bound_[item.key()] = expand(item.value(), at + "/" + item.key());
    Json result = expand(get_member(value, "in", path), path + "/in");
    bound_ = saved;
    return result;
  }
  fail(ErrorKind::Input, fmt::format("{}: unknown form \"{}\"", path, form));
}

void Template::expand_into(const Json& item, Json& out, const std::string& path) {
  if (!is_spliced(item)) {
    out.push_back(expand(item, path));
    return;
  }
  const std::string form = item.begin().key();
  const auto append = [&](const Json& list) {
    require(list.is_array(), ErrorKind::Input, fmt::format("{}: expected an array", path));
    for (std::size_t i = 0; i < list.size(); ++i) expand_into(list[i], out, fmt::format("{}/{}", path, i));
  };
  if (form == "$splice") {
    const std::string name = item[form].get<std::string>();
    append(get_member(fragments_, name, "/fragments"));
  } else if (form == "$for") {
    const std::string name = get_string(item, "$for", path);
    const auto from = integer(get_member(item, "from", path), path + "/from");
    const auto to = integer(get_member(item, "to", path), path + "/to");
    const auto before = variables_;
    for (std::int64_t i = from; i <= to; ++i) {
      variables_[name] = i;
      append(get_member(item, "do", path));
    }
    variables_ = before;
  } else if (form == "$if") {
    const auto a = integer(item[form][0], path);
    const auto b = integer(item[form][2], path);
    const std::string op = item[form][1].get<std::string>();
    if ((op == ">" && a > b) || (op == "<" && a < b) || (op == "==" && a == b)) append(get_member(item, "do", path));
  } else if (form == "$maybe") {
    if (rng_.chance(item[form].get<std::uint32_t>())) append(get_member(item, "do", path));
  } else {
    const Json& count = item[form];
    const auto wanted = count.is_array() ? rng_.range(count[0].get<std::int64_t>(), count[1].get<std::int64_t>()) : count.get<std::int64_t>();
    const Json& options = get_array(item, "of", path);
    std::vector<std::size_t> order(options.size());
    std::iota(order.begin(), order.end(), 0);
    rng_.shuffle(order);
    order.resize(std::min(order.size(), static_cast<std::size_t>(wanted)));
    std::sort(order.begin(), order.end());
    for (const std::size_t i : order) expand_into(options[i], out, fmt::format("{}/of/{}", path, i));
  }
}

Json Template::expand_object(const Json& value, const std::string& path) {
  if (!value.empty() && value.begin().key().starts_with('$') && !is_spliced(value)) return special(value.begin().key(), value, path);
  if (is_spliced(value)) {
    Json list = Json::array();
    expand_into(value, list, path);
    return list;
  }
  Json out = Json::object();
  for (const auto& item : value.items()) out[interpolate(item.key(), path)] = expand(item.value(), path + "/" + item.key());
  return out;
}

Json Template::expand(const Json& value, const std::string& path) {
  require(++depth_ <= kMaxDepth, ErrorKind::Input, path + ": the template is nested too deeply (a fragment that uses itself?)");
  Json result;
  if (value.is_object()) {
    result = expand_object(value, path);
  } else if (value.is_array()) {
    result = Json::array();
    for (std::size_t i = 0; i < value.size(); ++i) expand_into(value[i], result, fmt::format("{}/{}", path, i));
  } else if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (text.starts_with("{@") && text.ends_with("}")) {
      const auto it = bound_.find(text.substr(2, text.size() - 3));
      require(it != bound_.end(), ErrorKind::Input, fmt::format("{}: nothing is bound to {}", path, text));
      result = it->second;
    } else if (text.starts_with("{=") && text.ends_with("}")) {
      result = std::stoll(interpolate("{" + text.substr(2), path));
    } else {
      result = interpolate(text, path);
    }
  } else {
    result = value;
  }
  --depth_;
  return result;
}

}  // namespace gauntlet

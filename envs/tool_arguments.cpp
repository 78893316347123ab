#include "envs/tool_arguments.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>

#include "envs/json_text.h"
#include "envs/work_budget.h"

namespace gauntlet {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;
using simdjson::dom::element_type;

constexpr std::size_t kMaxArgumentBytes = kMaxValueBytes;  // No argument is longer than a value may be.
constexpr std::size_t kMaxShownBytes = 200;
constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53

std::string_view type_name(element value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "a boolean";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

std::string wrong_type(std::string_view expected, element value) {
  return fmt::format("expected {}, found {}", expected, type_name(value));
}

/// Empty, or what is wrong with the number.
std::string check_range(const ToolParameter& parameter, double number) {
  const bool has_low = parameter.minimum != std::numeric_limits<std::int64_t>::min();
  const bool has_high = parameter.maximum != std::numeric_limits<std::int64_t>::max();
  const bool low = has_low && number < static_cast<double>(parameter.minimum);
  const bool high = has_high && number > static_cast<double>(parameter.maximum);
  if (!low && !high) return "";
  if (has_low && has_high) return fmt::format("found {}, expected {} to {}", number, parameter.minimum, parameter.maximum);
  return has_low ? fmt::format("found {}, expected at least {}", number, parameter.minimum)
                 : fmt::format("found {}, expected at most {}", number, parameter.maximum);
}

std::string read_integer(const ToolParameter& parameter, element value, ToolArgument& out) {
  if (value.get(out.integer) != SUCCESS) {
    double number = 0;
    if (!value.is_number() || value.get(number) != SUCCESS) return wrong_type("an integer", value);
    if (std::floor(number) != number || std::abs(number) > kMaxExactInteger)
      return fmt::format("expected an integer, found {}", number);
    out.integer = static_cast<std::int64_t>(number);
  }
  return check_range(parameter, static_cast<double>(out.integer));
}

std::string read_strings(const ToolParameter& parameter, element value, ToolArgument& out) {
  std::string_view single;
  simdjson::dom::array array;
  if (value.get(single) == SUCCESS) {
    out.items.push_back(single);
  } else if (value.get(array) == SUCCESS) {
    for (const element item : array) {
      if (item.get(single) != SUCCESS) return fmt::format("expected an array of strings, found {} in it", type_name(item));
      out.items.push_back(single);
    }
  } else {
    return wrong_type("an array of strings", value);
  }
  if (out.items.size() >= parameter.min_items) return "";
  return fmt::format("expected at least {} items, found {}", parameter.min_items, out.items.size());
}

/// Empty, or what is wrong with the value.
std::string read_value(const ToolParameter& parameter, element value, ToolArgument& out) {
  switch (parameter.type) {
    case ToolParameter::Type::String:
      if (value.get(out.text) != SUCCESS) return wrong_type("a string", value);
      if (parameter.is_date && !parse_date(out.text)) {
        return fmt::format("expected a date YYYY-MM-DD, found \"{}\"", clip_text(out.text, kMaxShownBytes));
      }
      return "";
    case ToolParameter::Type::Integer:
      return read_integer(parameter, value, out);
    case ToolParameter::Type::Number:
      if (value.get(out.number) != SUCCESS) return wrong_type("a number", value);
      return check_range(parameter, out.number);
    case ToolParameter::Type::Boolean: {
      bool flag = false;
      if (value.get(flag) != SUCCESS) return wrong_type("true or false", value);
      out.integer = flag ? 1 : 0;
      return "";
    }
    case ToolParameter::Type::Strings:
      return read_strings(parameter, value, out);
  }
  return "";
}

std::string names_of(const ToolDefinition& tool) {
  std::vector<std::string_view> names;
  for (const auto& parameter : tool.parameters) names.push_back(parameter.name);
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

struct ToolArgumentParser::Impl {
  simdjson::dom::parser parser;
  std::vector<ToolArgument> values;
};

ToolArgumentParser::ToolArgumentParser() : impl_(std::make_unique<Impl>()) {}
ToolArgumentParser::~ToolArgumentParser() = default;
const std::vector<ToolArgument>& ToolArgumentParser::values() const { return impl_->values; }

std::optional<ArgumentProblem> ToolArgumentParser::parse(const ToolDefinition& tool, std::string_view text) {
  constexpr std::string_view kMalformed = "malformed_arguments";
  constexpr std::string_view kInvalid = "invalid_arguments";
  auto& values = impl_->values;
  values.resize(tool.parameters.size());
  for (auto& value : values) {
    value.given = false;
    value.items.clear();
  }
  if (text.size() > kMaxArgumentBytes) {
    return ArgumentProblem{kMalformed, fmt::format("the arguments are longer than {} bytes", kMaxArgumentBytes)};
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) text = "{}";
  element root;
  if (const auto error = impl_->parser.parse(text.data(), text.size()).get(root); error != SUCCESS) {
    return ArgumentProblem{kMalformed, fmt::format("the arguments are not JSON: {}", simdjson::error_message(error))};
  }
  simdjson::dom::object object;
  if (root.get(object) != SUCCESS) {
    return ArgumentProblem{kMalformed, fmt::format("the arguments must be a JSON object, found {}", type_name(root))};
  }
  for (const auto& [key, value] : object) {
    std::size_t i = 0;
    while (i < tool.parameters.size() && tool.parameters[i].name != key) ++i;
    if (i == tool.parameters.size()) {
      return ArgumentProblem{
          kInvalid, fmt::format("unknown argument \"{}\"; accepted: {}", clip_text(key, kMaxShownBytes), names_of(tool))};
    }
    if (values[i].given) return ArgumentProblem{kInvalid, fmt::format("argument \"{}\" appears twice", key)};
    values[i].given = true;
    const std::string problem = read_value(tool.parameters[i], value, values[i]);
    if (!problem.empty()) return ArgumentProblem{kInvalid, fmt::format("argument \"{}\": {}", key, problem)};
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (tool.parameters[i].required && !values[i].given) {
      return ArgumentProblem{kInvalid, fmt::format("argument \"{}\" is missing", tool.parameters[i].name)};
    }
  }
  return std::nullopt;
}

std::string fill_message(const std::string& pattern, const ToolDefinition& tool, const std::vector<ToolArgument>& values) {
  std::string message;
  std::size_t at = 0;
  while (at < pattern.size()) {
    const std::size_t open = std::min(pattern.find('{', at), pattern.size());
    message.append(pattern, at, open - at);
    at = open;
    if (open == pattern.size()) break;
    const std::size_t close = pattern.find('}', open);
    const std::string_view name = std::string_view(pattern).substr(open + 1, close == std::string::npos ? 0 : close - open - 1);
    const auto it = std::find_if(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == name; });
    if (it == tool.parameters.end()) {
      message += '{';
      ++at;
      continue;
    }
    const ToolArgument& value = values[static_cast<std::size_t>(it - tool.parameters.begin())];
    switch (it->type) {
      case ToolParameter::Type::String:
        message += clip_text(value.text, kMaxShownBytes);
        break;
      case ToolParameter::Type::Number:
        append_json_number(message, value.number);
        break;
      case ToolParameter::Type::Boolean:
        message += value.integer != 0 ? "true" : "false";
        break;
      case ToolParameter::Type::Integer:
        message += std::to_string(value.integer);
        break;
      case ToolParameter::Type::Strings:
        message += clip_text(fmt::format("{}", fmt::join(value.items, ", ")), kMaxShownBytes);
        break;
    }
    at = close + 1;
  }
  return message;
}

}  // namespace gauntlet

// Tested through chat_format_test.cpp and chat_property_test.cpp.

#include "agent/chat_arguments.h"

#include "agent/python_json.h"

namespace gauntlet {
namespace {

const Json* find_member(const Json* object, std::string_view key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto it = object->find(std::string(key));
  return it == object->end() ? nullptr : &*it;
}

bool wants_string(const Json* schema) {
  const Json* type = find_member(schema, "type");
  return type != nullptr && type->is_string() && *type == "string";
}

std::string value_json(const CallParameter& parameter, const Json* schema) {
  const std::string value = valid_utf8(parameter.value);
  if (parameter.is_string) return quote_python_json(value);
  const PythonJsonReading reading = read_python_json(value, JsonDialect::Strict);
  if (!reading.value || (wants_string(schema) && !reading.value->is_string())) return quote_python_json(value);
  return value;
}

}  // namespace

std::string dsml_arguments(const std::vector<CallParameter>& parameters, const Json* function) {
  const Json* properties = find_member(find_member(function, "parameters"), "properties");
  if (parameters.size() == 1 && properties != nullptr) {
    const CallParameter& only = parameters.front();
    const bool may_wrap = only.key == "arguments" || only.key == "input";
    if (may_wrap && find_member(properties, only.key) == nullptr) {
      const PythonJsonReading reading = read_python_json(only.value, JsonDialect::Strict);
      if (reading.value && reading.value->is_object()) return only.value;
    }
  }
  std::string out = "{";
  for (const CallParameter& parameter : parameters) {
    const std::string key = valid_utf8(parameter.key);
    if (out.size() > 1) out += ", ";
    out += quote_python_json(key) + ": " + value_json(parameter, find_member(properties, key));
  }
  return out + "}";
}

}  // namespace gauntlet

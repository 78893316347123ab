#include "inference/server/request_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kShownBytes = 80;

/// Looks at brackets alone, before any tree is built.
bool deeper_than(std::string_view text, int depth) {
  int open = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++open > depth) return true;
    } else if (c == '}' || c == ']') {
      --open;
    }
  }
  return false;
}

}  // namespace

std::string shown(const Json& value) {
  // A large value is not written out to be cut afterwards.
  if (value.is_structured() && value.size() > kShownBytes / 2) return value.is_array() ? "a long array" : "a large object";
  std::string text = dump_json(value.is_string() ? Json(value.get_ref<const std::string&>().substr(0, kShownBytes)) : value);
  if (text.size() > kShownBytes) text = valid_utf8(std::string_view(text).substr(0, kShownBytes - 3)) + "...";
  return text;
}

Json parse_request_body(std::string_view body, int depth) {
  if (deeper_than(body, depth)) refuse_member("", fmt::format("the body nests deeper than {} levels", depth));
  Json parsed;
  try {
    parsed = parse_json(body, "the body");
  } catch (const Error& error) {
    refuse_member("", error.what());
  }
  if (!parsed.is_object()) refuse_member("", fmt::format("expected a JSON object as the body, found {}", shown(parsed)));
  return parsed;
}

RequestFields::RequestFields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) refuse_member(path_, fmt::format("expected an object, found {}", shown(object)));
}

std::string RequestFields::place(std::string_view key) const { return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key); }

const Json* RequestFields::find(std::string_view key) {
  known_.push_back(key);
  const auto found = object_.find(std::string(key));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json& RequestFields::get(std::string_view key) {
  const Json* found = find(key);
  if (found == nullptr) {
    refuse_misspelt(key);
    refuse_member(place(key), "this member is required");
  }
  return *found;
}

std::optional<double> RequestFields::number(std::string_view key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) refuse_member(place(key), fmt::format("expected a number, found {}", shown(*found)));
  return found->get<double>();
}

std::optional<std::int64_t> RequestFields::integer(std::string_view key, std::int64_t least, std::int64_t most) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  const bool fits = found->is_number_integer() && (!found->is_number_unsigned() || found->get<std::uint64_t>() <= INT64_MAX);
  if (!fits || found->get<std::int64_t>() < least || found->get<std::int64_t>() > most) {
    refuse_member(place(key), fmt::format("expected a whole number from {} to {}, found {}", least, most, shown(*found)));
  }
  return found->get<std::int64_t>();
}

std::optional<bool> RequestFields::flag(std::string_view key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) refuse_member(place(key), fmt::format("expected true or false, found {}", shown(*found)));
  return found->get<bool>();
}

std::optional<std::string> RequestFields::text(std::string_view key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse_member(place(key), fmt::format("expected a string, found {}", shown(*found)));
  return found->get<std::string>();
}

const Json* RequestFields::array(std::string_view key, std::size_t most) {
  const Json* found = find(key);
  if (found == nullptr) return nullptr;
  if (!found->is_array()) refuse_member(place(key), fmt::format("expected an array, found {}", shown(*found)));
  if (found->size() > most) refuse_member(place(key), fmt::format("found {} elements; accepted: at most {}", found->size(), most));
  return found;
}

const Json* RequestFields::object(std::string_view key) {
  const Json* found = find(key);
  if (found != nullptr && !found->is_object()) refuse_member(place(key), fmt::format("expected an object, found {}", shown(*found)));
  return found;
}

void RequestFields::ignore(std::initializer_list<std::string_view> keys) { known_.insert(known_.end(), keys.begin(), keys.end()); }

bool RequestFields::asked_for(std::string_view key) const { return std::find(known_.begin(), known_.end(), key) != known_.end(); }

void RequestFields::refuse_unknown(const std::string& key, const std::string& nearest) const {
  refuse_member(place(key), fmt::format("this member is not known{}", nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)), "unknown_parameter");
}

void RequestFields::refuse_misspelt(std::string_view key) const {
  for (const auto& item : object_.items()) {
    const std::string name = item.key().substr(0, kShownBytes);
    if (!asked_for(item.key()) && !nearest_word(name, {std::string(key)}).empty()) refuse_unknown(name, std::string(key));
  }
}

void RequestFields::refuse_others() {
  for (const auto& item : object_.items()) {
    if (asked_for(item.key())) continue;
    const std::string name = item.key().substr(0, kShownBytes);
    refuse_unknown(name, nearest_word(name, {known_.begin(), known_.end()}));
  }
}

}  // namespace gauntlet

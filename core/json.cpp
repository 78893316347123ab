#include "core/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unordered_set>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Builds the document through SAX events, so that depth and duplicate keys are refused before any recursion can hurt, and in linear time:
/// inserting through Json's own interface looks at all keys before the new one.
class CheckedBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit CheckedBuilder(Json& root) : root_(root) {}

  bool null() override { return add(nullptr) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(std::int64_t value) override { return add(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) override { return add(value) != nullptr; }
  bool number_float(double value, const std::string&) override { return add(value) != nullptr; }
  bool string(std::string& value) override { return add(std::move(value)) != nullptr; }
  bool binary(Json::binary_t& value) override { return add(Json(std::move(value))) != nullptr; }

  bool start_object(std::size_t) override {
    if (!enter(Json::object())) return false;
    keys_.emplace_back();
    return true;
  }
  bool key(std::string& name) override {
    if (!keys_.back().insert(name).second) {
      problem_ = fmt::format("the key \"{:.200}\" appears twice in one object", name);
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return enter(Json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    if (problem_.empty()) problem_ = fmt::format("byte {}: {:.240}", position, error.what());
    return false;
  }

  const std::string& problem() const { return problem_; }

 private:
  bool enter(Json container) {
    if (open_.size() >= static_cast<std::size_t>(kMaxJsonDepth)) {
      problem_ = fmt::format("nesting is deeper than {}", kMaxJsonDepth);
      return false;
    }
    open_.push_back(add(std::move(container)));
    return true;
  }

  /// The place of the new value; a container grows only while it is the innermost open one, so the pointers in open_ stay good.
  Json* add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    return &parent.get_ref<Json::object_t&>().emplace_back(std::move(key_), std::move(value)).second;
  }

  Json& root_;
  std::vector<Json*> open_;
  std::string key_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string problem_;
};

std::string library_dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

enum class Written : std::uint8_t { AsIs, Escaped, ByLibrary };

constexpr std::array<Written, 256> written_forms() {
  std::array<Written, 256> forms{};
  for (std::size_t i = 0; i < forms.size(); ++i) forms[i] = i < 0x20 || i >= 0x7F ? Written::ByLibrary : Written::AsIs;
  for (const char c : {'"', '\\', '\n'}) forms[static_cast<std::size_t>(c)] = Written::Escaped;
  return forms;
}

constexpr auto kWritten = written_forms();

/// A JSON string. What is not plain ASCII is left to the library, which knows about invalid UTF-8.
void write_string(const std::string& text, std::string& out) {
  const auto form = [](char c) { return kWritten[static_cast<unsigned char>(c)]; };
  const std::size_t start = out.size();
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && form(text[end]) == Written::AsIs) ++end;
    out.append(text, i, end - i);
    i = end;
    if (i == text.size()) break;
    if (form(text[i]) == Written::ByLibrary) {
      out.resize(start);
      out += library_dump(Json(text));
      return;
    }
    out += '\\';
    out += text[i] == '\n' ? 'n' : text[i];
    ++i;
  }
  out += '"';
}

template <class Integer>
void write_integer(Integer value, std::string& out) {
  std::array<char, 24> digits{};
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

/// The library's text, several times faster for what most documents consist of; `sorted`: with the keys of objects in order.
void write(const Json& value, bool sorted, std::string& out) {
  switch (value.type()) {
    case Json::value_t::object: {
      const auto& object = value.get_ref<const Json::object_t&>();
      bool first = true;
      const auto write_member = [&](const Json::object_t::value_type& member) {
        out += first ? '{' : ',';
        first = false;
        write_string(member.first, out);
        out += ':';
        write(member.second, sorted, out);
      };
      if (sorted) {
        std::vector<const Json::object_t::value_type*> members;
        for (const auto& member : object) members.push_back(&member);
        std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
        for (const auto* member : members) write_member(*member);
      } else {
        for (const auto& member : object) write_member(member);
      }
      out += first ? "{}" : "}";
      return;
    }
    case Json::value_t::array: {
      out += '[';
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i > 0) out += ',';
        write(value[i], sorted, out);
      }
      out += ']';
      return;
    }
    case Json::value_t::string: return write_string(value.get_ref<const std::string&>(), out);
    case Json::value_t::boolean: out += value.get<bool>() ? "true" : "false"; return;
    case Json::value_t::null: out += "null"; return;
    case Json::value_t::number_integer: return write_integer(value.get<std::int64_t>(), out);
    case Json::value_t::number_unsigned: return write_integer(value.get<std::uint64_t>(), out);
    default: out += library_dump(value);
  }
}

[[noreturn]] void wrong_type(const Json& found, std::string_view key, const std::string& path, std::string_view expected) {
  std::string shown = dump_json(found);
  if (shown.size() > 80) shown = shown.substr(0, 77) + "...";
  fail(ErrorKind::Input, fmt::format("{}/{}: expected {}, found {}", path, key, expected, shown));
}

const Json* find_member(const Json& object, std::string_view key, const std::string& path) {
  if (!object.is_object()) {
    fail(ErrorKind::Input, fmt::format("{}: expected an object, found {}", path.empty() ? "/" : path, object.type_name()));
  }
  const auto it = object.find(std::string(key));
  return it == object.end() ? nullptr : &*it;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

Json parse_json(std::string_view text, std::string_view what) {
  // The parser takes NUL for the end of its input, and would not see what follows.
  const auto nul = text.find('\0');
  require(nul == std::string_view::npos, ErrorKind::Input, fmt::format("could not read {} as JSON: byte {}: found a NUL character", what, nul + 1));
  Json root;
  CheckedBuilder builder(root);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    fail(ErrorKind::Input, fmt::format("could not read {} as JSON: {}", what,
                                       builder.problem().empty() ? "syntax error" : builder.problem()));
  }
  return root;
}

std::string read_text_file(const std::string& path) {
  std::error_code ignored;
  require(!std::filesystem::is_directory(path, ignored), ErrorKind::Input, fmt::format("could not read {}: it is a folder; accepted: a file", path));
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorKind::Input, fmt::format("could not open {}: {}", path, std::strerror(errno)));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) fail(ErrorKind::Input, fmt::format("could not read {}: {}", path, std::strerror(errno)));
  return text;
}

Json read_json_file(const std::string& path) { return parse_json(read_text_file(path), path); }

std::string dump_json(const Json& value) {
  std::string out;
  write(value, false, out);
  return out;
}

std::string canonical_json(const Json& value) {
  std::string out;
  write(value, true, out);
  return out;
}

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::size_t i = 0;
  while (i < bytes.size()) {
    const std::size_t start = i;
    while (i < bytes.size() && static_cast<unsigned char>(bytes[i]) < 0x80) ++i;
    out.append(bytes, start, i - start);
    if (i == bytes.size()) break;
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t length = lead >= 0xC2 && lead < 0xE0 ? 2 : (lead & 0xF0) == 0xE0 ? 3
                               : lead >= 0xF0 && lead < 0xF5                  ? 4
                                                                              : 0;
    bool good = length > 0 && i + length <= bytes.size();
    for (std::size_t k = 1; good && k < length; ++k) good = (static_cast<unsigned char>(bytes[i + k]) & 0xC0) == 0x80;
    if (good && length >= 3) {
      const auto second = static_cast<unsigned char>(bytes[i + 1]);
      // Over-long forms, surrogates and values above U+10FFFF are not UTF-8.
      good = !((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) || (lead == 0xF0 && second < 0x90) ||
               (lead == 0xF4 && second >= 0x90));
    }
    if (good) {
      out.append(bytes, i, length);
      i += length;
    } else {
      out += "\xEF\xBF\xBD";
      ++i;
    }
  }
  return out;
}

const Json& get_member(const Json& object, std::string_view key, const std::string& path) {
  const Json* member = find_member(object, key, path);
  if (member == nullptr) fail(ErrorKind::Input, fmt::format("{}: the member \"{}\" is missing", path.empty() ? "/" : path, key));
  return *member;
}

std::string get_string(const Json& object, std::string_view key, const std::string& path) {
  const Json& value = get_member(object, key, path);
  if (!value.is_string()) wrong_type(value, key, path, "a string");
  return value.get<std::string>();
}

std::int64_t get_integer(const Json& object, std::string_view key, const std::string& path) {
  const Json& value = get_member(object, key, path);
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)) {
    wrong_type(value, key, path, "an integer");
  }
  return value.get<std::int64_t>();
}

double get_number(const Json& object, std::string_view key, const std::string& path) {
  const Json& value = get_member(object, key, path);
  if (!value.is_number()) wrong_type(value, key, path, "a number");
  return value.get<double>();
}

const Json& get_array(const Json& object, std::string_view key, const std::string& path) {
  const Json& value = get_member(object, key, path);
  if (!value.is_array()) wrong_type(value, key, path, "an array");
  return value;
}

const Json& get_object(const Json& object, std::string_view key, const std::string& path) {
  const Json& value = get_member(object, key, path);
  if (!value.is_object()) wrong_type(value, key, path, "an object");
  return value;
}

std::string string_or(const Json& object, std::string_view key, std::string_view fallback, const std::string& path) {
  return find_member(object, key, path) == nullptr ? std::string(fallback) : get_string(object, key, path);
}

std::int64_t integer_or(const Json& object, std::string_view key, std::int64_t fallback, const std::string& path) {
  return find_member(object, key, path) == nullptr ? fallback : get_integer(object, key, path);
}

double number_or(const Json& object, std::string_view key, double fallback, const std::string& path) {
  return find_member(object, key, path) == nullptr ? fallback : get_number(object, key, path);
}

bool boolean_or(const Json& object, std::string_view key, bool fallback, const std::string& path) {
  const Json* value = find_member(object, key, path);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(*value, key, path, "true or false");
  return value->get<bool>();
}

void refuse_unknown_members(const Json& object, std::initializer_list<std::string_view> allowed, const std::string& path) {
  if (!object.is_object()) {
    fail(ErrorKind::Input, fmt::format("{}: expected an object, found {}", path.empty() ? "/" : path, object.type_name()));
  }
  for (const auto& item : object.items()) {
    if (std::find(allowed.begin(), allowed.end(), item.key()) != allowed.end()) continue;
    const std::vector<std::string> candidates(allowed.begin(), allowed.end());
    const std::string nearest = nearest_word(item.key(), candidates);
    fail(ErrorKind::Input, fmt::format("{}/{}: unknown member{}; accepted: {}", path, item.key(),
                                       nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest),
                                       fmt::join(candidates, ", ")));
  }
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace gauntlet

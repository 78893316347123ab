#include "synth/template_members.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "envs/env_spec_reading.h"
#include "synth/difficulty.h"

namespace gauntlet {
namespace {

constexpr std::string_view kFormat = "gauntlet.tasks/1";

/// A form of synth/template.h, and the members that stand beside it.
struct Form {
  std::string_view name;
  std::array<std::string_view, 3> beside;
};

constexpr Form kForms[] = {{"$use", {}},   {"$splice", {}}, {"$int", {}},  {"$number", {}}, {"$date", {}}, {"$date_plus", {}}, {"$word", {}}, {"$pick", {}}, {"$let", {"in"}},
                           {"$fit", {}},   {"$for", {"from", "to", "do"}}, {"$if", {"do"}}, {"$maybe", {"do"}}, {"$sample", {"of"}}};

class Reader {
 public:
  explicit Reader(const EnvSpec& spec) : tasks_(spec.tasks) {}

  std::vector<std::string> problems() {
    known(tasks_, {"format", "prompt", "fragments", "levels", "named"}, {"prompt", "fragments"}, "/tasks");
    if (!tasks_.is_object()) return std::move(problems_);
    const Json* format = member(tasks_, "format");
    if (format != nullptr && *format != kFormat) found("/tasks/format", dump_json(*format), fmt::format("\"{}\"", kFormat));
    if (const Json* prompt = member(tasks_, "prompt")) {
      known(*prompt, {"en"}, {"en"}, "/tasks/prompt");
    }
    if (const Json* fragments = objects("fragments")) {
      for (const auto& item : fragments->items()) walk(item.value(), "/tasks/fragments/" + item.key());
    }
    if (const Json* levels = objects("levels")) {
      for (const auto& item : levels->items()) {
        const std::string path = "/tasks/levels/" + item.key();
        const bool good = item.key().size() == 1 && item.key()[0] >= '1' && item.key()[0] <= '5';
        if (!good) problems_.push_back(fmt::format("{}: unknown level; accepted: \"1\" to \"5\"", path));
        task(item.value(), {"name", "variables", "world", "slots", "base", "structure", "clauses", "objective", "close_branches", "accept"}, path);
      }
    }
    if (const Json* named = objects("named")) {
      for (const auto& item : named->items()) {
        task(item.value(), {"name", "level", "seed", "edits", "variables", "world", "slots", "base", "structure", "clauses", "objective", "close_branches", "accept"},
             "/tasks/named/" + item.key());
      }
    }
    return std::move(problems_);
  }

 private:
  static const Json* member(const Json& object, std::string_view key) {
    const auto it = object.find(std::string(key));
    return it == object.end() ? nullptr : &*it;
  }

  void found(const std::string& path, const std::string& what, const std::string& accepted) { problems_.push_back(fmt::format("{}: found {}; accepted: {}", path, what, accepted)); }

  void unknown(const std::string& path, const std::string& key, const std::vector<std::string>& accepted) {
    problems_.push_back(fmt::format("{}/{}: unknown member{}", path, key, hint(key, accepted)));
  }

  void known(const Json& object, const std::vector<std::string>& accepted, std::initializer_list<std::string_view> required, const std::string& path) {
    if (!object.is_object()) return found(path, object.type_name(), "an object");
    for (const auto& item : object.items()) {
      if (std::find(accepted.begin(), accepted.end(), item.key()) == accepted.end()) unknown(path, item.key(), accepted);
    }
    for (const std::string_view key : required) {
      if (member(object, key) == nullptr) problems_.push_back(fmt::format("{}: the member \"{}\" is missing", path, key));
    }
  }

  static bool is_form(const Json& value) { return value.is_object() && !value.empty() && value.begin().key().starts_with('$'); }

  /// What to say of a name that is none of the accepted ones.
  static std::string hint(const std::string& name, const std::vector<std::string>& accepted) {
    const std::string nearest = nearest_word(name, accepted);
    return fmt::format("{}; accepted: {}", nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), accepted.empty() ? "none" : fmt::format("{}", fmt::join(accepted, ", ")));
  }

  /// A member of "tasks" that is an object, if it is there.
  const Json* objects(const std::string& key) {
    const Json* value = member(tasks_, key);
    if (value == nullptr || value->is_object()) return value;
    found("/tasks/" + key, value->type_name(), "an object");
    return nullptr;
  }

  void task(const Json& source, const std::vector<std::string>& accepted, const std::string& path) {
    known(source, accepted, {"variables", "world", "slots", "base", "clauses", "accept"}, path);
    if (!source.is_object()) return;
    for (const char* key : {"variables", "world"}) {
      const Json* value = member(source, key);
      if (value == nullptr) continue;
      if (!value->is_object()) found(fmt::format("{}/{}", path, key), value->type_name(), "an object");
      walk(*value, fmt::format("{}/{}", path, key));
    }
    for (const char* key : {"slots", "base", "structure", "clauses"}) {
      const Json* value = member(source, key);
      if (value == nullptr) continue;
      if (!value->is_array() && !is_form(*value)) found(fmt::format("{}/{}", path, key), value->type_name(), "an array");
      walk(*value, fmt::format("{}/{}", path, key));
    }
    if (const Json* objective = member(source, "objective")) walk(*objective, path + "/objective");
    if (const Json* accept = member(source, "accept")) known(*accept, difficulty_entries(), {}, path + "/accept");
    if (const Json* edits = member(source, "edits")) {
      if (!edits->is_array()) return found(path + "/edits", edits->type_name(), "an array");
      for (std::size_t i = 0; i < edits->size(); ++i) known((*edits)[i], {"table", "key", "column", "value"}, {"table", "key", "column", "value"}, fmt::format("{}/edits/{}", path, i));
    }
  }

  /// Every form in a template has the members that it reads, and no others.
  void walk(const Json& value, const std::string& path) {
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i) walk(value[i], fmt::format("{}/{}", path, i));
    }
    if (!value.is_object()) return;
    if (is_form(value)) form(value, path);
    for (const auto& item : value.items()) {
      if (!is_form(value) && item.key().starts_with('$')) problems_.push_back(fmt::format("{}: the form \"{}\" must be the first member of its object", path, item.key()));
      walk(item.value(), fmt::format("{}/{}", path, item.key()));
    }
  }

  void form(const Json& value, const std::string& path) {
    const std::string name = value.begin().key();
    const auto* known_form = std::find_if(std::begin(kForms), std::end(kForms), [&](const Form& candidate) { return candidate.name == name; });
    if (known_form == std::end(kForms)) {
      std::vector<std::string> names;
      for (const auto& candidate : kForms) names.emplace_back(candidate.name);
      problems_.push_back(fmt::format("{}: unknown form \"{}\"{}", path, name, hint(name, names)));
      return;
    }
    std::vector<std::string> members = {name};
    for (const std::string_view beside : known_form->beside) {
      if (beside.empty()) continue;
      members.emplace_back(beside);
      if (member(value, beside) == nullptr) problems_.push_back(fmt::format("{}: the member \"{}\" is missing", path, beside));
    }
    known(value, members, {}, path);
    const Json& given = value.begin().value();
    if (name == "$fit") known(given, {"of", "side", "slack", "round", "when", "otherwise"}, {"of", "side", "slack", "round"}, path + "/$fit");
    if ((name == "$use" || name == "$splice") && given.is_string()) fragment(given.get<std::string>(), path + "/" + name);
  }

  void fragment(const std::string& name, const std::string& path) {
    const Json* fragments = member(tasks_, "fragments");
    if (fragments == nullptr || !fragments->is_object() || fragments->contains(name)) return;
    std::vector<std::string> names;
    for (const auto& item : fragments->items()) names.push_back(item.key());
    problems_.push_back(fmt::format("{}: there is no fragment \"{}\"{}", path, name, hint(name, names)));
  }

  const Json& tasks_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> template_member_problems(const EnvSpec& spec) {
  // Without templates an environment can still be played.
  return spec.tasks.is_null() ? std::vector<std::string>{} : Reader(spec).problems();
}

void require_template_members(const EnvSpec& spec, const std::string& what) {
  Problems problems;
  problems.add(template_member_problems(spec));
  problems.raise(what);
}

}  // namespace gauntlet

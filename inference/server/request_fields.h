#pragma once

// Members of a request's JSON, read with their types and ranges. A member that is null counts as absent, as OpenAI's clients send it.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "inference/server/api_error.h"

namespace gauntlet {

/// Parses a body. Throws ApiRefusal for text that is no JSON object, or nests deeper than `depth`.
Json parse_request_body(std::string_view body, int depth);

/// Throws ApiRefusal, naming the member, for all that is not as asked.
class RequestFields {
 public:
  /// `path` is the place of `object` in the body ("messages[3]"); empty at the top. Both must outlive this.
  RequestFields(const Json& object, std::string path);

  /// Null if absent.
  const Json* find(std::string_view key);
  const Json& get(std::string_view key);

  std::optional<double> number(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least, std::int64_t most);
  std::optional<bool> flag(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  /// Null if absent.
  const Json* array(std::string_view key, std::size_t most);
  const Json* object(std::string_view key);

  /// For a member that is required and absent: refuses one that is near enough to be its misspelling, if there is one.
  void refuse_misspelt(std::string_view key) const;
  /// Accepts a member without looking at it.
  void ignore(std::initializer_list<std::string_view> keys);
  /// Every member must have been asked for by now: a misspelt one never passes silently.
  void refuse_others();

  std::string place(std::string_view key) const;

 private:
  bool asked_for(std::string_view key) const;
  [[noreturn]] void refuse_unknown(const std::string& key, const std::string& nearest) const;

  const Json& object_;
  std::string path_;
  std::vector<std::string_view> known_;
};

/// A value in an error message, short.
std::string shown(const Json& value);

}  // namespace gauntlet

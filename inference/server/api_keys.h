#pragma once

// The keys that clients show. Nothing here prints one.

#include <string>
#include <string_view>
#include <vector>

namespace gauntlet {

class ApiKeys {
 public:
  ApiKeys() = default;

  /// One key a line; empty lines and lines that begin with # are none. Throws Error(Input) for a file that cannot be read or has no key, and
  /// for keys of less than 8 characters or with others than visible ASCII, without quoting them.
  static ApiKeys from_file(const std::string& path);
  /// Keys separated by commas or white space; `name` is the variable's, for errors.
  static ApiKeys from_text(std::string_view text, const std::string& name);
  void add(const ApiKeys& other) { hashes_.insert(hashes_.end(), other.hashes_.begin(), other.hashes_.end()); }

  bool empty() const { return hashes_.empty(); }
  /// Takes as long for a wrong key as for a right one: all keys are compared, by hash, whole.
  bool accepts(std::string_view key) const;
  /// The same for an Authorization header's value, "Bearer KEY".
  bool accepts_header(std::string_view authorization) const;

 private:
  void add_key(std::string_view key, const std::string& source);

  std::vector<std::string> hashes_;
};

}  // namespace gauntlet

#pragma once

// The one exception type of the project. Thrown when an operation cannot go on; expected outcomes are values.
// Standard library only, so that CUDA translation units may include it.

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace gauntlet {

/// Broad class of an error; decides the exit code at the command line (Usage: 2, all others: 3).
enum class ErrorKind {
  Usage,           ///< the caller asked for something that does not exist or is malformed
  Input,           ///< a file, spec, record or answer is not what it should be
  Store,           ///< the SQLite store could not be opened, read or written
  Infrastructure,  ///< an endpoint, process, file system or device failed; never scored
  Internal,        ///< a bug
};

/// message() says what was attempted, what was found, and what would be accepted.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::source_location where = std::source_location::current())
      : std::runtime_error(message), kind_(kind), where_(where) {}

  ErrorKind kind() const { return kind_; }
  const std::source_location& where() const { return where_; }

 private:
  ErrorKind kind_;
  std::source_location where_;
};

[[noreturn]] inline void fail(ErrorKind kind, const std::string& message,
                              std::source_location where = std::source_location::current()) {
  throw Error(kind, message, where);
}

inline void require(bool condition, ErrorKind kind, std::string_view message,
                    std::source_location where = std::source_location::current()) {
  if (!condition) throw Error(kind, std::string(message), where);
}

}  // namespace gauntlet

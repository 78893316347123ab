#pragma once

// A tool call's arguments: from the JSON text that a model wrote to typed values.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "envs/env_spec.h"

namespace gauntlet {

/// Views into the parser's buffers, valid until its next parse.
struct ToolArgument {
  bool given = false;
  std::string_view text;                ///< String
  std::int64_t integer = 0;             ///< Integer, Boolean (0 or 1)
  double number = 0.0;                  ///< Number
  std::vector<std::string_view> items;  ///< Strings
};

struct ArgumentProblem {
  std::string_view code;  ///< "malformed_arguments" (no JSON object) or "invalid_arguments"
  std::string message;
};

/// Keeps its buffers from call to call. One thread at a time.
class ToolArgumentParser {
 public:
  ToolArgumentParser();
  ~ToolArgumentParser();
  ToolArgumentParser(const ToolArgumentParser&) = delete;
  ToolArgumentParser& operator=(const ToolArgumentParser&) = delete;

  /// Any bytes are survived. Blank text means no arguments, and a single string where an array of strings is expected means one
  /// item: both are common slips and unambiguous.
  std::optional<ArgumentProblem> parse(const ToolDefinition& tool, std::string_view text);

  const std::vector<ToolArgument>& values() const;  ///< [tool.parameters] of the last successful parse

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// `pattern` with each "{argument}" replaced by its value (clipped); values are not searched again.
std::string fill_message(const std::string& pattern, const ToolDefinition& tool, const std::vector<ToolArgument>& values);

}  // namespace gauntlet

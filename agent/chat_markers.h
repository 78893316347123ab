#pragma once

// The special strings of DeepSeek-V3.2's prompt format. The bars are U+FF5C and the low lines U+2581.

#include <string_view>

namespace gauntlet::chat_markers {

inline constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view kUser = "<｜User｜>";
inline constexpr std::string_view kAssistant = "<｜Assistant｜>";
inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";
inline constexpr std::string_view kDsml = "｜DSML｜";

inline constexpr std::string_view kBlockOpen = "<｜DSML｜function_calls";
inline constexpr std::string_view kBlockClose = "</｜DSML｜function_calls>";
inline constexpr std::string_view kInvokeOpen = "<｜DSML｜invoke";
inline constexpr std::string_view kInvokeClose = "</｜DSML｜invoke";
inline constexpr std::string_view kParameterOpen = "<｜DSML｜parameter";
inline constexpr std::string_view kParameterClose = "</｜DSML｜parameter";

/// Names that the later model V4 gives the block; only the forgiving parser knows them.
inline constexpr std::string_view kV4BlockOpen = "<｜DSML｜tool_calls";
inline constexpr std::string_view kV4BlockClose = "</｜DSML｜tool_calls>";

/// DeepSeek-V3.1 and V3.2-Exp; only the forgiving parser knows them.
inline constexpr std::string_view kV31CallsOpen = "<｜tool▁calls▁begin｜>";
inline constexpr std::string_view kV31CallsClose = "<｜tool▁calls▁end｜>";
inline constexpr std::string_view kV31CallOpen = "<｜tool▁call▁begin｜>";
inline constexpr std::string_view kV31CallClose = "<｜tool▁call▁end｜>";
inline constexpr std::string_view kV31Separator = "<｜tool▁sep｜>";

}  // namespace gauntlet::chat_markers

#pragma once

// Episodes as supervised fine-tuning conversations (docs/exports.md):
//   Messages   OpenAI messages with tools and reasoning_content; schema datasets/schemas/sft_messages.schema.json
//   ShareGpt   LLaMA-Factory's sharegpt with function_call and observation turns, and the dataset_info.json that it reads;
//              schema datasets/schemas/sft_sharegpt.schema.json
// A conversation ends with the assistant: results after its last message (such as that of submitting) are left out.

#include <string>

#include "datasets/exports.h"
#include "datasets/store.h"

namespace gauntlet {

enum class SftFormat { Messages, ShareGpt };
enum class ArgumentsForm { String, Object };  ///< of tool calls in Messages; ShareGpt always has objects
enum class ReasoningExport { Keep, Drop };

struct SftExportOptions {
  SftFormat format = SftFormat::Messages;
  ExportTarget target;
  std::string run_id;       ///< empty: all runs
  std::string environment;  ///< empty: all
  int level = -1;           ///< -1: all
  double min_score = 1.0;   ///< unscored episodes are never exported
  ArgumentsForm arguments = ArgumentsForm::String;
  ReasoningExport reasoning = ReasoningExport::Keep;
  /// Between the results of parallel calls that become one observation: what LLaMA-Factory's own converter puts there.
  std::string observation_separator = "\n</tool_response>\n<tool_response>\n";
};

/// Episodes that a trainer would refuse or misread are left out and counted by reason in the summary.
/// Throws Error(Usage) if nothing is left.
ExportSummary export_sft(const Store& store, const EnvironmentInfos& environments, const SftExportOptions& options);

}  // namespace gauntlet

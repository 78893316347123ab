#include "inference/server/completion_call.h"

#include <fmt/format.h>

#include <limits>

#include "inference/server/vllm_members.h"

namespace gauntlet {
namespace {

constexpr int kDefaultTokens = 16;  // OpenAI's

std::vector<std::int32_t> read_ids(const Json& list) {
  std::vector<std::int32_t> out;
  out.reserve(list.size());
  for (const auto& id : list) {
    const bool good = id.is_number_integer() && (!id.is_number_unsigned() || id.get<std::uint64_t>() <= INT32_MAX) && id.get<std::int64_t>() >= 0;
    if (!good) refuse_member("prompt", fmt::format("expected token ids, found {}", shown(id)));
    out.push_back(static_cast<std::int32_t>(id.get<std::int64_t>()));
  }
  return out;
}

/// A string, strings, ids, or lists of ids.
std::vector<CompletionCall::Prompt> read_prompts(const Json& prompt, const ServerLimits& limits) {
  if (prompt.is_string()) return {prompt.get<std::string>()};
  if (!prompt.is_array() || prompt.empty()) refuse_member("prompt", fmt::format("expected a string, an array of strings, or token ids, found {}", shown(prompt)));
  if (prompt.front().is_number()) return {read_ids(prompt)};
  if (prompt.size() > limits.prompts) refuse_member("prompt", fmt::format("found {} prompts; accepted: at most {}", prompt.size(), limits.prompts));
  std::vector<CompletionCall::Prompt> out;
  for (const auto& one : prompt) {
    if (one.is_string()) {
      out.emplace_back(one.get<std::string>());
    } else if (one.is_array()) {
      out.emplace_back(read_ids(one));
    } else {
      refuse_member("prompt", fmt::format("expected strings or arrays of token ids, found {}", shown(one)));
    }
  }
  return out;
}

}  // namespace

CompletionCall parse_completion_call(const Json& body, const ServerLimits& limits) {
  RequestFields fields(body, "");
  CompletionCall out;
  out.options = parse_generation_options(fields, limits);
  out.prompts = read_prompts(fields.get("prompt"), limits);
  out.echo = fields.flag("echo").value_or(false);
  const auto logprobs = fields.integer("logprobs", 0, limits.top_logprobs);
  out.logprobs = logprobs.has_value();
  out.top_logprobs = static_cast<int>(logprobs.value_or(0));
  out.add_special = fields.flag("add_special_tokens").value_or(true);
  out.options.max_tokens = static_cast<int>(fields.integer("max_tokens", 0, std::numeric_limits<std::int32_t>::max()).value_or(kDefaultTokens));
  if (out.options.max_tokens == 0) {
    if (!out.echo) refuse_member("max_tokens", "0 is accepted only with \"echo\": true");
    out.no_output = true;
    out.options.max_tokens = 1;
  }
  const auto choices = static_cast<std::int64_t>(out.prompts.size()) * out.options.samples;
  if (choices > limits.choices) refuse_member("n", fmt::format("{} prompts times n are {} choices; accepted: at most {}", out.prompts.size(), choices, limits.choices));
  if (const auto best = fields.integer("best_of", 1, limits.samples); best && *best != out.options.samples) refuse_member("best_of", "accepted: the value of n", "unsupported_parameter");
  if (const auto suffix = fields.text("suffix"); suffix && !suffix->empty()) refuse_member("suffix", "not supported by this server", "unsupported_parameter");
  ignore_harmless_members(fields);
  read_vllm_members(fields);
  fields.refuse_others();
  return out;
}

}  // namespace gauntlet

#include "inference/server/vllm_members.h"

#include <fmt/format.h>

#include <span>

namespace gauntlet {
namespace {

/// A value that asks for nothing, as JSON text; null always does.
struct NeutralMember {
  const char* name;
  const char* neutral;
};

constexpr NeutralMember kNeutral[] = {
    {"skip_special_tokens", "true"}, {"spaces_between_special_tokens", "true"}, {"include_stop_str_in_output", "false"},
    {"min_tokens", "0"},             {"truncate_prompt_tokens", "-1"},          {"use_beam_search", "false"},
    {"length_penalty", "1.0"},       {"bad_words", "[]"},                       {"return_tokens_as_token_ids", "false"},
};

constexpr NeutralMember kNeutralInChats[] = {
    {"echo", "false"}, {"add_generation_prompt", "true"}, {"continue_final_message", "false"}, {"add_special_tokens", "false"}, {"include_reasoning", "true"},
};

/// What is asked for in another way here.
struct OtherWay {
  const char* name;
  const char* advice;
};

constexpr const char* kJsonOnly = "replies of a required form are those of response_format in /v1/chat/completions";

constexpr OtherWay kOtherWays[] = {
    {"structured_outputs", "use response_format of /v1/chat/completions, with a json_schema (that has an enum for a choice)"},
    {"guided_json", "use response_format of /v1/chat/completions, with a json_schema"},
    {"guided_choice", "use response_format of /v1/chat/completions, with a json_schema that has an enum"},
    {"guided_regex", kJsonOnly},
    {"guided_grammar", kJsonOnly},
    {"guided_decoding_backend", kJsonOnly},
    {"guided_whitespace_pattern", kJsonOnly},
    {"structural_tag", kJsonOnly},
    {"prompt_logprobs", "the scores of a prompt are those of /v1/completions with echo and logprobs"},
};

void read_neutral(RequestFields& fields, std::span<const NeutralMember> members) {
  for (const auto& member : members) {
    const Json* found = fields.find(member.name);
    if (found == nullptr || *found == Json::parse(member.neutral)) continue;
    refuse_member(member.name, fmt::format("found {}; not supported by this server but for {}", shown(*found), member.neutral), "unsupported_parameter");
  }
}

}  // namespace

void read_vllm_members(RequestFields& fields) {
  read_neutral(fields, kNeutral);
  fields.number("priority");  // requests are served in the order of their arrival
  for (const auto& [name, advice] : kOtherWays) {
    if (fields.find(name) != nullptr) refuse_member(name, fmt::format("not supported by this server; {}", advice), "unsupported_parameter");
  }
}

void read_vllm_chat_members(RequestFields& fields) { read_neutral(fields, kNeutralInChats); }

}  // namespace gauntlet

#include "inference/server/vllm_members.h"

#include <doctest/doctest.h>

namespace gauntlet {
namespace {

ApiError refusal(const Json& body) {
  try {
    RequestFields fields(body, "");
    read_vllm_members(fields);
    read_vllm_chat_members(fields);
    fields.refuse_others();
  } catch (const ApiRefusal& refused) {
    return refused.error();
  }
  return {.status = 200};
}

TEST_CASE("vLLM's members with values that ask for nothing are accepted") {
  const Json body = {{"skip_special_tokens", true}, {"spaces_between_special_tokens", true}, {"include_stop_str_in_output", false}, {"min_tokens", 0}, {"truncate_prompt_tokens", -1},
                     {"use_beam_search", false}, {"length_penalty", 1}, {"bad_words", Json::array()}, {"return_tokens_as_token_ids", false}, {"priority", -3.5}, {"echo", false},
                     {"add_generation_prompt", true}, {"continue_final_message", false}, {"add_special_tokens", false}, {"include_reasoning", true}};
  CHECK(refusal(body).status == 200);
  Json nulls = {{"structured_outputs", nullptr}, {"guided_choice", nullptr}, {"prompt_logprobs", nullptr}};
  for (const auto& item : body.items()) nulls[item.key()] = nullptr;
  CHECK(refusal(nulls).status == 200);
}

TEST_CASE("vLLM's members that would change the reply are refused, with what would be accepted") {
  CHECK(refusal({{"skip_special_tokens", false}}).message == "skip_special_tokens: found false; not supported by this server but for true");
  CHECK(refusal({{"min_tokens", 5}}).message == "min_tokens: found 5; not supported by this server but for 0");
  CHECK(refusal({{"include_stop_str_in_output", 0}}).param == "include_stop_str_in_output");
  CHECK(refusal({{"priority", "high"}}).message == "priority: expected a number, found \"high\"");
  const auto choice = refusal({{"guided_choice", {"yes", "no"}}});
  CHECK(choice.message == "guided_choice: not supported by this server; use response_format of /v1/chat/completions, with a json_schema that has an enum");
  CHECK(choice.code == "unsupported_parameter");
  CHECK(refusal({{"structured_outputs", {{"choice", {"yes", "no"}}}}}).param == "structured_outputs");
}

}  // namespace
}  // namespace gauntlet

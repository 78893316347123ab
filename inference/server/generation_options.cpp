#include "inference/server/generation_options.h"

#include <fmt/format.h>

#include <limits>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kMostTokens = std::numeric_limits<std::int32_t>::max();

std::string checked_stop(const Json& value, const ServerLimits& limits) {
  if (!value.is_string()) refuse_member("stop", fmt::format("expected a string or an array of strings, found {}", shown(value)));
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > limits.stop_bytes) refuse_member("stop", fmt::format("found a stop string of {} bytes; accepted: 1 to {}", text.size(), limits.stop_bytes));
  return text;
}

void read_stops(RequestFields& fields, const ServerLimits& limits, GenerationOptions& out) {
  if (const Json* stop = fields.find("stop")) {
    if (stop->is_array()) {
      if (stop->size() > limits.stop_strings) refuse_member("stop", fmt::format("found {} stop strings; accepted: at most {}", stop->size(), limits.stop_strings));
      for (const auto& one : *stop) out.stops.push_back(checked_stop(one, limits));
    } else {
      out.stops.push_back(checked_stop(*stop, limits));
    }
  }
  if (const Json* ids = fields.array("stop_token_ids", limits.stop_ids)) {
    for (const auto& id : *ids) {
      const bool good = id.is_number_integer() && id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() <= kMostTokens;
      if (!good) refuse_member("stop_token_ids", fmt::format("expected token ids, found {}", shown(id)));
      out.stop_ids.push_back(static_cast<std::int32_t>(id.get<std::int64_t>()));
    }
  }
}

void read_sampling(RequestFields& fields, SamplingParameters& out) {
  out.temperature = fields.number("temperature").value_or(1.0);
  out.top_p = fields.number("top_p").value_or(1.0);
  // vLLM's clients write -1 for all.
  out.top_k = static_cast<int>(std::max<std::int64_t>(fields.integer("top_k", -1, kMostTokens).value_or(0), 0));
  out.min_p = fields.number("min_p").value_or(0.0);
  out.repetition_penalty = fields.number("repetition_penalty").value_or(1.0);
  out.presence_penalty = fields.number("presence_penalty").value_or(0.0);
  out.frequency_penalty = fields.number("frequency_penalty").value_or(0.0);
  try {
    check_sampling(out);
  } catch (const Error& error) {
    const std::string message = error.what();
    throw ApiRefusal({.message = message, .param = message.substr(0, message.find(':'))});
  }
}

}  // namespace

GenerationOptions parse_generation_options(RequestFields& fields, const ServerLimits& limits) {
  GenerationOptions out;
  out.model = fields.text("model").value_or("");
  read_sampling(fields, out.sampling);
  // Negative seeds are seeds of their own: OpenAI's are signed.
  if (const auto seed = fields.integer("seed", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max())) out.seed = static_cast<std::uint64_t>(*seed);
  out.samples = static_cast<int>(fields.integer("n", 1, limits.samples).value_or(1));
  read_stops(fields, limits, out);
  out.ignore_end = fields.flag("ignore_eos").value_or(false);
  out.return_ids = fields.flag("return_token_ids").value_or(false);
  out.stream = fields.flag("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    if (!out.stream) refuse_member("stream_options", "accepted only with \"stream\": true");
    RequestFields inner(*options, "stream_options");
    out.include_usage = inner.flag("include_usage").value_or(false);
    inner.ignore({"include_obfuscation"});
    inner.refuse_others();
  }
  if (const Json* bias = fields.object("logit_bias"); bias != nullptr && !bias->empty()) refuse_member("logit_bias", "not supported by this server", "unsupported_parameter");
  return out;
}

void ignore_harmless_members(RequestFields& fields) {
  fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity", "prediction"});
}

}  // namespace gauntlet

#include "inference/server/api_error.h"

namespace gauntlet {
namespace {

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

Json to_json(const ApiError& error) {
  return {{"error", {{"message", error.message}, {"type", error.type}, {"param", text_or_null(error.param)}, {"code", text_or_null(error.code)}}}};
}

void refuse_member(const std::string& param, const std::string& message, const std::string& code) {
  throw ApiRefusal({.message = param.empty() ? message : param + ": " + message, .param = param, .code = code});
}

ApiError not_found_error(const std::string& message, const std::string& code) { return {.status = 404, .message = message, .code = code}; }
ApiError overloaded_error(const std::string& message) { return {.status = 503, .type = "server_error", .message = message, .code = "overloaded"}; }
ApiError rate_limit_error(const std::string& message) { return {.status = 429, .type = "rate_limit_error", .message = message, .code = "rate_limit_exceeded"}; }
ApiError server_error(const std::string& message) { return {.status = 500, .type = "server_error", .message = message, .code = "internal_error"}; }

}  // namespace gauntlet

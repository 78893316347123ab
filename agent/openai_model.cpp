#include "agent/openai_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <random>
#include <thread>
#include <variant>

#include "agent/context_refusal.h"
#include "agent/endpoint_failure.h"
#include "agent/openai_wire.h"
#include "agent/sse.h"
#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxErrorBodyBytes = 64 * 1024;
constexpr int kMostShorterRequests = 10;  ///< for a reply that the context has no room for
constexpr std::chrono::milliseconds kSleepSlice{20};
constexpr std::chrono::seconds kStillArriving{10};  ///< a stream whose last event is younger than that is at work

template <class T>
using Outcome = std::variant<T, Failure>;

struct Call {
  const ChatRequest& request;
  const CancelFlag& cancel;
};

enum class ReplyForm { Stream, Whole };

/// How a reply is asked for; changed by what the endpoint has answered.
struct Asking {
  ReplyForm form;
  int max_tokens;
  bool shortened = false;  ///< to what the context leaves
  bool guessed = false;    ///< by halves, since the endpoint did not say what that is
};

/// No text, no call, no token: some servers and proxies answer so when they have lost the request. A reply that was cut is something.
bool is_empty(const ChatReply& reply) {
  const Message& message = reply.message;
  return reply.finish == FinishReason::Stop && reply.usage.completion_tokens == 0 && message.content.empty() && message.reasoning.empty() && message.tool_calls.empty() &&
         reply.malformed_call.empty();
}

/// A length of the user's own choice, which ours does not change.
bool names_length(const Json& extra_body) { return extra_body.contains("max_tokens") || extra_body.contains("max_completion_tokens"); }

std::string replaced(std::string text, std::string_view secret) {
  if (secret.empty()) return text;
  for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3))
    text.replace(at, secret.size(), "***");
  return text;
}

/// Takes in the body of one completion, streamed or not.
class CompletionReader {
 public:
  CompletionReader(std::size_t first_call_number, std::size_t max_event_bytes)
      : builder_(first_call_number), sse_(max_event_bytes) {}

  void on_bytes(const HttpHead& head, std::string_view bytes) {
    if (head.status == 200 && is_stream(head)) {
      if (shown_.size() < kExcerptBytes) shown_ += bytes.substr(0, kExcerptBytes);
      sse_.feed(bytes, [this](std::string_view data) { on_event(data); });
    } else if (head.status == 200 || body_.size() < kMaxErrorBodyBytes) {
      body_ += bytes;
    }
  }

  Outcome<WireReply> finish(const std::string& where, const HttpResult& result) {
    const HttpHead& head = result.head;
    if (is_stream(head) && head.status == 200) return finish_stream(where, result);
    if (result.end != HttpEnd::Complete) return end_failure(where, result);
    if (head.status != 200) return status_failure(where, head, body_);
    if (is_html(head, body_)) {
      return Failure{FaultClass::Protocol,
                     fmt::format("{}: found an HTML page, {}; accepted: JSON of a chat completion (does the "
                                 "address end in /v1?)",
                                 where, excerpt(body_))};
    }
    const Json body = parse_json(valid_utf8(body_), "the reply");
    if (const auto error = find_wire_error(body)) return wire_failure(where, *error);
    builder_.add_body(body);
    return builder_.take();
  }

  const std::string& shown() const { return body_.empty() ? shown_ : body_; }

 private:
  static bool is_stream(const HttpHead& head) { return head.content_type.starts_with("text/event-stream"); }

  void on_event(std::string_view data) {
    if (done_ || error_) return;
    last_event_ = Clock::now();
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const Json chunk = parse_json(valid_utf8(data), "an event of the stream");
    error_ = find_wire_error(chunk);
    if (!error_) builder_.add_chunk(chunk);
  }

  Outcome<WireReply> finish_stream(const std::string& where, const HttpResult& result) {
    if (result.end == HttpEnd::Complete) sse_.finish([this](std::string_view data) { on_event(data); });
    if (error_) return wire_failure(where, *error_);
    // A reply that is whole counts, whatever became of the connection after it.
    if (done_ || builder_.finished()) return builder_.take();
    if (result.end == HttpEnd::DeadlinePassed && last_event_ && Clock::now() - *last_event_ < kStillArriving)
      return Failure{FaultClass::OutOfTime, where + ": the deadline passed while the reply was arriving"};
    if (result.end != HttpEnd::Complete) return end_failure(where, result);
    return Failure{FaultClass::Protocol,
                   fmt::format("{}: the stream ended without a finish reason or [DONE], after {}", where, excerpt(shown_)),
                   true, -1, shown_.empty()};
  }

  ReplyBuilder builder_;
  SseParser sse_;
  std::string body_;
  std::string shown_;
  std::optional<WireError> error_;
  std::optional<Clock::time_point> last_event_;
  bool done_ = false;
};

std::size_t tool_call_count(const std::vector<Message>& messages) {
  std::size_t count = 0;
  for (const Message& message : messages) count += message.tool_calls.size();
  return count;
}

void check_options(const OpenAiOptions& options) {
  require(options.max_attempts >= 1, ErrorKind::Usage,
          fmt::format("could not set up the endpoint: max_attempts is {}; accepted: 1 or more", options.max_attempts));
  require(options.extra_body.is_object(), ErrorKind::Usage,
          "could not set up the endpoint: the extra body is not a JSON object; accepted: for example {\"top_k\": 20}");
  require(std::none_of(options.api_key.begin(), options.api_key.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7F; }),
          ErrorKind::Usage,
          "could not set up the endpoint: the API key has a space, line break or other character that a header cannot carry");
  const auto& field = options.reasoning_field;
  require(
      field.empty() || field == kReasoningContentField || field == kReasoningField, ErrorKind::Usage,
      fmt::format(
          "could not set up the endpoint: the reasoning field is \"{}\"; accepted: {}, {}, or nothing for the name last read",
          field, kReasoningContentField, kReasoningField));
}

}  // namespace

class OpenAiModel::Impl {
 public:
  explicit Impl(OpenAiOptions options)
      : options_(std::move(options)),
        url_(parse_endpoint_url(options_.base_url)),
        endpoint_(url_, options_.http),
        jitter_(std::random_device{}()) {}

  ChatReply complete(const Call& call) {
    const std::string model = options_.model.empty() ? found_model(call) : options_.model;
    Asking asking{.form = options_.stream ? ReplyForm::Stream : ReplyForm::Whole, .max_tokens = call.request.sampling.max_tokens};
    return with_retries<ChatReply>(call, [&] {
      Outcome<ChatReply> outcome = attempt_shorter(call, model, asking);
      // llama-cpp-python answers with an empty stream where it would otherwise say what is wrong, such as a prompt that is too
      // long.
      if (const auto* failure = std::get_if<Failure>(&outcome); failure != nullptr && failure->empty_stream)
        asking.form = ReplyForm::Whole;
      return outcome;
    });
  }

  /// Calls that start together may each ask; they are told the same.
  std::string found_model(const Call& call) {
    if (std::string known = known_model(); !known.empty()) return known;
    std::string found = with_retries<std::string>(call, [&] { return ask_first_model(call); });
    const std::lock_guard lock(mutex_);
    if (found_model_.empty()) found_model_ = std::move(found);
    return found_model_;
  }

  Json describe() const {
    Json out = {{"kind", "openai"}, {"base_url", url_.text()}, {"model", known_model()}, {"stream", options_.stream}};
    if (!options_.extra_body.empty()) out["extra_body"] = options_.extra_body;
    return out;
  }

 private:
  template <class T, class Attempt>
  T with_retries(const Call& call, const Attempt& attempt_once) {
    for (int number = 1;; ++number) {
      Outcome<T> outcome = attempt_once();
      if (T* value = std::get_if<T>(&outcome)) return std::move(*value);
      const Failure& failure = std::get<Failure>(outcome);
      if (!failure.retry) raise(failure, "");
      if (number >= options_.max_attempts) raise(failure, fmt::format(" (attempt {} of {})", number, options_.max_attempts));
      const auto wait = wait_before_next(number, failure);
      if (!wait) raise(failure, fmt::format("; it asks to wait {:.0f} s, which is too long", failure.retry_after_s));
      if (call.request.deadline - Clock::now() <= *wait)
        raise(failure, "; no time is left for another attempt before the deadline");
      sleep_unless_cancelled(*wait, call.cancel);
    }
  }

  /// Full jitter (Brooker, "Exponential Backoff And Jitter", 2015), never less than what the endpoint asks for.
  std::optional<std::chrono::milliseconds> wait_before_next(int attempt_number, const Failure& failure) {
    const std::chrono::milliseconds doubled = options_.backoff_base * (1LL << std::min(attempt_number - 1, 20));
    const auto longest = std::min(options_.backoff_cap, doubled);
    std::chrono::milliseconds wait{};
    {
      const std::lock_guard lock(mutex_);
      wait = std::chrono::milliseconds(jitter_.range(0, std::max<std::int64_t>(0, longest.count())));
    }
    if (failure.retry_after_s < 0) return wait;
    const double asked_ms = std::ceil(failure.retry_after_s * 1000);
    if (asked_ms > static_cast<double>(options_.max_retry_after.count())) return std::nullopt;
    return std::max(wait, std::chrono::milliseconds(static_cast<std::int64_t>(asked_ms)));
  }

  void sleep_unless_cancelled(std::chrono::milliseconds wait, const CancelFlag& cancel) const {
    const auto end = Clock::now() + wait;
    while (Clock::now() < end) {
      if (cancel.load()) throw ModelFault(FaultClass::Cancelled, url_.text() + ": cancelled by the caller");
      std::this_thread::sleep_for(std::min<Clock::duration>(kSleepSlice, end - Clock::now()));
    }
  }

  [[noreturn]] void raise(const Failure& failure, const std::string& addition) const {
    throw ModelFault(failure.fault, replaced(failure.message + addition, options_.api_key));
  }

  HttpCall http_call(const Call& call, std::string method, const std::string& path) const {
    HttpCall http{.method = std::move(method), .path = url_.path + path, .deadline = call.request.deadline};
    http.headers.emplace_back("User-Agent", "gauntlet");
    if (!options_.api_key.empty()) http.headers.emplace_back("Authorization", "Bearer " + options_.api_key);
    return http;
  }

  /// Many servers refuse a request whose prompt and max_tokens together are longer than the context, although the prompt alone fits.
  Outcome<ChatReply> attempt_shorter(const Call& call, const std::string& model, Asking& asking) {
    for (int shorter = 0;; ++shorter) {
      Outcome<ChatReply> outcome = attempt(call, model, asking);
      const auto* failure = std::get_if<Failure>(&outcome);
      if (failure == nullptr || failure->fault != FaultClass::ContextLength || shorter == kMostShorterRequests || names_length(options_.extra_body)) return outcome;
      const auto fewer = fewer_tokens(failure->context_refusal, asking.max_tokens);
      if (!fewer || call.cancel.load()) return outcome;
      const ContextRefusal refusal = read_context_refusal(failure->context_refusal);
      asking.guessed = !refusal.context || !refusal.prompt || *refusal.context - *refusal.prompt != *fewer;
      asking.max_tokens = *fewer;
      asking.shortened = true;
    }
  }

  Outcome<ChatReply> attempt(const Call& call, const std::string& model, const Asking& asking) {
    HttpCall http = http_call(call, "POST", "/chat/completions");
    http.body = dump_json(chat_request_to_json(call.request, request_shape(model, asking)));
    http.headers.emplace_back("Accept", asking.form == ReplyForm::Stream ? "text/event-stream, application/json" : "application/json");
    const std::string where = "POST " + url_.text() + "/chat/completions";
    CompletionReader reader(tool_call_count(call.request.messages), options_.http.max_body_bytes);
    try {
      const HttpResult result = endpoint_.exchange(
          http, call.cancel, [&](const HttpHead& head, std::string_view bytes) { reader.on_bytes(head, bytes); });
      Outcome<WireReply> outcome = reader.finish(where, result);
      if (Failure* failure = std::get_if<Failure>(&outcome)) return std::move(*failure);
      WireReply& read = std::get<WireReply>(outcome);
      if (!read.reasoning_field.empty()) reads_reasoning_ = read.reasoning_field == kReasoningField;
      if (is_empty(read.reply)) {
        return Failure{.message = where + ": the reply is empty: no text, no call, 0 completion tokens, finish_reason \"stop\" or none; accepted: a reply", .retry = true};
      }
      const bool cut = asking.shortened && read.reply.finish == FinishReason::Length;
      if (cut && asking.guessed) {
        return Failure{FaultClass::Rejected, fmt::format("{}: the context had no room for a longer reply, the endpoint does not say for how long a one, and one of {} tokens was cut; "
                                                         "accepted: a smaller --max-tokens, or a server that says what fits", where, asking.max_tokens)};
      }
      if (cut) read.reply.finish = FinishReason::ContextFull;
      return std::move(read.reply);
    } catch (const Error& error) {
      return Failure{FaultClass::Protocol, fmt::format("{}: {}; found {}; accepted: a chat completion in JSON", where,
                                                       error.what(), excerpt(reader.shown()))};
    }
  }

  RequestShape request_shape(const std::string& model, const Asking& asking) const {
    const std::string_view last_read = reads_reasoning_ ? kReasoningField : kReasoningContentField;
    return {.model = model,
            .stream = asking.form == ReplyForm::Stream,
            .send_thinking_mode = options_.send_thinking_mode,
            .reasoning_field = options_.reasoning_field.empty() ? last_read : std::string_view(options_.reasoning_field),
            .max_tokens = asking.max_tokens,
            .extra_body = options_.extra_body};
  }

  std::string known_model() const {
    const std::lock_guard lock(mutex_);
    return options_.model.empty() ? found_model_ : options_.model;
  }

  Outcome<std::string> ask_first_model(const Call& call) {
    const std::string where = "GET " + url_.text() + "/models";
    std::string body;
    const HttpResult result = endpoint_.exchange(http_call(call, "GET", "/models"), call.cancel,
                                                 [&](const HttpHead&, std::string_view bytes) { body += bytes; });
    if (result.end != HttpEnd::Complete) return end_failure(where, result);
    if (result.head.status != 200) return status_failure(where, result.head, body);
    try {
      const Json list = parse_json(body, "the list of models");
      const Json& models = get_array(list, "data", "");
      require(!models.empty(), ErrorKind::Input, "the list of models is empty");
      return get_string(models.front(), "id", "/data/0");
    } catch (const Error& error) {
      return Failure{FaultClass::Protocol,
                     fmt::format("{}: {}; found {}; accepted: {{\"data\": [{{\"id\": …}}]}}, or name the model", where,
                                 error.what(), excerpt(body))};
    }
  }

  OpenAiOptions options_;
  EndpointUrl url_;
  HttpEndpoint endpoint_;
  std::atomic<bool> reads_reasoning_{false};  ///< the endpoint's own name is `reasoning`, not `reasoning_content`
  mutable std::mutex mutex_;
  std::string found_model_;  ///< guarded by mutex_
  Rng jitter_;               ///< guarded by mutex_; spreads waits of many clients, so never from a recorded seed
};

OpenAiModel::OpenAiModel(OpenAiOptions options) {
  check_options(options);
  impl_ = std::make_unique<Impl>(std::move(options));
}

OpenAiModel::~OpenAiModel() = default;

ChatReply OpenAiModel::complete(const ChatRequest& request, const CancelFlag& cancel) {
  return impl_->complete({.request = request, .cancel = cancel});
}

std::string OpenAiModel::find_model(Clock::time_point deadline, const CancelFlag& cancel) {
  const ChatRequest request{.deadline = deadline};
  return impl_->found_model({.request = request, .cancel = cancel});
}

Json OpenAiModel::describe() const { return impl_->describe(); }

}  // namespace gauntlet

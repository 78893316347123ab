#include "inference/server/model_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/clock.h"
#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

/// Runs what may refuse a request, with the refusals of other parts put in the API's words.
template <class Action>
auto refusing(const char* member, Action&& action) {
  try {
    return action();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Usage || error.kind() == ErrorKind::Input) refuse_member(member, error.what());
    if (error.kind() == ErrorKind::Infrastructure) throw ApiRefusal(rate_limit_error(error.what()));
    throw ApiRefusal(server_error(error.what()));
  }
}

class ChatAnswer : public Answer {
 public:
  ChatAnswer(const AnswerSetting& setting, std::shared_ptr<Engine> engine, ResponseHead head, std::shared_ptr<ChatCodec> codec, ChatCall call, EncodedChat prompt, const std::string& code)
      : Answer(setting, std::move(engine), std::move(head), call.options), codec_(std::move(codec)), call_(std::move(call)), prompt_(std::move(prompt)) {
    prompt_tokens_ = static_cast<std::int64_t>(prompt_.ids.size());
    for (int i = 0; i < call_.options.samples; ++i) choices_.push_back(std::make_unique<ChatChoice>(*codec_, call_, prompt_, fmt::format("call_{}{:02x}", code, i)));
  }
  void start(EngineRequest request) { generation_.submit(std::move(request), 0); }

 protected:
  const char* object() const override { return "chat.completion.chunk"; }
  Json chunk(int index, const ChoiceDelta& delta, StreamPlace place) const override { return chat_chunk(head_, codec_->tokenizer(), call_, index, delta, place); }
  Json body(const std::vector<ChoiceDelta>& choices, const Usage& usage) const override { return chat_body(head_, codec_->tokenizer(), call_, choices, prompt_, usage); }

 private:
  std::shared_ptr<ChatCodec> codec_;
  ChatCall call_;
  EncodedChat prompt_;
};

class CompletionAnswer : public Answer {
 public:
  CompletionAnswer(const AnswerSetting& setting, std::shared_ptr<Engine> engine, ResponseHead head, std::shared_ptr<ChatCodec> codec, CompletionCall call)
      : Answer(setting, std::move(engine), std::move(head), call.options), codec_(std::move(codec)), call_(std::move(call)) {}
  void start(EngineRequest request) {
    const auto first = static_cast<int>(choices_.size());
    prompt_tokens_ += static_cast<std::int64_t>(request.prompt.size());
    for (int i = 0; i < call_.options.samples; ++i) {
      choices_.push_back(std::make_unique<TextChoice>(codec_->tokenizer(), call_, request.prompt, codec_->end_id()));
      scored_.push_back(request.prompt_logprobs && request.prompt.size() > 1 ? 1 : 0);
    }
    generation_.submit(std::move(request), first);
  }

 protected:
  const char* object() const override { return "text_completion"; }
  Json chunk(int index, const ChoiceDelta& delta, StreamPlace) const override { return completion_chunk(head_, codec_->tokenizer(), call_, index, delta); }
  Json body(const std::vector<ChoiceDelta>& choices, const Usage& usage) const override { return completion_body(head_, codec_->tokenizer(), call_, choices, usage); }
  void begin(std::vector<ChoiceDelta>& deltas) override {
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      if (scored_[i] == 0) deltas[i].append(choices_[i]->prompt({}, {}));
    }
  }
  void take_prompt(const GenerationEvent& event, std::vector<ChoiceDelta>& deltas) override {
    for (int i = event.choice; i < event.choice + call_.options.samples; ++i) {
      const auto index = static_cast<std::size_t>(i);
      deltas[index].append(choices_[index]->prompt(event.prompt_logprobs, event.prompt_top));
    }
  }

 private:
  std::shared_ptr<ChatCodec> codec_;
  CompletionCall call_;
  std::vector<char> scored_;  ///< choices whose prompt comes with its scores
};

}  // namespace

ModelService::ModelService(ServiceOptions options, std::shared_ptr<Engine> engine, std::shared_ptr<ChatCodec> codec)
    : options_(std::move(options)), engine_(std::move(engine)), codec_(std::move(codec)), created_(unix_ms() / 1000) {
  require(!options_.constrain_calls || options_.constraints, ErrorKind::Usage, "calls can be constrained only with a maker of constraints");
}

void ModelService::drain() {
  end_ = std::chrono::steady_clock::now() + options_.limits.drain;
  draining_ = true;
}

AnswerSetting ModelService::setting(std::chrono::steady_clock::time_point start) {
  return {.limits = options_.limits, .metrics = metrics_, .start = start, .must_end = [this] { return draining_.load() && std::chrono::steady_clock::now() >= end_.load(); }};
}

ModelService::Numbered ModelService::next(const char* prefix, const GenerationOptions& options) {
  const std::uint64_t number = requests_++;
  const std::int64_t now = unix_ms();
  // The time keeps ids apart over restarts: they end up in conversations that outlive the server.
  const std::string code = fmt::format("{:011x}{:06x}", now, number);
  return {.head = {.id = prefix + code, .model = options_.name, .created = now / 1000}, .code = code, .seed = options.seed.value_or(Rng(options_.seed).split(number).next())};
}

Json ModelService::model(const std::string& name) const {
  if (name != options_.name) throw ApiRefusal(not_found_error(fmt::format("the model {} does not exist; this server has {}", shown(Json(name)), options_.name), "model_not_found"));
  return model_json(options_.name, created_, engine_->max_context());
}

void ModelService::check_served(const GenerationOptions& options) const {
  if (draining_) throw ApiRefusal(overloaded_error("the server is being stopped"));
  if (!options.model.empty()) model(options.model);
  if (engine_->stats().waiting >= options_.limits.waiting) throw ApiRefusal(rate_limit_error("too many requests wait for the model; try again later"));
}

std::unique_ptr<TokenConstraint> ModelService::constraint(const std::optional<ConstraintWish>& wish) const {
  if (!wish) return nullptr;
  using Kind = ConstraintWish::Kind;
  const bool json = wish->kind == Kind::JsonObject || wish->kind == Kind::JsonSchema;
  if (!options_.constraints) {
    const char* unsupported = "unsupported_parameter";
    if (json) refuse_member("response_format", "not supported by this server; accepted: {\"type\": \"text\"}", unsupported);
    if (wish->kind == Kind::OwnChoice) refuse_member("tools", "\"strict\": true is not supported by this server; accepted: false", unsupported);
    refuse_member("tool_choice", "a required call is not supported by this server; accepted: auto, none", unsupported);
  }
  // Which tools there are is known by now; what cannot be followed are their schemas.
  return refusing(json ? "response_format" : "tools", [&] { return options_.constraints(*wish); });
}

void ModelService::check_length(std::size_t tokens, const char* about, const char* member) const {
  const int context = engine_->max_context();
  if (tokens < static_cast<std::size_t>(context)) return;
  refuse_member(member, fmt::format("this model's maximum context length is {} tokens, with at least one for the reply; the prompt has {}{}", context, about, tokens), "context_length_exceeded");
}

EngineRequest ModelService::engine_request(std::vector<std::int32_t> prompt, const GenerationOptions& options, std::uint64_t seed, const char* member) const {
  check_length(prompt.size(), "", member);
  const int context = engine_->max_context();
  EngineRequest out{.prompt = std::move(prompt), .sampling = options.sampling, .samples = options.samples, .max_tokens = options.max_tokens.value_or(context), .stop_ids = options.stop_ids};
  out.sampling.seed = seed;
  if (!options.ignore_end) out.stop_ids.push_back(codec_->end_id());
  return out;
}

std::shared_ptr<Answer> ModelService::chat(std::string_view body) {
  const auto start = std::chrono::steady_clock::now();
  ChatCall call = parse_chat_call(parse_request_body(body, options_.limits.json_depth), options_.limits, options_.mode);
  check_served(call.options);
  // Who goes on after the end token wants the model as it is.
  if (!call.wish && options_.constrain_calls && call.request.tools && !call.options.ignore_end) {
    call.wish = ConstraintWish{.kind = ConstraintWish::Kind::OwnChoice, .tools = call.request.tools, .parallel = call.parallel_calls, .mode = call.request.mode};
  }
  const auto check = [&](std::size_t least) { check_length(least, "at least ", "messages"); };
  EncodedChat prompt = refusing("messages", [&] { return codec_->encode(call.request, check); });
  check_length(prompt.ids.size(), "", "messages");
  // Compiling a grammar is work; for a prompt without room it is not done.
  auto restriction = constraint(call.wish);
  // After its last token a grammar allows the end alone, again and again.
  if (restriction) call.options.ignore_end = false;
  if (call.wish) call.options.constrained_by = call.wish->kind == ConstraintWish::Kind::JsonObject || call.wish->kind == ConstraintWish::Kind::JsonSchema ? "response_format" : "tools";
  metrics_.count_smuggled(prompt.smuggled);
  Numbered numbered = next("chatcmpl-", call.options);
  EngineRequest request = engine_request(prompt.ids, call.options, numbered.seed, "messages");
  request.top_logprobs = call.top_logprobs;
  request.constraint = std::move(restriction);
  auto answer = std::make_shared<ChatAnswer>(setting(start), engine_, std::move(numbered.head), codec_, std::move(call), std::move(prompt), numbered.code);
  refusing("", [&] { answer->start(std::move(request)); });
  return answer;
}

std::shared_ptr<Answer> ModelService::complete(std::string_view body) {
  const auto start = std::chrono::steady_clock::now();
  CompletionCall call = parse_completion_call(parse_request_body(body, options_.limits.json_depth), options_.limits);
  check_served(call.options);
  Numbered numbered = next("cmpl-", call.options);
  std::vector<EngineRequest> requests;
  for (std::size_t i = 0; i < call.prompts.size(); ++i) {
    std::vector<std::int32_t> ids;
    if (const auto* text = std::get_if<std::string>(&call.prompts[i])) {
      // A client's text has no special tokens; what begins every text is the server's to add.
      std::vector<TextPiece> pieces;
      if (call.add_special) pieces.push_back({.text = codec_->format().begin_of_text(), .origin = Origin::Template});
      pieces.push_back({.text = *text, .origin = Origin::Data});
      check_length(codec_->least_ids(text->size()), "at least ", "prompt");
      const Encoding encoding = refusing("prompt", [&] { return codec_->tokenizer().encode(pieces); });
      metrics_.count_smuggled(encoding.smuggled);
      ids = encoding.ids;
    } else {
      ids = std::get<std::vector<std::int32_t>>(call.prompts[i]);
    }
    // The first prompt draws with the request's seed itself, as it would alone.
    const std::uint64_t seed = i == 0 ? numbered.seed : Rng(numbered.seed).split("prompt").split(i).next();
    EngineRequest request = engine_request(std::move(ids), call.options, seed, "prompt");
    request.top_logprobs = call.top_logprobs;
    request.prompt_logprobs = call.echo && call.logprobs;
    requests.push_back(std::move(request));
  }
  auto answer = std::make_shared<CompletionAnswer>(setting(start), engine_, std::move(numbered.head), codec_, std::move(call));
  for (auto& request : requests) refusing("", [&] { answer->start(std::move(request)); });
  return answer;
}

}  // namespace gauntlet

// Constrained decoding through the whole engine: whatever a model with random weights samples is read back by the format's reader and satisfies
// the tools' schemas.

#include <doctest/doctest.h>

#include <map>
#include <optional>

#include "agent/deepseek_format.h"
#include "core/error.h"
#include "core/json_schema.h"
#include "inference/constraint/constraint.h"
#include "inference/constraint/reply_compiler.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/local_model.h"
#include "inference/recording_listener.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

struct Stage {
  GoldenCase golden = load_golden_case("v32-tiny");
  std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json"));
  std::shared_ptr<ConstraintFactory> factory = std::make_shared<ConstraintFactory>(tokenizer);
  std::int32_t end_id = tokenizer->find_id(DeepseekFormat().end_of_reply());

  struct Reply {
    std::string text;
    EngineFinish finish = EngineFinish::Failed;
    std::string failure;
  };
  /// `count` samples of one request, on one scheduler.
  std::vector<Reply> sample(std::unique_ptr<TokenConstraint> constraint, int count, std::uint64_t seed, double temperature = 1.0, int max_tokens = 2000) {
    CpuBackend backend(golden.weights, {.threads = 2, .pages = 400});
    Scheduler scheduler(backend, {});
    const auto listener = std::make_shared<RecordingListener>();
    EngineRequest request{.prompt = {1, 2, 3}, .sampling = {.temperature = temperature, .seed = seed}, .samples = count, .max_tokens = max_tokens, .stop_ids = {end_id}, .constraint = std::move(constraint), .listener = listener};
    scheduler.check(request);
    scheduler.add(1, std::move(request));
    while (scheduler.step()) {
    }
    std::vector<Reply> out;
    for (int i = 0; i < count; ++i) {
      const auto found = listener->sample(i);
      out.push_back({tokenizer->decode(found.ids, SkipSpecial::No), found.finish, found.failure});
    }
    return out;
  }
};

std::shared_ptr<const std::vector<ToolSpec>> tools() {
  const char* find = R"({"type": "object", "required": ["query", "limit"], "properties": {
    "query": {"type": "string", "minLength": 1, "maxLength": 12}, "limit": {"type": "integer", "minimum": 1, "maximum": 50},
    "unit": {"type": "string", "enum": ["km", "mi <x>", "naut. mi"]}, "day": {"type": "string", "pattern": "^[a-z]{3}$"}, "date": {"type": "string", "format": "date"},
    "range": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 9}, "minItems": 2, "maxItems": 2},
    "filter": {"type": ["object", "null"], "properties": {"key": {"type": "string", "maxLength": 5}, "open": {"type": "boolean"}}, "required": ["key"], "additionalProperties": false},
    "either": {"type": ["string", "integer"], "maxLength": 3, "minimum": 0, "maximum": 9}}, "additionalProperties": false})";
  const char* tree = R"({"type": "object", "properties": {"root": {"$ref": "#/$defs/node"}}, "required": ["root"],
    "$defs": {"node": {"type": "object", "properties": {"v": {"type": "boolean"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}, "required": ["v"]}}})";
  return std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{
      {.name = "find", .parameters = parse_json(find, "find")}, {.name = "plant", .parameters = parse_json(tree, "tree")}, {.name = "noop", .parameters = {{"type", "object"}, {"properties", Json::object()}}}});
}

ChatRequest request(ThinkingMode mode) {
  ChatRequest out{.messages = {{.role = Role::User, .content = "go"}}, .mode = mode};
  out.tools = tools();
  return out;
}

/// Reads a reply as the engine's users do, and checks each of its calls.
Message read(const ChatRequest& asked, const std::string& text) {
  const auto reader = DeepseekFormat().read(asked);
  std::vector<ToolCall> streamed;
  for (std::size_t at = 0; at < text.size(); at += 5) {
    for (auto& delta : reader->feed(text.substr(at, 5))) {
      if (delta.kind == ReplyDelta::Kind::Call) streamed.push_back(delta.call);
    }
  }
  for (auto& delta : reader->finish(true)) {
    if (delta.kind == ReplyDelta::Kind::Call) streamed.push_back(delta.call);
  }
  CHECK_MESSAGE(reader->malformed_call().empty(), reader->malformed_call() << " in " << text);
  CHECK(streamed.size() == reader->message().tool_calls.size());
  for (const auto& call : reader->message().tool_calls) {
    const auto tool = std::find_if(asked.tools->begin(), asked.tools->end(), [&](const auto& spec) { return spec.name == call.name; });
    REQUIRE(tool != asked.tools->end());
    Json arguments;
    CHECK_NOTHROW(arguments = parse_json(call.arguments, "arguments"));
    const auto problems = JsonSchema(tool->parameters, "tool").problems(arguments);
    CHECK_MESSAGE(problems.empty(), call.arguments << ": " << (problems.empty() ? "" : problems[0]));
  }
  for (std::size_t i = 0; i < streamed.size(); ++i) CHECK(parse_json(streamed[i].arguments, "streamed") == parse_json(reader->message().tool_calls[i].arguments, "read"));
  return reader->message();
}

TEST_CASE("a required call of a model with random weights is always read and satisfies its tool's schema") {
  Stage stage;
  int many = 0, calls = 0;
  std::map<std::string, int> names;
  for (const double temperature : {1.0, 3.0}) {
    const auto asked = request(ThinkingMode::Chat);
    for (const auto& reply : stage.sample(stage.factory->make_reply_constraint(DeepseekFormat().reply_grammar(asked, {.choice = ToolChoice::Required})), 40, 5, temperature)) {
      INFO(reply.text);
      CHECK_MESSAGE(reply.finish == EngineFinish::StopToken, reply.failure);
      const Message message = read(asked, reply.text);
      CHECK(message.content.empty());
      CHECK_FALSE(message.tool_calls.empty());
      many += message.tool_calls.size() > 1;
      for (const auto& call : message.tool_calls) ++names[call.name], ++calls;
    }
  }
  CHECK(names.size() == 3);
  CHECK(many > 0);
  CHECK(calls >= 80);
}

TEST_CASE("a named tool is the one that is called, once when calls may not be parallel") {
  Stage stage;
  const auto asked = request(ThinkingMode::Chat);
  for (const char* name : {"find", "plant", "noop"}) {
    for (const auto& reply : stage.sample(stage.factory->make_reply_constraint(DeepseekFormat().reply_grammar(asked, {.choice = ToolChoice::Required, .tool = name, .most_calls = 1})), 10, 9)) {
      const Message message = read(asked, reply.text);
      REQUIRE(message.tool_calls.size() == 1);
      CHECK(message.tool_calls[0].name == name);
    }
  }
}

TEST_CASE("left free, a model thinks and writes as it likes, and what it begins as a call is one") {
  Stage stage;
  const auto asked = request(ThinkingMode::Thinking);
  const auto grammar = DeepseekFormat().reply_grammar(asked, {});
  const auto constraint = stage.factory->make_reply_constraint(grammar);
  int ended = 0;
  for (const auto& reply : stage.sample(constraint->clone(), 16, 3, 1.0, 500)) {
    if (reply.finish != EngineFinish::StopToken) continue;  // thinking may go on for ever
    ++ended;
    read(asked, reply.text);
  }
  CHECK(ended > 2);
  // Forced along a call that the model would hardly find by itself, then left alone.
  const std::string begun = "Hm, <b> 2 < 3.</think>Let me look.\n\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"find\">\n<｜DSML｜parameter name=\"query\" string=\"true\">";
  auto forced = constraint->clone();
  for (const auto id : stage.tokenizer->encode(begun, SpecialTokens::Parse)) {
    const auto mask = forced->mask();
    REQUIRE(((mask[static_cast<std::size_t>(id) / 64] >> (static_cast<std::size_t>(id) % 64)) & 1U) != 0);
    forced->accept(id);
  }
  for (const auto& reply : stage.sample(std::move(forced), 12, 4)) {
    CHECK(reply.finish == EngineFinish::StopToken);
    const Message message = read(asked, begun + reply.text);
    CHECK(message.reasoning == "Hm, <b> 2 < 3.");
    CHECK(message.content == "Let me look.\n");
    REQUIRE_FALSE(message.tool_calls.empty());
    CHECK(message.tool_calls[0].name == "find");
  }
}

TEST_CASE("without tools there are no calls, and an answer's schema holds after the thinking") {
  Stage stage;
  const auto asked = request(ThinkingMode::Chat);
  const auto none = stage.factory->make_reply_constraint(DeepseekFormat().reply_grammar(asked, {.choice = ToolChoice::None}));
  for (const auto& reply : stage.sample(none->clone(), 12, 6, 1.0, 300)) {
    if (reply.finish != EngineFinish::StopToken) continue;
    CHECK(read(asked, reply.text).tool_calls.empty());
  }
  const Json schema = parse_json(R"({"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}, "why": {"type": "string", "maxLength": 9}}, "required": ["verdict", "why"], "additionalProperties": false})", "answer");
  for (const auto& reply : stage.sample(stage.factory->make_reply_constraint(DeepseekFormat().reply_grammar(asked, {.choice = ToolChoice::None, .answer = schema})), 20, 7)) {
    CHECK(reply.finish == EngineFinish::StopToken);
    const Message message = read(asked, reply.text);
    CHECK(JsonSchema(schema, "answer").problems(parse_json(message.content, "answer")).empty());
  }
  for (const auto& reply : stage.sample(stage.factory->make_json_constraint(schema, {stage.end_id}), 20, 8)) {
    CHECK(reply.finish == EngineFinish::StopToken);
    const std::string end = DeepseekFormat().end_of_reply();
    REQUIRE(reply.text.ends_with(end));
    CHECK(JsonSchema(schema, "answer").problems(parse_json(reply.text.substr(0, reply.text.size() - end.size()), "answer")).empty());
  }
}

TEST_CASE("a local model that is kept to its tools' grammar makes no malformed call, and says so in its description") {
  Stage stage;
  const auto engine = std::make_shared<Engine>(std::make_unique<CpuBackend>(stage.golden.weights, CpuBackendOptions{.threads = 2, .pages = 400}), EngineOptions{});
  LocalModel model("tiny", "hash", engine, std::make_shared<ChatCodec>("tiny", stage.golden.weights.config.vocab, stage.tokenizer, std::make_shared<const DeepseekFormat>()));
  CHECK_FALSE(model.describe().contains("constrained_calls"));
  model.constrain_calls(stage.factory);
  CHECK(model.describe()["constrained_calls"] == true);
  const CancelFlag never{false};
  auto asked = request(ThinkingMode::Chat);
  asked.messages[0].content = "x";
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    asked.sampling = {.temperature = 1.0, .top_p = 1.0, .max_tokens = 60, .seed = seed};
    CHECK(model.complete(asked, never).malformed_call.empty());
  }
  asked.tools = std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{{.name = "odd", .parameters = {{"type", "object"}, {"not", {{"type", "null"}}}}}});
  try {
    model.complete(asked, never);
    FAIL("accepted");
  } catch (const ModelFault& fault) {
    CHECK(fault.fault() == FaultClass::Rejected);
    CHECK(std::string(fault.what()) == "the tools cannot be constrained: tool odd /not: the keyword \"not\" is not supported in constrained decoding");
  }
}

TEST_CASE("a constraint allows the end alone after the end, and refuses what its mask does not allow") {
  Stage stage;
  const auto constraint = stage.factory->make_json_constraint({{"const", 1}}, {stage.end_id});
  const auto one = stage.tokenizer->find_id("1");
  CHECK_THROWS_AS(constraint->accept(stage.end_id), Error);
  constraint->accept(one);
  const auto fork = constraint->clone();
  constraint->accept(stage.end_id);
  const auto mask = constraint->mask();
  CHECK(mask.size() == static_cast<std::size_t>(stage.end_id) / 64 + 1);
  CHECK(mask.back() == std::uint64_t{1} << (stage.end_id % 64));
  CHECK_THROWS_AS(fork->accept(one), Error);
  CHECK_THROWS_AS(stage.factory->make_json_constraint({{"const", 1}}, {}), Error);
}

/// How often each special token is read, in a grammar of calls of one tool; none if the names are refused.
std::optional<std::map<std::uint32_t, int>> tokens_named(const std::vector<GrammarBuilder::Marker>& markers, const std::string& tool, const std::string& property) {
  const Json parameters = {{"type", "object"}, {"properties", {{property, {{"type", {"string", "integer"}}}}}}};
  ChatRequest request{.mode = ThinkingMode::Chat};
  request.tools = std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{{.name = tool, .parameters = parameters}});
  try {
    const Grammar grammar = compile_reply(DeepseekFormat().reply_grammar(request, {.choice = ToolChoice::Required}), {.markers = markers}, {});
    std::map<std::uint32_t, int> out;
    for (const auto& edge : grammar.edges) {
      if (edge.kind == GrammarEdge::Kind::Token) ++out[edge.value];
    }
    return out;
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    return std::nullopt;
  }
}

TEST_CASE("a name that a client made of a special token's text is refused or written as text, never as the token") {
  const auto tokenizer = Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json");
  std::vector<GrammarBuilder::Marker> markers;
  for (const auto& added : tokenizer.added_tokens()) markers.push_back({added.content, added.id});
  // As other tokenizers have them: nothing in them that a name may not hold.
  for (const char* text : {"[INST]", "endoftext", "a", "|im_start|"}) markers.push_back({text, static_cast<std::int32_t>(2'000'000 + markers.size())});
  std::size_t written = 0;
  for (const auto& marker : markers) {
    INFO(marker.text);
    const auto expected = tokens_named(markers, "Q", "Z");
    REQUIRE(expected.has_value());
    for (const std::string& name : {marker.text, "Q" + marker.text, marker.text + marker.text}) {
      for (const auto& found : {tokens_named(markers, name, "Z"), tokens_named(markers, "Q", name)}) {
        if (!found) continue;
        CHECK(*found == *expected);
        ++written;
      }
    }
  }
  CHECK(written >= 24);
}

}  // namespace
}  // namespace gauntlet

#include <fmt/format.h>

#include "agent/deepseek_format.h"
#include "core/error.h"
#include "core/rng.h"
#include "inference/constraint/constraint.h"
#include "inference/constraint/reply_compiler.h"
#include "test_paths.h"
#include "tests/bench/figure.h"

namespace gauntlet::bench {
namespace {

/// The small tokenizer of the tests with random words until it has as many tokens as DeepSeek's.
std::shared_ptr<const Tokenizer> large_tokenizer(const Settings& settings) {
  if (!settings.tokenizer.empty()) return std::make_shared<const Tokenizer>(Tokenizer::load(settings.tokenizer));
  Json document = read_json_file(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json");
  Json& vocabulary = document["model"]["vocab"];
  const std::vector<std::string> syllables = {"a", "e", "in", "on", "ing", "er", "st", "re", "th", "an", "ou", "com", "pre", "ti", "mo", "li", "qu", "_", ".", "(", "1", "0", "ä", "æĹ¥", "æľ"};
  std::vector<std::pair<std::string, int>> words;
  std::map<std::string, bool> known;
  for (const auto& item : vocabulary.items()) known.emplace(item.key(), true);
  Rng rng(1);
  for (int id = 1000; id < (settings.quick ? 1500 : 128'000);) {
    std::string word = rng.chance(600'000) ? "Ġ" : "";
    for (auto count = 1 + rng.below(4); count > 0; --count) word += rng.pick(syllables);
    if (known.emplace(word, true).second) words.emplace_back(word, id++);
  }
  for (const auto& [word, id] : words) vocabulary[word] = id;
  return std::make_shared<const Tokenizer>(Tokenizer::parse(dump_json(document), "bench"));
}

ChatRequest make_request() {
  std::vector<ToolSpec> tools;
  for (int i = 0; i < 8; ++i) {
    tools.push_back({.name = fmt::format("search_{}", i), .description = "", .parameters = parse_json(R"({"type": "object", "required": ["city", "budget"], "properties": {"city": {"type": "string"},
      "budget": {"type": "number", "minimum": 0}, "people": {"type": "integer", "minimum": 1, "maximum": 20}, "day": {"type": "string", "format": "date"}, "note": {"type": "string", "maxLength": 500},
      "sort": {"enum": ["price", "rating", "distance"]}, "stops": {"type": "array", "maxItems": 10, "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"},
      "hours": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}}}}}})", "bench")});
  }
  ChatRequest request{.messages = {{.role = Role::User, .content = "Plan."}}};
  request.tools = std::make_shared<const std::vector<ToolSpec>>(std::move(tools));
  return request;
}

std::string reply_text() {
  std::string out = "The user wants three days in Hangzhou under a budget. I should look for places first, then check what they cost and when they open, and only then book.</think>Let me look.\n\n<｜DSML｜function_calls>\n";
  for (const int tool : {1, 5}) {
    out += fmt::format(
        "<｜DSML｜invoke name=\"search_{}\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Hangzhou, by the West Lake</｜DSML｜parameter>\n<｜DSML｜parameter name=\"budget\" string=\"false\">1250.5</｜DSML｜parameter>\n"
        "<｜DSML｜parameter name=\"day\" string=\"true\">2025-10-03</｜DSML｜parameter>\n<｜DSML｜parameter name=\"note\" string=\"true\">Quiet rooms, please; we arrive late in the evening.</｜DSML｜parameter>\n"
        "<｜DSML｜parameter name=\"stops\" string=\"false\">[{{\"name\": \"Lingyin Temple\", \"hours\": 2.5, \"tags\": [\"temple\", \"hill\"]}}, {{\"name\": \"Tea Museum\", \"tags\": []}}]</｜DSML｜parameter>\n</｜DSML｜invoke>\n",
        tool);
  }
  return out + "</｜DSML｜function_calls><｜end▁of▁sentence｜>";
}

/// Follows the reply; gives the number of its tokens.
double follow(TokenConstraint& constraint, const std::vector<std::int32_t>& ids) {
  for (const auto id : ids) {
    const TokenMask mask = constraint.mask();
    require((mask[static_cast<std::size_t>(id) / 64] >> (static_cast<std::size_t>(id) % 64) & 1U) != 0, ErrorKind::Internal, "the reply is not in the grammar");
    constraint.accept(id);
  }
  return static_cast<double>(ids.size());
}

}  // namespace

std::vector<Figure> bench_constraint(const Settings& settings) {
  const auto tokenizer = large_tokenizer(settings);
  const auto grammar = DeepseekFormat().reply_grammar(make_request(), {});
  const auto ids = tokenizer->encode(reply_text(), SpecialTokens::Parse);
  const std::string note = fmt::format("{} tokens; 8 tools, a reply of {} tokens with two calls", tokenizer->vocab_size(), ids.size());

  Figure compile{.name = "constraint.compile", .title = "tool calls: from the tools' schemas to a grammar", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .note = note};
  compile.samples = repeat(settings.repeats, [&] {
    compile_reply(grammar, {}, {});
    return 1.0;
  });

  ConstraintFactory factory(tokenizer);
  const auto kept = factory.make_reply_constraint(grammar);
  Figure known{.name = "constraint.mask", .title = "a mask and its token, of a grammar in use", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .target = 1000, .note = note};
  known.samples = repeat(settings.repeats, [&] {
    double tokens = 0;
    for (int round = 0; round < (settings.quick ? 1 : 50); ++round) tokens += follow(*kept->clone(), ids);
    return tokens;
  });

  const auto trie = std::make_shared<const VocabularyTrie>(*tokenizer);
  std::vector<GrammarBuilder::Marker> markers;
  for (const auto& added : tokenizer->added_tokens()) {
    if (added.marker) markers.push_back({added.content, added.id});
  }
  Figure fresh{.name = "constraint.new_mask", .title = "a mask that was not asked for before, its states made on the way", .unit = "us", .quantity = Quantity::Microseconds, .better = Better::Lower, .target = 5000, .note = note};
  fresh.samples = repeat(settings.repeats, [&] {
    TokenMasks masks(compile_reply(grammar, {.markers = markers, .longest = trie->longest()}, {}), tokenizer, trie, {});
    GrammarPlace place = masks.start();
    std::uint64_t work = 0;
    for (const auto id : ids) {
      masks.mask(place, work);
      require(masks.accept(place, id, work), ErrorKind::Internal, "the reply is not in the grammar");
    }
    return static_cast<double>(masks.stats().computed);
  });
  return {compile, known, fresh};
}

}  // namespace gauntlet::bench

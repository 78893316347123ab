// JSON Schema for constrained decoding: refused with Error(Usage), or a grammar through which any walk ends, whose texts are JSON that the
// project's own validator accepts.

#include <string>

#include "check.h"
#include "core/error.h"
#include "core/json_schema.h"
#include "core/rng.h"
#include "inference/constraint/reply_compiler.h"
#include "inference/constraint/state_sets.h"

namespace gauntlet {
namespace {

/// Small, so that limits are met often.
constexpr GrammarLimits kLimits = {.schema_bytes = 20'000, .rules = 2'000, .states = 40'000, .alternatives = 60, .pattern_states = 1'000, .nesting = 8, .parallel = 3'000};

/// A text by random bytes; "" if it takes too long.
std::string walk(StateSets& sets, Rng& rng) {
  std::string text;
  SetId at = sets.start();
  for (int steps = 0; steps < 400; ++steps) {
    if (sets.accepts(at) && (sets.reads_nothing(at) || rng.chance(300'000))) return text;
    std::vector<std::pair<char, SetId>> next;
    for (int byte = 0; byte < 256; ++byte) {
      const SetId to = sets.step(at, static_cast<std::uint8_t>(byte));
      if (to != StateSets::kDead) next.emplace_back(static_cast<char>(byte), to);
    }
    promise(!next.empty(), "no walk comes to a dead end");
    std::vector<std::pair<char, SetId>> closing;
    for (const auto& item : next) {
      if (item.first == '"' || item.first == ']' || item.first == '}') closing.push_back(item);
    }
    const auto& [byte, to] = !closing.empty() && rng.chance(600'000) ? rng.pick(closing) : rng.pick(next);
    text += byte;
    at = to;
  }
  return "";
}

void use(const Json& schema) {
  Grammar grammar;
  try {
    grammar = compile_reply(ReplyGrammar::json(schema, "fuzz"), {}, kLimits);
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Usage, "a schema is refused as the caller's");
    return;
  }
  try {
    StateSets sets(grammar, kLimits);
    Rng rng(hash_text(dump_json(schema)));
    for (int i = 0; i < 3; ++i) {
      const std::string text = walk(sets, rng);
      if (text.empty()) continue;
      const Json value = Json::parse(text, nullptr, false);
      promise(!value.is_discarded(), "what is written is JSON");
      try {
        promise(JsonSchema(schema, "fuzz").problems(value).empty(), "what is written satisfies the schema");
      } catch (const Error&) {
        // The validator knows fewer keywords.
      }
    }
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Usage, "a grammar that is too ambiguous is the caller's");
  }
}

void read_and_use(std::string_view text) {
  try {
    use(parse_json(text, "fuzz"));
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "text that is no JSON is refused as input");
  }
}

}  // namespace
}  // namespace gauntlet

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  gauntlet::read_and_use({reinterpret_cast<const char*>(data), size});
  return 0;
}

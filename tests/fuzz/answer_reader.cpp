// Answers as a model hands them in: any bytes get a verdict, the same with and without explanations, and what is accepted is right.

#include "check.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

constexpr std::string_view kProblem = R"({"slots": [
    {"id": "p", "path": "/0/place", "noun": "place", "entity": "place"},
    {"id": "v", "path": "/0/venue", "noun": "venue", "entity": "venue"},
    {"id": "m", "path": "/0/by/mode", "noun": "mode", "texts": ["train", "bus"]},
    {"id": "d", "path": "/1/day", "noun": "day", "dates": {"from": "2025-10-01", "to": "2025-10-03"}},
    {"id": "n", "path": "/1/guests", "noun": "guests", "integers": {"from": -2, "to": 4}}],
  "constraints": [{"any": [{">=": [{"slot": "n"}, {"const": 1}]}, {"==": [{"slot": "m"}, {"const": "bus"}]}]},
                  {"!=": [{"slot": "d"}, {"const": "2025-10-02", "type": "date"}]}]})";

struct Judge {
  RandomProblem made;
  CompiledProblem compiled;
  Verifier verifier;
  AnswerReader reader;

  Judge()
      : made([] {
          Rng rng(6);
          return random_problem(rng);
        }()),
        compiled(parse_problem(parse_json(kProblem, "problem"), ""), *made.world),
        verifier(compiled, made.spec, std::nullopt),
        reader(compiled) {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static Judge judge;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Score score = judge.verifier.verify(text);
  const bool passes = judge.verifier.passes(text);
  promise(score.scored, "every answer is scored");
  promise((score.value == 1.0) == passes, "a verdict is the same with and without explanations");
  promise(!score.summary.empty() && valid_utf8(score.summary) == score.summary, "a verdict has a readable summary");
  for (const auto& component : score.components) {
    promise(valid_utf8(component.constraint) == component.constraint && valid_utf8(component.explanation) == component.explanation,
            "explanations are valid UTF-8");
  }
  if (!passes) return 0;
  std::vector<SlotValue> values;
  promise(judge.reader.read(text, values, nullptr), "an answer that passes can be read");
  const std::string canonical = answer_to_text(judge.compiled, values);
  promise(reference_holds(judge.compiled.problem(), *judge.made.world, parse_json(canonical, "answer")), "an answer that passes is right");
  return 0;
}

}  // namespace gauntlet

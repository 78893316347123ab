// Problems as JSON: refused with Error(Input), or read, written back, bound to a world, said in words, and judged as the plain reference
// judges them.

#include "check.h"
#include "core/error.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/render.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

RandomProblem small_world() {
  Rng rng(6);
  return random_problem(rng);
}

void judge(const CompiledProblem& compiled, const World& world) {
  Evaluator evaluator(compiled);
  Rng rng(1);
  std::vector<SlotValue> values(compiled.slots().size());
  for (int attempt = 0; attempt < 4; ++attempt) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(compiled.slots()[i].size)));
    }
    evaluator.assign_all(values);
    bool holds = true;
    for (const int root : compiled.roots()) holds = holds && evaluator.truth(root) == Truth::True;
    const Json answer = parse_json(answer_to_text(compiled, values), "answer");
    promise(reference_holds(compiled.problem(), world, answer) == holds, "the compiled problem judges as the reference does");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const RandomProblem made = small_world();
  try {
    const Json document = parse_json({reinterpret_cast<const char*>(data), size}, "input");
    const Problem problem = parse_problem(document, "");
    const Json written = to_json(problem);
    promise(parse_problem(written, "") == problem, "a problem is read back as it was written");
    const CompiledProblem compiled(problem, *made.world);
    judge(compiled, *made.world);
    promise(!render_answer_form(problem, made.spec, "en").empty(), "every problem has an answer form");
    render_requirements(problem, made.spec, "en");
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "whatever is wrong with a problem is an input error");
  }
  return 0;
}

}  // namespace gauntlet

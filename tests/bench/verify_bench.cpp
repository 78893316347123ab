#include <fmt/format.h>

#include "core/error.h"
#include "tests/bench/fixture.h"
#include "verifiers/mutants.h"

namespace gauntlet::bench {

std::vector<Figure> bench_verify(const Settings& settings) {
  const Fixture fixture = make_fixture(settings, settings.quick ? 2 : 32);
  struct Judged {
    std::unique_ptr<Verifier> verifier;
    std::vector<std::string> texts;  ///< as many correct ones as near misses
  };
  std::vector<Judged> all;
  for (const auto& task : fixture.tasks) {
    Judged judged{.verifier = std::make_unique<Verifier>(task->problem, *fixture.spec, task->optimum), .texts = {}};
    const std::string correct = dump_json(task->task.certificate.at("oracle_answer"));
    std::vector<SlotValue> values;
    require(AnswerReader(task->problem).read(correct, values, nullptr), ErrorKind::Internal, "the certified answer cannot be read");
    for (const auto& mutant : sweep_mutants(task->problem, values).samples) {
      judged.texts.push_back(correct);
      judged.texts.push_back(answer_to_text(task->problem, mutant));
    }
    all.push_back(std::move(judged));
  }
  const int rounds = settings.quick ? 1 : 200;
  std::size_t passed = 0;
  Figure fast{.name = "verify.answers", .title = "answers verified from their text, one core", .unit = "answers/s", .target = 200'000, .note = "half correct, half near misses"};
  fast.samples = repeat(settings.repeats, [&] {
    double done = 0;
    for (int round = 0; round < rounds; ++round) {
      for (auto& [verifier, texts] : all) {
        for (const auto& text : texts) passed += verifier->passes(text) ? 1 : 0;
        done += static_cast<double>(texts.size());
      }
    }
    return done;
  });
  Figure explained{.name = "verify.explained", .title = "the same with an explanation of every constraint", .unit = "answers/s"};
  explained.samples = repeat(settings.repeats, [&] {
    double done = 0;
    for (auto& [verifier, texts] : all) {
      for (const auto& text : texts) passed += verifier->verify(text).value == 1.0 ? 1 : 0;
      done += static_cast<double>(texts.size());
    }
    return done;
  });
  require(passed > 0, ErrorKind::Internal, "no answer passed");
  return {fast, explained};
}

}  // namespace gauntlet::bench

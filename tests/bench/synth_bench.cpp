#include <fmt/format.h>

#include "core/error.h"
#include "synth/synthesize.h"
#include "tests/bench/figure.h"

namespace gauntlet::bench {

std::vector<Figure> bench_synth(const Settings& settings) {
  const int count = settings.quick ? 8 : 400;
  const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  std::uint64_t seed = settings.seed;
  std::int64_t drawn = 0;
  Figure figure{.name = "synth.certified",
                .title = "certified trip-planning tasks, level 3, 8 cities, the whole gate with 1,000 random tries",
                .unit = "tasks/s",
                .target = 200,
                .threads = settings.threads};
  figure.samples = repeat(settings.repeats, [&] {
    // Start-up of threads and of the checking process is part of it.
    SynthRequest request{.spec = spec, .count = count, .seed = seed++, .difficulty = {.level = 3}, .threads = settings.threads, .recheck_command = {settings.program, "recheck-tasks"}};
    const CancelFlag never{false};
    int made = 0;
    drawn = synthesize(request, [&](const Task&) { ++made; }, never).drawn;
    require(made == count, ErrorKind::Internal, "not enough tasks could be made");
    return static_cast<double>(made);
  });
  figure.note = fmt::format("{} threads, {} tasks a repeat (the last from {} draws); the checking process is counted", settings.threads, count, drawn);
  return {figure};
}

}  // namespace gauntlet::bench

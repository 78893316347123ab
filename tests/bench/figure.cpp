#include "tests/bench/figure.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

namespace gauntlet::bench {
namespace {

double cpu_seconds() {
  const auto seconds_of = [](int who) {
    rusage usage{};
    ::getrusage(who, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  };
  return seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN);
}

double wall_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double amount(Quantity quantity, double seconds, double items) {
  if (quantity == Quantity::Value) return items;
  return quantity == Quantity::PerSecond ? items / seconds : seconds * 1e6 / items;
}

std::vector<double> amounts(const Figure& figure, Clock clock) {
  std::vector<double> values;
  for (const auto& sample : figure.samples) values.push_back(amount(figure.quantity, clock == Clock::Wall ? sample.wall_s : sample.cpu_s / figure.threads, sample.items));
  std::sort(values.begin(), values.end());
  return values;
}

std::string number(double value) {
  if (value >= 1000) return fmt::format("{:.0f}", value);
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

}  // namespace

double Figure::median(Clock clock) const {
  const auto values = amounts(*this, clock);
  return values[values.size() / 2];
}

double Figure::best(Clock clock) const {
  const auto values = amounts(*this, clock);
  return better == Better::Higher ? values.back() : values.front();
}

bool Figure::reached(Clock clock) const { return better == Better::Higher ? median(clock) >= target : median(clock) <= target; }

Sample measure(const std::function<double()>& work) {
  Sample sample;
  const double wall = wall_seconds();
  const double cpu = cpu_seconds();
  sample.items = work();
  sample.cpu_s = cpu_seconds() - cpu;
  sample.wall_s = wall_seconds() - wall;
  return sample;
}

std::vector<Sample> repeat(int repeats, const std::function<double()>& work) {
  work();
  std::vector<Sample> samples;
  for (int i = 0; i < repeats; ++i) samples.push_back(measure(work));
  return samples;
}

Json to_json(const Figure& figure, Clock clock) {
  Json samples = Json::array();
  for (const auto& sample : figure.samples) samples.push_back({{"wall_s", sample.wall_s}, {"cpu_s", sample.cpu_s}, {"items", sample.items}});
  Json out = {{"name", figure.name},
          {"title", figure.title},
          {"unit", figure.unit},
          {"better", figure.better == Better::Higher ? "higher" : "lower"},
          {"target", figure.has_target() ? Json(figure.target) : Json(nullptr)},
          {"clock", clock == Clock::Wall ? "wall" : "cpu"},
          {"measured", figure.median(clock)},
          {"reached", figure.has_target() ? Json(figure.reached(clock)) : Json(nullptr)},
          {"wall", {{"median", figure.median(Clock::Wall)}, {"best", figure.best(Clock::Wall)}}},
          {"cpu", {{"median", figure.median(Clock::Cpu)}, {"best", figure.best(Clock::Cpu)}}},
          {"threads", figure.threads},
          {"note", figure.note},
          {"samples", samples}};
  out.update(figure.details);
  return out;
}

std::string to_text(const Figure& figure, Clock clock) {
  const std::string target = figure.has_target() ? fmt::format("{} {}", figure.better == Better::Higher ? ">=" : "<=", number(figure.target)) : "-";
  const std::string verdict = figure.has_target() ? (figure.reached(clock) ? "reached" : "MISSED") : "";
  std::string text = fmt::format("{:<22} {:>10} {:>10} {:<10} {:<8} {}\n", figure.name, target, number(figure.median(clock)), figure.unit, verdict, figure.title);
  if (figure.quantity != Quantity::Value) {
    text += fmt::format("{:<22} {} repeats: by wall time {} (best {}), by CPU time {} (best {})\n", "", figure.samples.size(), number(figure.median(Clock::Wall)),
                        number(figure.best(Clock::Wall)), number(figure.median(Clock::Cpu)), number(figure.best(Clock::Cpu)));
  }
  if (!figure.note.empty()) text += fmt::format("{:<22} {}\n", "", figure.note);
  return text;
}

}  // namespace gauntlet::bench

#include "tests/bench/figure.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace gauntlet::bench {
namespace {

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double wall_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double amount(Quantity quantity, double seconds, double items) {
  if (quantity == Quantity::Value) return items;
  return quantity == Quantity::PerSecond ? items / seconds : seconds * 1e6 / items;
}

std::vector<double> amounts(const Figure& figure, double Sample::* seconds) {
  std::vector<double> values;
  for (const auto& sample : figure.samples) values.push_back(amount(figure.quantity, sample.*seconds, sample.items));
  std::sort(values.begin(), values.end());
  return values;
}

std::string number(double value) {
  if (value >= 1000) return fmt::format("{:.0f}", value);
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

}  // namespace

double Figure::median() const {
  const auto values = amounts(*this, &Sample::wall_s);
  return values[values.size() / 2];
}

double Figure::best() const {
  const auto values = amounts(*this, &Sample::wall_s);
  return better == Better::Higher ? values.back() : values.front();
}

double Figure::median_cpu() const {
  const auto values = amounts(*this, &Sample::cpu_s);
  return values[values.size() / 2];
}

bool Figure::reached() const { return better == Better::Higher ? median() >= target : median() <= target; }

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

Json to_json(const Figure& figure) {
  Json samples = Json::array();
  for (const auto& sample : figure.samples) samples.push_back({{"wall_s", sample.wall_s}, {"cpu_s", sample.cpu_s}, {"items", sample.items}});
  return {{"name", figure.name},
          {"title", figure.title},
          {"unit", figure.unit},
          {"better", figure.better == Better::Higher ? "higher" : "lower"},
          {"target", figure.has_target() ? Json(figure.target) : Json(nullptr)},
          {"measured", figure.median()},
          {"best", figure.best()},
          {"by_cpu_time", figure.quantity == Quantity::Value ? Json(nullptr) : Json(figure.median_cpu())},
          {"reached", figure.has_target() ? Json(figure.reached()) : Json(nullptr)},
          {"note", figure.note},
          {"samples", samples}};
}

std::string to_text(const Figure& figure) {
  const std::string target = figure.has_target() ? fmt::format("{} {}", figure.better == Better::Higher ? ">=" : "<=", number(figure.target)) : "-";
  const std::string verdict = figure.has_target() ? (figure.reached() ? "reached" : "MISSED") : "";
  std::string text = fmt::format("{:<22} {:>12} {:>10} {:<10} {:<8} {}\n", figure.name, target, number(figure.median()), figure.unit, verdict, figure.title);
  if (figure.quantity != Quantity::Value) {
    text += fmt::format("{:<22} best {}, by CPU time {}, {} repeats{}{}\n", "", number(figure.best()), number(figure.median_cpu()), figure.samples.size(), figure.note.empty() ? "" : "; ",
                        figure.note);
  } else if (!figure.note.empty()) {
    text += fmt::format("{:<22} {}\n", "", figure.note);
  }
  return text;
}

}  // namespace gauntlet::bench

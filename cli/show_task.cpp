#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "cli/output.h"
#include "cli/show_command.h"

namespace gauntlet {
namespace {

constexpr std::size_t kExcerptRows = 4;  // of each table

Json constraint_list(const ReadyTask& ready) {
  Json out = Json::array();
  for (const auto& component : ready.judge(dump_json(ready.task.certificate.at("oracle_answer"))).components) out.push_back(component.constraint);
  return out;
}

Json task_json(const ReadyTask& ready) {
  return {{"task_id", ready.task.task_id},
          {"domain", ready.task.environment},
          {"named", ready.task.named},
          {"difficulty", ready.task.difficulty},
          {"prompt", ready.task.prompt},
          {"tools", tools_to_json(*ready.environment->tools)},
          {"constraints", constraint_list(ready)},
          {"problem", ready.task.problem},
          {"world", to_json(ready.task.world)},
          {"env_sha256", ready.task.env_sha256},
          {"certificate", ready.task.certificate}};
}

std::string world_excerpt(const World& world, bool full, const Style& style) {
  std::string out;
  for (const auto& table : world.tables) {
    out += fmt::format("  {} ({})\n", style.accent(table.name), counted(static_cast<std::int64_t>(table.rows), "row"));
    const std::size_t shown = full ? table.rows : std::min(table.rows, kExcerptRows);
    for (std::size_t row = 0; row < shown; ++row) {
      std::string cells;
      for (const auto& column : table.columns) cells += fmt::format("{}{}={}", cells.empty() ? "" : "  ", column.name, cell_text(world, column, column.cells[row]));
      out += "    " + printable(cells) + "\n";
    }
    if (table.rows > shown) out += style.dim("    …") + "\n";
  }
  return out;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : dump_json(value); }

/// Says what the members of a certificate mean; those that it does not know are listed as they are.
class CertificateText {
 public:
  explicit CertificateText(const Json& certificate) : certificate_(certificate) {}

  /// What it comes to; members that need no sentence are left out.
  std::string summary() {
    line("answers", {"solution_count"}, [&] {
      return text_of(at("solution_count")) + (certificate_.value("solution_count_exact", false) ? " (counted exactly)" : " or more (a lower bound)");
    });
    if (!certificate_.value("optimum", Json()).is_null()) line("optimum", {"optimum"}, [&] { return text_of(at("optimum")) + " (proved)"; });
    line("least tool calls", {"minimal_tool_calls"}, [&] { return text_of(at("minimal_tool_calls")); });
    line("oracle", {"oracle"}, [&] {
      return fmt::format("passes, through the tools alone: {} messages, {} tool calls", text_of(at("oracle").value("steps", Json())), text_of(at("oracle").value("tool_calls", Json())));
    });
    line("random answers", {"random_tries", "random_passes", "random_pass_rate"}, [&] {
      return fmt::format("{} of {} pass ({:.1f} %)", text_of(at("random_passes")), text_of(at("random_tries")), 100 * at("random_pass_rate").get<double>());
    });
    line("lazy agents", {"adversaries"}, [&] { return adversaries(); });
    line("wrong answers", {"true_negatives", "true_negative_rate"}, [&] {
      return fmt::format("{} of {} rejected, each with one fault", text_of(at("true_negatives").value("rejected", Json())), text_of(at("true_negatives").value("tried", Json())));
    });
    line("right answers", {"true_positives", "true_positive_rate"}, [&] {
      return fmt::format("{} of {} accepted: other solutions and other ways to write one", text_of(at("true_positives").value("accepted", Json())),
                         text_of(at("true_positives").value("tried", Json())));
    });
    line("odd tool calls", {"tool_fuzz"}, [&] {
      return fmt::format("{} made, {} refused with an error, no fault", text_of(at("tool_fuzz").value("calls", Json())), text_of(at("tool_fuzz").value("refusals", Json())));
    });
    return out_;
  }

  std::string text() {
    summary();
    for (const char* key : {"log10_solution_count", "version", "solution_count_exact", "optimum", "optimum_thousandths", "kill_matrix", "oracle_answer"}) told_.insert(key);
    for (const auto& item : certificate_.items()) {
      if (!told_.contains(item.key())) line(item.key(), {}, [&] { return text_of(item.value()); });
    }
    if (certificate_.contains("oracle_answer")) out_ += fmt::format("  {:<22} {}\n", "an answer", laid_out(certificate_.at("oracle_answer"), "  "));
    return out_;
  }

 private:
  const Json& at(const char* key) const { return certificate_.at(key); }

  void line(const std::string& name, std::initializer_list<const char*> needs, const std::function<std::string()>& say) {
    for (const char* key : needs) {
      if (!certificate_.contains(key)) return;
    }
    for (const char* key : needs) told_.insert(key);
    out_ += fmt::format("  {:<22} {}\n", name, say());
  }

  std::string adversaries() const {
    std::string failing, passing;
    for (const auto& item : at("adversaries").items()) {
      std::string& list = item.value() == 0 ? failing : passing;
      list += (list.empty() ? "" : ", ") + item.key();
    }
    return passing.empty() ? "none passes: " + failing : "pass: " + passing + "; fail: " + failing;
  }

  const Json& certificate_;
  std::set<std::string> told_;
  std::string out_;
};

}  // namespace

void show_certificate(const Task& task) { write_out(printable(CertificateText(task.certificate).text())); }

void show_certificate_summary(const Task& task) { write_out(printable(CertificateText(task.certificate).summary())); }

void show_task(const ReadyTask& ready, const ShowOptions& options) {
  if (options.json) return write_json_line(task_json(ready));
  const Style style = Style::of_stdout();
  std::string out = fmt::format("{}  {}{}{}\n\n{}\n\n", style.bold(ready.task.task_id), ready.task.environment, ready.task.level == 0 ? "" : fmt::format(", level {}", ready.task.level),
                                ready.task.named.empty() ? "" : ", named " + ready.task.named, printable(ready.task.prompt));
  out += style.bold("Difficulty") + "\n";
  for (const auto& item : ready.task.difficulty.at("vector").items()) out += fmt::format("  {:<22} {}\n", item.key(), dump_json(item.value()));
  write_out(out + style.bold("Certificate") + "\n");
  show_certificate(ready.task);
  write_out(style.bold("World") + style.dim(fmt::format("  (as an SQLite file: gauntlet env dump --db {} --task {} --out world.db)", options.store, ready.task.task_id)) + "\n" +
            world_excerpt(*ready.world, options.full, style));
}

}  // namespace gauntlet

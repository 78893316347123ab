#include "cli/model_bench_command.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/bench_device.h"
#include "cli/builtin_model.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/output_files.h"
#include "core/error.h"
#include "inference/random_checkpoint.h"

namespace gauntlet {
namespace {

/// Since this process was started, in steps of the kernel's clock (10 ms); 0 where the kernel does not say.
double seconds_since_start() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(text.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) rest >> field;  // field 22 counted from the process id, 20 after the name
  timespec now{};
  if (!rest || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - std::stod(field) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// One token through the model, so that "ready" means that an answer could be given.
void warm_up(Backend& backend) {
  const std::int32_t id = 0, page = 0;
  const SequenceStep step{.ids = {&id, 1}, .start = 0, .pages = {&page, 1}, .logits = LogitsOf::Last};
  backend.forward({&step, 1});
}

void print_report(const Json& report) {
  const auto number = [](const Json& row, const char* key) { return row.at(key).get<double>(); };
  write_out(fmt::format("{}, {} threads; {}\n", report.at("hardware").get<std::string>(), report.at("threads").get<int>(), report.at("backend").get<std::string>()));
  write_out(fmt::format("start to ready {:.2f} s; reading from memory {:.1f} GB/s\n\n", number(report, "start_seconds"), number(report, "memory_rate") / 1e9));
  write_out(fmt::format("{:>8} {:>10} {:>10}\n", "prefill", "tokens/s", "best"));
  for (const auto& row : report.at("prefill")) write_out(fmt::format("{:>8} {:>10.0f} {:>10.0f}\n", row.at("context").get<int>(), number(row, "tokens_per_second"), number(row, "best")));
  write_out(fmt::format("\n{:>8} {:>6} {:>10} {:>10} {:>9} {:>9} {:>10} {:>10} {:>13} {:>6}\n", "decode", "batch", "tokens/s", "best", "ms/step", "MB/step", "% memory", "% read", "with sampling", "busy"));
  for (const auto& row : report.at("decode")) {
    write_out(fmt::format("{:>8} {:>6} {:>10.0f} {:>10.0f} {:>9.3f} {:>9.1f} {:>10.0f} {:>10.0f} {:>13.0f} {:>6}\n", row.at("context").get<int>(), row.at("batch").get<int>(), number(row, "tokens_per_second"), number(row, "best"),
                          1e3 * number(row, "step_seconds"), number(row, "bytes") / 1e6, 100 * number(row, "of_memory_floor"), 100 * number(row, "of_read_floor"), number(row, "sampled_per_second"), number(row, "device_busy") > 0 ? fmt::format("{:.0f} %", 100 * number(row, "device_busy")) : "-"));
  }
  write_out("\n% memory: the time that a step's bytes take from memory, of the step's time. % read: the same at the rate at which as many bytes are read over and over, which\n"
            "is higher where they fit a cache.\n");
}

}  // namespace

Json bench_report(const BenchDevice& device, const BenchFigures& figures, double start_seconds) {
  Json prefill = Json::array(), decode = Json::array();
  for (const auto& f : figures.prefill) {
    prefill.push_back({{"context", f.context}, {"tokens_per_second", f.context / median(f.seconds)}, {"best", f.context / least(f.seconds)}, {"seconds", f.seconds}});
  }
  for (const auto& f : figures.decode) {
    const double step = median(f.seconds);
    decode.push_back({{"context", f.context},
                      {"batch", f.batch},
                      {"tokens_per_second", f.batch / step},
                      {"best", f.batch / least(f.seconds)},
                      {"step_seconds", step},
                      {"bytes", f.bytes},
                      {"read_rate", f.rate},
                      {"of_memory_floor", f.bytes / figures.memory_rate / step},
                      {"of_read_floor", f.bytes / f.rate / step},
                      {"sampled_per_second", f.batch / median(f.engine_seconds)},
                      {"device_busy", f.engine_busy},
                      {"seconds", f.seconds},
                      {"engine_seconds", f.engine_seconds}});
  }
  return {{"hardware", device.hardware}, {"threads", device.threads}, {"backend", device.backend->describe()}, {"start_seconds", start_seconds}, {"memory_rate", figures.memory_rate}, {"prefill", prefill}, {"decode", decode}};
}

void add_model_bench_command(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("bench", "Measure prefill and decoding beside what the memory's bandwidth allows");
  struct Options {
    BenchDeviceOptions device;
    BenchPlan plan;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  Options& o = *options;
  add_model_option(*command, "--model", o.device.folder, "config.json and safetensors weights");
  command->add_option("--device", o.device.device, "cpu or cuda")->type_name("DEVICE")->capture_default_str();
  command->add_option("--weights", o.device.weights, "exact, or int8 (8 bits, half the memory)")->type_name("FORM")->capture_default_str();
  command->add_option("--cache", o.device.cache, "Format of the cache on cuda: bf16 or fp8")->type_name("FORMAT")->capture_default_str();
  command->add_option("--queries", o.device.queries, "On cuda: attention's queries over an FP8 cache, bf16, or fp8 for the models that have a kernel for it (docs/engine.md)")->type_name("FORMAT")->check(CLI::IsMember({"bf16", "fp8"}))->capture_default_str();
  command->add_option("--masked-from", o.device.masked_from, "On cuda: prompts prefilled whole attend with keys and values of every head from so many tokens on, where there is a kernel for it; 0: never")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--threads", o.device.threads, "Threads of the CPU backend; 0: one for each core")->type_name("N")->check(CLI::Range(0, 1024))->capture_default_str();
  command->add_option("--contexts", o.plan.contexts, "Tokens before the first that is decoded; these are prefilled")->type_name("N,…")->delimiter(',')->capture_default_str();
  command->add_option("--batches", o.plan.batches, "Sequences that decode together")->type_name("N,…")->delimiter(',')->capture_default_str();
  command->add_option("--steps", o.plan.steps, "Tokens of each sequence in one repeat")->type_name("N")->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--repeats", o.plan.repeats, "Measured repeats, of which the median is printed")->type_name("N")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_flag_callback("--cpu-time", [options] { options->plan.clock = BenchClock::Cpu; }, "Count CPU time divided by threads, on a machine that is busy with other work; with one thread only it says what a quiet machine would");
  command->add_flag("--json", o.json, "One JSON object with every sample");
  context.manuals[command] = {.description = "A step is one token of each sequence. Its bytes are the weights that it reads (of the routed experts those that it touches) and the cache; the reading rate is measured here, by as many threads.\n"
                                             "\"with sampling\" is the same through the scheduler with sampling at temperature 1.",
                              .examples = {{"A checkpoint with random weights, measured in 8 bits on two threads", "gauntlet model random --size small --out small && gauntlet model bench --model small --weights int8 --threads 2"}},
                              .exit_status = {},
                              .see_also = {"docs/performance.md", "docs/engine.md"}};
  command->callback([options] {
    options->device.pages = bench_pages(options->plan);
    BenchDevice device = open_bench_device(options->device);
    warm_up(*device.backend);
    const double start = seconds_since_start();
    const auto figures = bench_model(device, options->plan, [](const std::string& what) {
      if (err_is_terminal()) write_note(what);
    });
    const Json report = bench_report(device, figures, start);
    if (options->json) return write_json_line(report);
    print_report(report);
  });
}

std::int64_t run_model_random(const ModelRandomOptions& options) {
  const std::filesystem::path folder = options.out;
  require_unused({(folder / "config.json").string(), (folder / "model.safetensors").string()}, options.overwrite ? Overwrite::Replace : Overwrite::Refuse);
  return write_random_checkpoint(options.size, options.seed, options.out);
}

void add_model_random_command(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("random", "Write a checkpoint with random weights, for measuring");
  auto options = std::make_shared<ModelRandomOptions>();
  std::string sizes;
  for (const auto& size : random_sizes()) sizes += fmt::format("{}{}: {}", sizes.empty() ? "" : "; ", size.name, size.description);
  command->add_option("--size", options->size, sizes)->type_name("SIZE")->capture_default_str();
  check_seed(command->add_option("--seed", options->seed, "The same size and seed give the same bytes")->type_name("SEED")->capture_default_str());
  check_path(command->add_option("--out", options->out, "Folder to write config.json and model.safetensors to")->type_name("DIR")->required());
  command->add_flag("--overwrite", options->overwrite, "Replace these two files if they are there already; others in the folder, such as a tokenizer, stay");
  context.manuals[command] = {.description = "", .examples = {{"The size that the figures of docs/performance.md are measured with", "gauntlet model random --size small --out small"}}, .exit_status = {}, .see_also = {"docs/performance.md"}};
  command->callback([options] {
    const auto parameters = run_model_random(*options);
    write_note(fmt::format("{}: {:.1f} M parameters", options->out, static_cast<double>(parameters) / 1e6));
  });
}

}  // namespace gauntlet

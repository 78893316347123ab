#include "cli/model_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/builtin_model.h"
#include "cli/model_bench_command.h"
#include "cli/model_recall_command.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/output_files.h"
#include "core/error.h"
#include "inference/mapped_file.h"
#include "inference/safetensors.h"
#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr std::size_t kPromptChunk = 64;
constexpr std::size_t kShownTensors = 20;

std::string size_text(double bytes) {
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = next;
  }
  return *unit == 'B' ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, unit);
}

std::string count_text(double n) {
  if (n < 1e6) return fmt::format("{:.0f}", n);
  return n < 1e9 ? fmt::format("{:.1f} M", n / 1e6) : fmt::format("{:.1f} B", n / 1e9);
}

void print_info(const Json& info) {
  const auto line = [](std::string_view name, const std::string& text) { write_out(fmt::format("{:<16} {}\n", name, text)); };
  const auto number = [&](const char* key) { return info.at(key).get<std::int64_t>(); };
  line("architecture", info.at("architecture").get<std::string>() + (info.at("fp8_weights").get<bool>() ? ", weights in FP8 with a scale for each 128 x 128" : ""));
  line("size", fmt::format("{} layers of width {}, vocabulary {}{}", number("layers"), number("dim"), number("vocab"), info.at("tied_embeddings").get<bool>() ? ", embeddings tied" : ""));
  const std::string reach =
      number("index_heads") > 0 ? fmt::format("indexer of {} x {} chooses {} positions", number("index_heads"), number("index_dim"), number("index_topk")) : "dense";
  line("attention", fmt::format("{} heads over a latent of {} + {} rotary; {}", number("heads"), number("latent_dim"), number("rope_dim"), reach));
  if (number("experts") > 0) {
    line("experts", fmt::format("{} in each of {} layers, {} a token and {} shared", number("experts"), number("layers") - number("dense_layers"), number("experts_per_token"),
                                number("shared_experts")));
  }
  line("parameters", fmt::format("{}, of which a token uses {}", count_text(info.at("parameters").get<double>()), count_text(info.at("active_parameters").get<double>())));
  line("on disk", size_text(info.at("bytes_on_disk").get<double>()));
  const Json& mtp = info.at("mtp");
  const auto mtp_layers = mtp.at("layers").get<std::int64_t>();
  line("multi-token", mtp_layers == 0 ? "no prediction layer"
                                      : fmt::format("{} with {} parameters, not run", counted(mtp_layers, "prediction layer"), count_text(mtp.at("parameters").get<double>())));
  line("cache", fmt::format("{:>12} {:>12} {:>12}", "positions", "bf16", "fp8"));
  for (const auto& row : info.at("cache")) {
    line("", fmt::format("{:>12} {:>12} {:>12}", row.at("context").get<std::int64_t>(), size_text(row.at("bf16").get<double>()), size_text(row.at("fp8").get<double>())));
  }
  for (const auto& row : info.at("runs_on")) {
    line("runs on", fmt::format("{} in {}, weights {}", row.at("device").get<std::string>(), row.at("dtype").get<std::string>(), size_text(row.at("weight_bytes").get<double>())));
  }
  const Json& unused = info.at("unused_tensors");
  line("unused tensors", unused.empty() ? "none" : fmt::format("{}", unused.size()));
  for (std::size_t i = 0; i < std::min(unused.size(), kShownTensors); ++i) line("", printable(unused[i].get<std::string>()));
  if (unused.size() > kShownTensors) line("", fmt::format("and {} more; --json lists all", unused.size() - kShownTensors));
}

std::int32_t most_likely(std::span<const float> row) {
  std::int32_t best = 0;
  for (std::int32_t i = 1; i < static_cast<std::int32_t>(row.size()); ++i) {
    if (chosen_before(row[static_cast<std::size_t>(i)], i, row[static_cast<std::size_t>(best)], best)) best = i;
  }
  return best;
}

Tensor view(DType dtype, std::vector<std::int64_t> shape, std::span<const std::byte> data) { return {.dtype = dtype, .shape = std::move(shape), .data = data}; }

void check_length(const ModelConfig& config, std::size_t prompt, std::int64_t more) {
  require(static_cast<std::int64_t>(prompt) <= config.max_positions - more, ErrorKind::Input,
          fmt::format("the model has {} positions; found {} ids and {} to come", config.max_positions, prompt, more));
}

}  // namespace

std::vector<std::int32_t> read_token_ids(const std::string& path, const ModelConfig& config) {
  const MappedFile file(path);
  const Json json = parse_json(file.text(), path);
  require(json.is_array() && !json.empty(), ErrorKind::Input, fmt::format("{}: expected an array with one token id or more, found {:.60}", path, dump_json(json)));
  std::vector<std::int32_t> ids;
  ids.reserve(json.size());
  for (const auto& item : json) {
    const bool good = item.is_number_unsigned() && item.get<std::uint64_t>() < static_cast<std::uint64_t>(config.vocab);
    if (!good) fail(ErrorKind::Input, fmt::format("{}/{}: found {:.60}; accepted: ids from 0 to {}", path, ids.size(), dump_json(item), config.vocab - 1));
    ids.push_back(static_cast<std::int32_t>(item.get<std::uint64_t>()));
  }
  return ids;
}

void run_model_logits(const ModelLogitsOptions& options) {
  check_token_model(options.model);
  require_different(options.out, options.ids, "--ids");
  require_unused({options.out}, options.overwrite ? Overwrite::Replace : Overwrite::Refuse);
  const ModelConfig config = load_model_config(options.model.folder);
  const auto ids = read_token_ids(options.ids, config);
  check_length(config, ids.size(), 0);
  const auto model = make_token_model(options.model, config, static_cast<std::int64_t>(ids.size()));

  const auto tokens = static_cast<std::int64_t>(ids.size()), k = static_cast<std::int64_t>(config.index_topk);
  std::vector<std::vector<std::int32_t>> selected;
  if (config.has_indexer()) selected.assign(static_cast<std::size_t>(config.layers), std::vector<std::int32_t>(static_cast<std::size_t>(tokens * k), -1));
  const auto logits = model->forward(ids, [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen) {
    std::copy(chosen.begin(), chosen.end(), selected[static_cast<std::size_t>(layer)].begin() + position * k);
  });
  std::map<std::string, Tensor> out;
  out["logits"] = view(DType::F32, {tokens, config.vocab}, std::as_bytes(std::span(logits)));
  for (std::size_t i = 0; i < selected.size(); ++i) out[fmt::format("selected.{}", i)] = view(DType::I32, {tokens, k}, std::as_bytes(std::span(selected[i])));
  write_safetensors(options.out, out);
}

std::vector<std::int32_t> generate_ids(const ModelGenerateOptions& options) {
  check_token_model(options.model);
  require(options.max_new >= 0, ErrorKind::Usage, fmt::format("--max-new: found {}; accepted: whole numbers from 0", options.max_new));
  require(options.temperature == 0.0, ErrorKind::Usage, fmt::format("--temperature: found {}; accepted: 0 (always the most likely token)", options.temperature));
  const ModelConfig config = load_model_config(options.model.folder);
  const auto ids = read_token_ids(options.ids, config);
  check_length(config, ids.size(), options.max_new);
  std::vector<std::int32_t> out;
  if (options.max_new == 0) return out;
  const auto model = make_token_model(options.model, config, static_cast<std::int64_t>(ids.size()) + options.max_new);
  std::vector<float> logits;
  for (std::size_t at = 0; at < ids.size(); at += kPromptChunk) logits = model->forward(std::span(ids).subspan(at, std::min(kPromptChunk, ids.size() - at)), {});
  while (true) {
    out.push_back(most_likely(std::span(logits).last(static_cast<std::size_t>(config.vocab))));
    const bool ended = !options.ignore_eos && std::find(config.eos.begin(), config.eos.end(), out.back()) != config.eos.end();
    if (ended || static_cast<std::int64_t>(out.size()) == options.max_new) return out;
    logits = model->forward({&out.back(), 1}, {});
  }
}

namespace {

void add_model_options(CLI::App* command, TokenModelOptions& options, std::string& ids) {
  add_model_option(*command, "--model", options.folder, "config.json and safetensors weights");
  command->add_option("--ids", ids, "A file with a JSON array of token ids")->type_name("FILE")->required();
  command->add_option("--device", options.device, "cpu or cuda")->type_name("DEVICE")->capture_default_str();
  command->add_option("--dtype", options.dtype, "f32 (cpu), bf16 or fp8 (cuda; fp8: bf16 arithmetic over an FP8 cache); left out: the first for the device")->type_name("TYPE");
}

}  // namespace

void add_model_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("model", "Look into a checkpoint and at what it computes");
  command->group("Environments, models and formats");
  command->require_subcommand(1);
  context.manuals[command] = {.description = "Checkpoints are folders in the Hugging Face layout (config.json, safetensors) of DeepSeek-V3.2's or V3's architecture. Token ids go in and come out: no tokenizer is needed.",
                              .examples = {},
                              .exit_status = {},
                              .see_also = {"docs/model.md"}};

  CLI::App* info = command->add_subcommand("info", "Architecture, sizes, memory of the cache, tensors that nothing reads");
  struct InfoOptions {
    std::string folder;
    bool json = false;
  };
  auto info_options = std::make_shared<InfoOptions>();
  add_model_option(*info, "DIR", info_options->folder, "config.json and safetensors weights")->type_name("");
  info->add_flag("--json", info_options->json, "One JSON object; sizes in bytes");
  info->callback([info_options] {
    const Json found = describe_model(info_options->folder);
    if (info_options->json) return write_json_line(found);
    print_info(found);
  });

  CLI::App* logits = command->add_subcommand("logits", "Write the logits after every token, and the positions that sparse attention chose");
  auto logits_options = std::make_shared<ModelLogitsOptions>();
  add_model_options(logits, logits_options->model, logits_options->ids);
  check_path(logits->add_option("--out", logits_options->out, "The safetensors file to write: logits [tokens, vocab], selected.LAYER [tokens, k]")->type_name("FILE")->required());
  logits->add_flag("--overwrite", logits_options->overwrite, "Replace the file if it is there already");
  context.manuals[logits] = {.description = "", .examples = {{"Logits of a list of ids", "gauntlet model logits --model DIR --ids ids.json --out out.safetensors"}}, .exit_status = {}, .see_also = {"docs/model.md"}};
  logits->callback([logits_options] { run_model_logits(*logits_options); });

  CLI::App* generate = command->add_subcommand("generate", "Continue token ids, and print {\"ids\": [...]} with the new ones");
  auto generate_options = std::make_shared<ModelGenerateOptions>();
  add_model_options(generate, generate_options->model, generate_options->ids);
  generate->add_option("--max-new", generate_options->max_new, "At most so many new ids")->type_name("N")->capture_default_str();
  generate->add_option("--temperature", generate_options->temperature, "0: always the most likely token")->type_name("T")->capture_default_str();
  generate->add_flag("--ignore-eos", generate_options->ignore_eos, "Go on after an end-of-text id");
  context.manuals[generate] = {.description = "", .examples = {{"32 more ids, the most likely ones", "gauntlet model generate --model DIR --ids ids.json --max-new 32 --temperature 0"}}, .exit_status = {}, .see_also = {"docs/model.md"}};
  generate->callback([generate_options] { write_json_line(Json{{"ids", generate_ids(*generate_options)}}); });

  add_model_bench_command(*command, context);
  add_model_recall_command(*command, context);
  add_model_random_command(*command, context);
}

}  // namespace gauntlet

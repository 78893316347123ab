#include "cli/serve_command.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "cli/builtin_model.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "inference/server/http_front.h"
#include "inference/server/reply_constraints.h"

namespace gauntlet {
namespace {

constexpr auto kCancelPoll = std::chrono::milliseconds(50);
constexpr rlim_t kOtherFiles = 128;  ///< the model's, and connections about to be refused

ApiKeys read_keys(const ServeOptions& options) {
  ApiKeys keys;
  if (!options.api_key_file.empty()) keys.add(ApiKeys::from_file(options.api_key_file));
  if (options.api_key_env.empty()) return keys;
  const char* value = std::getenv(options.api_key_env.c_str());
  require(value != nullptr, ErrorKind::Usage, fmt::format("--api-key-env: the environment variable {} is not set", options.api_key_env));
  keys.add(ApiKeys::from_text(value, options.api_key_env));
  return keys;
}

ThinkingMode parse_mode(const std::string& text) {
  require(text == "thinking" || text == "chat", ErrorKind::Usage, fmt::format("--mode: found \"{}\"; accepted: thinking, chat", text));
  return text == "chat" ? ThinkingMode::Chat : ThinkingMode::Thinking;
}

/// A descriptor for each connection.
void allow_connections(std::size_t connections) {
  const rlim_t needed = static_cast<rlim_t>(connections) + kOtherFiles;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  require(limit.rlim_max >= needed, ErrorKind::Usage, fmt::format("--connections: {} need {} open files, and the system allows {} (ulimit -Hn)", connections, needed, limit.rlim_max));
  limit.rlim_cur = needed;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// Repeats of a benchmark against a server that was started anew must not be the same draws again.
std::uint64_t fresh_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

void run_serve(const ServeOptions& options, Context& context) {
  ServiceOptions service_options{.name = options.name, .limits = options.limits, .mode = parse_mode(options.mode), .seed = options.seed ? *options.seed : fresh_seed()};
  require(options.drain_seconds >= 0, ErrorKind::Usage, fmt::format("--drain-seconds: found {}; accepted: 0 or more", options.drain_seconds));
  require(options.limits.connections >= 1, ErrorKind::Usage, "--connections: found 0; accepted: 1 or more");
  service_options.limits.drain = std::chrono::seconds(options.drain_seconds);
  ApiKeys keys = read_keys(options);
  // Told before a large checkpoint is loaded.
  require(!keys.empty() || is_loopback(options.host), ErrorKind::Usage,
          fmt::format("--host: {} can be reached from other machines; give --api-key-file or --api-key-env, or listen on 127.0.0.1, ::1 or localhost", options.host));
  allow_connections(options.limits.connections);
  LocalEngine local = load_local_engine(options.local);
  if (service_options.name.empty()) service_options.name = local.name;
  service_options.constraints = make_reply_constraints(local.codec);
  service_options.constrain_calls = options.local.constrain_calls;
  ModelService service(std::move(service_options), local.engine, local.codec);
  HttpFront front({.host = options.host, .port = options.port, .keys = std::move(keys)}, service);
  write_out(front.address() + "/v1\n");
  write_note(fmt::format("serving {} ({}) with {} tokens of context; Ctrl-C stops", printable(service.options().name), local.engine->describe(), local.engine->max_context()));
  while (!context.cancel.load()) std::this_thread::sleep_for(kCancelPoll);
  front.stop();
}

void add_serve_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("serve", "Answer over HTTP");
  command->group("Environments, models and formats");
  command->require_subcommand(1);
  CLI::App* model = command->add_subcommand("model", "A checkpoint behind OpenAI's API: chat and text completions, streams, tools, thinking, log-probabilities");
  auto options = std::make_shared<ServeOptions>();
  ServeOptions& o = *options;
  add_model_option(*model, "--model", o.local.folder, "config.json, safetensors weights and tokenizer.json");
  model->add_option("--port", o.port, "Port; 0: any that is free")->type_name("PORT")->capture_default_str();
  model->add_option("--host", o.host, "Address to listen on; beyond this machine only with a key")->type_name("HOST")->capture_default_str();
  model->add_option("--api-key-file", o.api_key_file, "File with the keys that clients may show, one a line; default: no key is asked for")->type_name("FILE");
  model->add_option("--api-key-env", o.api_key_env, "Environment variable that holds keys, separated by commas")->type_name("VARIABLE");
  model->add_option("--served-name", o.name, "The model's name to clients; default: the folder's")->type_name("NAME");
  model->add_option("--mode", o.mode, "thinking or chat, for requests that do not say")->type_name("MODE")->capture_default_str();
  check_seed(model->add_option("--seed", o.seed, "Seed of requests that bring none; default: another at every start")->type_name("SEED"));
  add_local_engine_options(*model, o.local);
  model->add_option("--max-running", o.local.max_running, "Sequences in a batch")->type_name("N")->capture_default_str();
  model->add_option("--connections", o.limits.connections, "Clients at once")->type_name("N")->capture_default_str();
  model->add_option("--drain-seconds", o.drain_seconds, "After Ctrl-C or SIGTERM, running requests have so long to finish")->type_name("SECONDS")->capture_default_str();
  context.manuals[model] = {.description = "Prints its base URL on stdout once it takes requests, and serves until Ctrl-C or SIGTERM. Listens on this machine alone unless told otherwise; then it asks for a key, which is never given on the "
                                           "command line. docs/server.md lists endpoints, members and limits.",
                            .examples = {{"Serve a checkpoint on port 8000", "gauntlet serve model --model DIR"},
                                         {"For other machines", "gauntlet serve model --model DIR --host 0.0.0.0 --api-key-file keys.txt"},
                                         {"Play tasks against it", "gauntlet bench --db t.db --model http://127.0.0.1:8000/v1"}},
                            .exit_status = {{0, "stopped by a signal"}, {2, "wrong usage"}, {3, "the checkpoint or the address could not be had"}},
                            .see_also = {"docs/server.md", "docs/engine.md"}};
  model->callback([options, &context] { run_serve(*options, context); });
}

}  // namespace gauntlet

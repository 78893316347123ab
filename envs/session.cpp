#include "envs/session.h"

#include <fmt/format.h>

#include <mutex>
#include <unordered_map>

#include "core/error.h"
#include "envs/json_text.h"
#include "envs/tool_connection.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxIdleConnections = 32;
constexpr std::size_t kMaxWrites = 10'000;  // In one session; replaying and releasing a chain of writes takes this many steps.

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

}  // namespace

struct EnvRuntime::Impl {
  std::shared_ptr<const EnvSpec> spec;
  std::unordered_map<std::string, int, TextHash, std::equal_to<>> tool_numbers;
  WorldImages images;
  std::mutex mutex;
  std::vector<std::unique_ptr<ToolConnection>> idle;  ///< the most recently used last

  /// Nearest first: one in this state, one with this world, one whose world nobody needs any more. Then, for a fresh state, which any
  /// connection comes to in microseconds, the least recently used; for one with writes to repeat a new one while there is room, so that
  /// the others keep the states that they are in.
  std::unique_ptr<ToolConnection> borrow(const World* world, const WriteLog* state) {
    {
      const std::lock_guard lock(mutex);
      std::size_t best = idle.size();
      std::size_t unused = idle.size();
      for (std::size_t i = idle.size(); i-- > 0;) {
        if (idle[i]->world() == world) {
          best = i;
          if (idle[i]->state() == state) break;
        } else if (idle[i]->world_is_unused()) {
          unused = i;
        }
      }
      if (best == idle.size()) best = unused;
      if (best == idle.size() && (state == nullptr || idle.size() == kMaxIdleConnections)) best = 0;
      if (best < idle.size()) {  // None when there is no idle one at all.
        auto connection = std::move(idle[best]);
        idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(best));
        return connection;
      }
    }
    return std::make_unique<ToolConnection>(*spec, images);
  }

  void give_back(std::unique_ptr<ToolConnection> connection) {
    const std::lock_guard lock(mutex);
    if (idle.size() < kMaxIdleConnections) idle.push_back(std::move(connection));
  }
};

EnvRuntime::EnvRuntime(std::shared_ptr<const EnvSpec> spec) : impl_(std::make_unique<Impl>()) {
  impl_->spec = std::move(spec);
  for (std::size_t i = 0; i < impl_->spec->tools.size(); ++i)
    impl_->tool_numbers[impl_->spec->tools[i].spec.name] = static_cast<int>(i);
}

EnvRuntime::~EnvRuntime() = default;
const EnvSpec& EnvRuntime::spec() const { return *impl_->spec; }

struct Session::Impl {
  std::shared_ptr<EnvRuntime> runtime;
  std::shared_ptr<const World> world;
  std::shared_ptr<const WriteLog> log;
  std::optional<std::string> answer;
  const CancelFlag* cancel = nullptr;

  ToolOutcome submit(const EnvSpec& spec, std::string_view arguments);
};

Session::Session(std::shared_ptr<EnvRuntime> runtime, std::shared_ptr<const World> world) : impl_(std::make_unique<Impl>()) {
  impl_->runtime = std::move(runtime);
  impl_->world = std::move(world);
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

/// The answer is free text; a model that hands in JSON instead of a string that holds it means the same.
ToolOutcome Session::Impl::submit(const EnvSpec& spec, std::string_view arguments) {
  Json parsed;
  try {
    parsed = parse_json(arguments, "the arguments");
  } catch (const Error& error) {
    return tool_error("malformed_arguments", error.what());
  }
  if (!parsed.is_object() || parsed.size() != 1 || !parsed.contains(spec.submit_argument)) {
    return tool_error("invalid_arguments", fmt::format("expected exactly one argument, \"{}\"", spec.submit_argument));
  }
  const Json& value = parsed[spec.submit_argument];
  answer = value.is_string() ? value.get<std::string>() : dump_json(value);
  return {.content = R"({"submitted":true})", .is_error = false, .ends_episode = true};
}

ToolOutcome Session::call(std::string_view tool, std::string_view arguments) {
  EnvRuntime::Impl& runtime = *impl_->runtime->impl_;
  const auto it = runtime.tool_numbers.find(tool);
  if (it == runtime.tool_numbers.end()) {
    std::vector<std::string> names;
    for (const auto& definition : runtime.spec->tools) names.push_back(definition.spec.name);
    return tool_error("unknown_tool", fmt::format("there is no tool named \"{}\"; the tools are: {}", clip_text(tool, 100),
                                                  fmt::join(names, ", ")));
  }
  const ToolDefinition& definition = runtime.spec->tools[static_cast<std::size_t>(it->second)];
  if (definition.effect == ToolEffect::Submit) return impl_->submit(*runtime.spec, arguments);
  if (definition.effect == ToolEffect::Write && impl_->log != nullptr && impl_->log->length >= kMaxWrites) {
    return tool_error("too_many_writes", fmt::format("an episode may write {} times", kMaxWrites));
  }
  auto connection = runtime.borrow(impl_->world.get(), impl_->log.get());
  connection->stop_when(impl_->cancel);
  connection->move_to(impl_->world, impl_->log);
  ToolOutcome outcome = connection->call(it->second, arguments);
  connection->stop_when(nullptr);
  if (definition.effect == ToolEffect::Write && !outcome.is_error) {
    const std::size_t length = impl_->log == nullptr ? 1 : impl_->log->length + 1;
    impl_->log = std::make_shared<const WriteLog>(
        WriteLog{.previous = impl_->log, .tool = it->second, .arguments = std::string(arguments), .length = length});
    connection->advance(impl_->log);
  }
  runtime.give_back(std::move(connection));
  return outcome;
}

Session Session::fork() const {
  Session copy(impl_->runtime, impl_->world);
  copy.impl_->log = impl_->log;
  copy.impl_->answer = impl_->answer;
  copy.impl_->cancel = impl_->cancel;
  return copy;
}

void Session::stop_when(const CancelFlag& cancel) { impl_->cancel = &cancel; }
bool Session::is_stopped() const { return impl_->cancel != nullptr && impl_->cancel->load(); }

const std::optional<std::string>& Session::answer() const { return impl_->answer; }

std::string Session::state_fingerprint() const {
  EnvRuntime::Impl& runtime = *impl_->runtime->impl_;
  auto connection = runtime.borrow(impl_->world.get(), impl_->log.get());
  connection->move_to(impl_->world, impl_->log);
  std::string text = connection->fingerprint();
  runtime.give_back(std::move(connection));
  return text;
}

const EnvSpec& Session::spec() const { return *impl_->runtime->impl_->spec; }
const World& Session::world() const { return *impl_->world; }

}  // namespace gauntlet

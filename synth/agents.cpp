#include "synth/agents.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "core/error.h"
#include "synth/tutor.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

ChatReply text_reply(std::string text) {
  ChatReply reply;
  reply.message.role = Role::Assistant;
  reply.message.content = std::move(text);
  return reply;
}

ChatReply submission(const EnvSpec& spec, const std::string& answer) {
  ChatReply reply;
  reply.message.role = Role::Assistant;
  reply.message.tool_calls.push_back({.id = "call_submit", .name = spec.submit_tool, .arguments = dump_json(Json{{spec.submit_argument, answer}})});
  reply.finish = FinishReason::ToolCalls;
  return reply;
}

/// One fixed reply, whatever is asked.
class FixedAgent : public ChatModel {
 public:
  FixedAgent(std::string kind, std::function<ChatReply(const ChatRequest&)> answer) : kind_(std::move(kind)), answer_(std::move(answer)) {}
  ChatReply complete(const ChatRequest& request, const CancelFlag&) override { return answer_(request); }
  Json describe() const override { return {{"kind", kind_}}; }

 private:
  std::string kind_;
  std::function<ChatReply(const ChatRequest&)> answer_;
};

class ReplayAgent : public ChatModel {
 public:
  explicit ReplayAgent(std::vector<Message> messages) : messages_(std::move(messages)) {}
  ChatReply complete(const ChatRequest&, const CancelFlag&) override {
    if (next_ >= messages_.size()) return text_reply("Done.");
    ChatReply reply;
    reply.message = messages_[next_++];
    reply.finish = reply.message.tool_calls.empty() ? FinishReason::Stop : FinishReason::ToolCalls;
    return reply;
  }
  Json describe() const override { return {{"kind", "replay"}}; }

 private:
  std::vector<Message> messages_;
  std::size_t next_ = 0;
};

/// Explores by listing (all parents for greedy, a few for random), then fills every slot with something of the right kind in the right
/// place, blind to the requirements.
class BlindAgent : public ChatModel {
 public:
  BlindAgent(const Planner& planner, Problem problem, bool greedy, Rng rng) : planner_(planner), problem_(std::move(problem)), greedy_(greedy), rng_(rng), seen_(planner) {}

  ChatReply complete(const ChatRequest& request, const CancelFlag&) override {
    for (; read_ < request.messages.size(); ++read_) {
      const Message& message = request.messages[read_];
      const auto it = issued_.find(message.tool_call_id);
      if (message.role != Role::Tool || it == issued_.end()) continue;
      const Json result = parse_json(message.content, "a tool result");
      if (!(result.is_object() && result.contains("error"))) seen_.record(it->second, result);
    }
    std::vector<PlannedCall> calls = explore();
    if (calls.empty()) return submission(planner_.spec(), fill());
    ChatReply reply;
    reply.message.role = Role::Assistant;
    for (auto& call : calls) {
      const std::string id = fmt::format("call_{}", issued_count_++);
      reply.message.tool_calls.push_back({.id = id, .name = planner_.spec().tools[static_cast<std::size_t>(call.tool)].spec.name, .arguments = call.text()});
      issued_[id] = std::move(call);
    }
    reply.finish = FinishReason::ToolCalls;
    return reply;
  }

  Json describe() const override { return {{"kind", greedy_ ? "greedy" : "random"}}; }

 private:
  std::vector<PlannedCall> explore() {
    std::vector<PlannedCall> calls;
    if (++round_ > 3) return calls;
    const World& world = seen_.world();
    std::set<int> slot_tables;
    for (const auto& slot : problem_.slots) {
      if (slot.domain != SlotDomain::Entity) continue;
      slot_tables.insert(world.find_table(slot.entity));
      add_listings(world.find_table(slot.entity), calls);
    }
    for (const int table : planner_.with_parents(slot_tables)) {
      if (!slot_tables.contains(table)) add_listings(table, calls);
    }
    if (calls.size() > 64) calls.resize(64);
    return calls;
  }

  void add_listings(int table, std::vector<PlannedCall>& calls) {
    const World& world = seen_.world();
    const auto add = [&](PlannedCall call) {
      if (!seen_.called(call) && std::find(calls.begin(), calls.end(), call) == calls.end()) calls.push_back(std::move(call));
    };
    const Reveal* reveal = planner_.lister(table);
    if (reveal == nullptr) return;
    if (reveal->given.empty()) return add({.tool = reveal->tool});
    const WorldColumn& column = world.tables[static_cast<std::size_t>(reveal->table)].columns[static_cast<std::size_t>(reveal->given[0].second)];
    const int parent = world.find_table(column.references);
    if (reveal->given.size() != 1 || parent < 0) return;
    const WorldTable& parents = world.tables[static_cast<std::size_t>(parent)];
    for (std::size_t row = 0; row < parents.rows; ++row) {
      if (!greedy_ && !rng_.chance(500'000)) continue;
      PlannedCall listing{.tool = reveal->tool};
      listing.arguments[reveal->given[0].first] = world.symbols.text(static_cast<std::int32_t>(parents.columns[static_cast<std::size_t>(parents.key_column)].cells[row]));
      add(std::move(listing));
    }
  }

  std::string fill() {
    Json answer;
    std::map<std::string, std::int32_t> chosen;  // slot to symbol
    std::map<std::string, int> used;
    const World& world = seen_.world();
    for (const auto& slot : problem_.slots) {
      Json& place = answer[Json::json_pointer(slot.path)];
      if (slot.domain == SlotDomain::Dates) {
        place = format_date(greedy_ ? slot.from + used["date"]++ % (slot.to - slot.from + 1) : rng_.range(slot.from, slot.to));
      } else if (slot.domain == SlotDomain::Integers) {
        place = greedy_ ? slot.from : rng_.range(slot.from, slot.to);
      } else if (slot.domain == SlotDomain::Texts) {
        place = greedy_ ? slot.texts.front() : rng_.pick(slot.texts);
      } else {
        place = pick_row(slot, world, chosen, used);
      }
    }
    return dump_json(answer);
  }

  std::string pick_row(const SlotSpec& slot, const World& world, std::map<std::string, std::int32_t>& chosen, std::map<std::string, int>& used) {
    const WorldTable& table = world.tables[static_cast<std::size_t>(world.find_table(slot.entity))];
    std::vector<std::int32_t> keys;
    for (std::size_t row = 0; row < table.rows; ++row) {
      bool inside = true;
      for (const auto& [column, target] : slot.within) inside = inside && table.columns[static_cast<std::size_t>(table.find_column(column))].cells[row] == chosen[target];
      if (inside) keys.push_back(static_cast<std::int32_t>(table.columns[static_cast<std::size_t>(table.key_column)].cells[row]));
    }
    if (keys.empty()) return "unknown";
    // Greedy takes the first that it has not taken yet.
    const std::int32_t key = greedy_ ? keys[static_cast<std::size_t>(used[slot.entity]++) % keys.size()] : rng_.pick(keys);
    chosen[slot.id] = key;
    return world.symbols.text(key);
  }

  const Planner& planner_;
  Problem problem_;
  bool greedy_;
  Rng rng_;
  SeenWorld seen_;
  std::map<std::string, PlannedCall> issued_;
  std::size_t read_ = 0;
  int issued_count_ = 0;
  int round_ = 0;
};

}  // namespace

const std::vector<std::string>& agent_names() {
  static const std::vector<std::string> kNames = {"oracle", "tutor", "noop", "constant", "echo", "random", "greedy"};
  return kNames;
}

std::unique_ptr<ChatModel> make_agent(const std::string& name, const Planner& planner, const Problem& problem, std::uint64_t seed) {
  Rng rng(mix_seed(seed, hash_text(name)));
  const EnvSpec& spec = planner.spec();
  if (name == "oracle" || name == "tutor") return make_expert(name == "tutor" ? Expert::Tutor : Expert::Oracle, planner, problem, rng);
  if (name == "noop") return std::make_unique<FixedAgent>(name, [](const ChatRequest&) { return text_reply("Done."); });
  if (name == "constant") return std::make_unique<FixedAgent>(name, [&spec](const ChatRequest&) { return submission(spec, "[]"); });
  if (name == "echo") {
    return std::make_unique<FixedAgent>(name, [&spec](const ChatRequest& request) { return submission(spec, request.messages.back().content); });
  }
  if (name == "random" || name == "greedy") return std::make_unique<BlindAgent>(planner, problem, name == "greedy", rng);
  const std::string nearest = nearest_word(name, agent_names());
  fail(ErrorKind::Usage, fmt::format("unknown agent \"{}\"{}; accepted: {}", name, nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(agent_names(), ", ")));
}

std::unique_ptr<ChatModel> make_replay_agent(std::vector<Message> assistant_messages) { return std::make_unique<ReplayAgent>(std::move(assistant_messages)); }

}  // namespace gauntlet

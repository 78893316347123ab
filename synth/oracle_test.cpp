#include "synth/oracle.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <regex>
#include <set>

#include "synth/play_table.h"

namespace gauntlet {

namespace {

class Table : public PlayTable {
 public:
  /// The oracle at the candidate's problem, in `world` (its own unless another is given).
  Play play(const Candidate& candidate, OracleStyle style, std::uint64_t seed, std::shared_ptr<const World> world = nullptr) const {
    OracleAgent oracle(planner(), candidate.problem, style, Rng(seed));
    return PlayTable::play(candidate, oracle, std::move(world));
  }
};

std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex wanted(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), wanted), end; it != end; ++it) found.push_back(it->str());
  return found;
}

std::set<double> numbers_in(const std::string& text) {
  std::set<double> found;
  for (const auto& number : matches(text, R"(\d+(\.\d+)?)")) found.insert(std::stod(number));  // 4 and 4.0 are one
  return found;
}

/// Sums in `text` of the form "a + b = c"; each is removed once it has been found right.
std::string without_right_sums(std::string text, int& sums) {
  const std::regex sum(R"((\d+(\.\d+)?)( \+ \d+(\.\d+)?)+ = (\d+(\.\d+)?))");
  std::smatch match;
  while (std::regex_search(text, match, sum)) {
    const std::string whole = match.str();
    const auto parts = matches(whole.substr(0, whole.find('=')), R"(\d+(\.\d+)?)");
    double total = 0;
    for (const auto& part : parts) total += std::stod(part);
    CHECK_MESSAGE(std::abs(total - std::stod(whole.substr(whole.find('=') + 2))) < 1e-9, whole);
    ++sums;
    std::string addends;
    for (const auto& part : parts) addends += part + " ";
    text = match.prefix().str() + addends + match.suffix().str();
  }
  return text;
}

constexpr OracleStyle kSteady{.parallel = true, .siblings = 3, .slip_per_million = 0};

}  // namespace

TEST_CASE("the oracle solves tasks of levels 1 to 4 through the tools alone") {
  const Table table;
  for (const int level : {1, 2, 3, 4}) {
    for (std::uint64_t i = 0; i < 6; ++i) {
      const Candidate candidate = table.draw(level, 100 * i);
      if (solve(CompiledProblem(candidate.problem, *candidate.world)).count == 0) continue;
      const Play play = table.play(candidate, kSteady, i);
      INFO("level " << level << ": " << play.episode.score.summary);
      CHECK(play.episode.score.value == 1.0);
      CHECK(play.errors == 0);
      // Every name handed in was shown before, by the task or by a tool.
      const Json answer = Json::parse(*play.episode.answer);
      for (const auto& day : answer) {
        for (const auto& member : day.items()) {
          CHECK_MESSAGE((play.shown.find(member.value().get<std::string>()) != std::string::npos), member.value());
        }
      }
    }
  }
}

TEST_CASE("what it knows comes from the tools: in another world it solves that world's task or says that it cannot") {
  const Table table;
  int solved = 0;
  int gave_up = 0;
  for (std::uint64_t i = 0; i < 12; ++i) {
    const Candidate candidate = table.draw(2, 50 * i);
    WorldKey other = candidate.key;
    other.seed += 1;
    const auto world = build_world(table.spec(), other);
    const Play play = table.play(candidate, kSteady, i, world);
    const bool possible = solve(CompiledProblem(candidate.problem, *world)).count > 0;
    CHECK(play.episode.score.value == (possible ? 1.0 : 0.0));
    CHECK(play.episode.answer.has_value() == possible);
    (possible ? solved : gave_up) += 1;
  }
  CHECK(solved > 0);
}

TEST_CASE("every number in its thinking was shown to it or is a right sum of such") {
  const Table table;
  int sums = 0;
  for (const int level : {1, 2, 3, 4}) {
    for (std::uint64_t i = 0; i < 5; ++i) {
      Rng rng(i);
      const Play play = table.play(table.draw(level, 1000 + 100 * i), draw_style(rng), i);
      std::string said = without_right_sums(play.said, sums);
      // Its own counts: of results not repeated, and of alternatives that hold (judged by the verifier's tests).
      said = std::regex_replace(said, std::regex(R"(and \d+ more|\d+ of \d+ hold|call_\d+)"), "");
      const std::set<double> shown = numbers_in(play.shown);
      for (const double number : numbers_in(said)) CHECK_MESSAGE(shown.contains(number), number << " in: " << said);
    }
  }
  CHECK(sums > 10);
}

TEST_CASE("what it notes of a result is what the result says") {
  const Table table;
  const Play play = table.play(table.draw(4, 7), kSteady, 3);
  int notes = 0;
  std::map<std::string, ToolCall> calls;
  for (const auto& message : play.episode.messages) {
    for (const auto& call : message.tool_calls) calls[call.id] = call;
    if (message.role != Role::Tool || !calls.contains(message.tool_call_id)) continue;
    const Json result = Json::parse(message.content);
    const Json arguments = Json::parse(calls[message.tool_call_id].arguments);
    if (!result.is_object() || !arguments.contains("hotel")) continue;
    std::string note = arguments["hotel"].get<std::string>() + " has ";
    for (const auto& item : result.items())
      note += (note.ends_with("has ") ? "" : ", ") + item.key() + " " +
              (item.value().is_string() ? item.value().get<std::string>() : dump_json(item.value()));
    notes += play.said.find(note) != std::string::npos ? 1 : 0;
  }
  CHECK(notes > 0);
}

TEST_CASE("a slip is refused, noticed in the thinking, and repaired by the right call") {
  const Table table;
  int slips = 0;
  for (std::uint64_t i = 0; i < 30; ++i) {
    const Play play =
        table.play(table.draw(3, 10 * i), {.parallel = i % 2 == 0, .siblings = 2, .slip_per_million = 1'000'000}, i);
    CHECK(play.episode.score.value == 1.0);
    if (play.errors == 0) continue;  // the slip fell on a call without a name, or after the last one
    ++slips;
    CHECK(play.errors == 1);
    const auto meant = matches(play.said, R"(where I meant \{.*?\}\. )");
    REQUIRE(meant.size() == 1);
    const std::string arguments = meant[0].substr(14, meant[0].size() - 16);
    int repeated = 0;
    std::string failed;
    for (const auto& message : play.episode.messages) {
      if (message.role == Role::Tool && message.content.find("\"error\"") != std::string::npos) failed = message.tool_name;
      for (const auto& call : message.tool_calls) repeated += call.name == failed && call.arguments == arguments ? 1 : 0;
    }
    CHECK_MESSAGE(repeated == 1, arguments);
  }
  CHECK(slips > 15);
}

TEST_CASE("styles vary: one call at a time or many, with slips in about one episode of six") {
  int parallel = 0;
  std::set<int> siblings;
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    const OracleStyle style = draw_style(rng);
    parallel += style.parallel ? 1 : 0;
    siblings.insert(style.siblings);
    CHECK(style.slip_per_million == 167'000);
  }
  CHECK(parallel > 700);
  CHECK(parallel < 900);
  CHECK(siblings.size() == 7);

  const Table table;
  const Candidate candidate = table.draw(3, 40);
  CHECK(table.play(candidate, {.parallel = false, .siblings = 0, .slip_per_million = 0}, 1).widest == 1);
  CHECK(table.play(candidate, kSteady, 1).widest > 3);
  std::set<std::string> texts;
  std::set<std::string> answers;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Play play = table.play(candidate, kSteady, seed);
    texts.insert(play.said);
    answers.insert(*play.episode.answer);
  }
  CHECK(texts.size() == 20);
  CHECK(answers.size() > 2);
  CHECK(table.play(candidate, kSteady, 5).said == table.play(candidate, kSteady, 5).said);
}

TEST_CASE("a venue that the task names is looked up where it lies") {
  const Table table;
  for (std::uint64_t i = 0; i < 4; ++i) {
    Candidate candidate = table.draw(1, 20 * i);
    const CompiledProblem compiled(candidate.problem, *candidate.world);
    Rng rng(i);
    const auto answer = find_answer(compiled, rng).answer;
    REQUIRE(answer.has_value());
    for (const std::string noun : {"hotel", "evening_restaurant"}) {
      Node slot{.kind = NodeKind::SlotValue};
      slot.slot = "day1." + noun;
      Node name{.kind = NodeKind::Const};
      const int number = candidate.problem.find_slot(slot.slot);
      name.constant = {.type = ConstType::Text,
                       .number = 0,
                       .text = compiled.value_to_json(number, (*answer)[static_cast<std::size_t>(number)]).get<std::string>()};
      Node equal{.kind = NodeKind::Compare, .op = CompareOp::Equal};
      equal.children = {slot, name};
      candidate.problem.constraints.push_back(equal);
    }
    CHECK(table.play(candidate, kSteady, i).episode.score.value == 1.0);
  }
}

TEST_CASE("a task without an answer is given up in words, not with a made-up plan") {
  const Table table;
  Candidate candidate = table.draw(1, 3);
  Node impossible{.kind = NodeKind::Compare, .op = CompareOp::Less};
  Node price{.kind = NodeKind::Attribute};
  price.slot = "day1.hotel";
  price.column = "price";
  impossible.children = {price, Node{.kind = NodeKind::Const}};
  candidate.problem.constraints.push_back(impossible);
  const Play play = table.play(candidate, kSteady, 1);
  CHECK_FALSE(play.episode.answer.has_value());
  CHECK(play.episode.stop == StopReason::Answered);
  CHECK(play.episode.messages.back().content == "I could not find a plan that satisfies all requirements.");
}

}  // namespace gauntlet

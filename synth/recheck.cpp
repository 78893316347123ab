#include "synth/recheck.h"

#include <fmt/format.h>

#include <unistd.h>

#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <iostream>

#include "core/error.h"
#include "core/sha256.h"
#include "synth/gate.h"
#include "synth/synthesize.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

namespace process = boost::process;

/// What both sides must agree on.
std::string verdict_line(const EnvSpec& spec, const Task& task) {
  const auto world = build_world(spec, task.world);
  const CompiledProblem problem(parse_problem(task.problem, ""), *world);
  const auto optimum = certified_optimum(task.certificate);
  Verifier verifier(problem, spec, optimum);
  const bool passes = verifier.passes(dump_json(task.certificate.at("oracle_answer")));
  const bool noop = verifier.verify(std::nullopt).value == 1.0;
  return fmt::format("{} {} {} {}", sha256_hex(world_fingerprint(*world)), verifier_hash(task.problem, optimum), passes ? "pass" : "fail", noop ? "pass" : "fail");
}

}  // namespace

struct RecheckProcess::Impl {
  process::opstream to_child;
  process::ipstream from_child;
  process::child child;
};

RecheckProcess::RecheckProcess(const std::vector<std::string>& command, const EnvSpec& spec) : impl_(std::make_unique<Impl>()) {
  const std::vector<std::string> arguments(command.begin() + 1, command.end());
  std::error_code error;
  // In a group of its own: Ctrl-C asks this program to stop, which still needs the other for what is made.
  impl_->child = process::child(process::exe = command.front(), process::args = arguments, process::std_in < impl_->to_child, process::std_out > impl_->from_child,
                                process::extend::on_exec_setup = [](auto&) { ::setpgid(0, 0); }, error);
  if (error) fail(ErrorKind::Infrastructure, fmt::format("could not start {} for the check in another process: {}", command.front(), error.message()));
  impl_->to_child << dump_json(spec.source) << std::endl;
}

RecheckProcess::~RecheckProcess() {
  impl_->to_child.pipe().close();
  std::error_code ignored;
  impl_->child.wait(ignored);
}

void RecheckProcess::check(const std::deque<Task>& tasks) {
  for (auto it = tasks.rbegin(); it != tasks.rend(); ++it) impl_->to_child << dump_json(to_json(*it)) << '\n';
  impl_->to_child.flush();
  for (auto it = tasks.rbegin(); it != tasks.rend(); ++it) {
    std::string line;
    if (!std::getline(impl_->from_child, line)) fail(ErrorKind::Infrastructure, "the process that re-checks tasks ended early");
    const std::string expected = fmt::format("{} {} pass fail", it->certificate.at("world_sha256").get<std::string>(), it->certificate.at("verifier_sha256").get<std::string>());
    require(line == expected, ErrorKind::Internal, fmt::format("task {} is not reproducible in another process: expected \"{}\", found \"{}\"", it->task_id, expected, line));
  }
}

void recheck_tasks(const EnvSpec& spec, std::istream& in, std::ostream& out) {
  std::string line;
  while (std::getline(in, line)) {
    out << verdict_line(spec, task_from_json(parse_json(line, "a task to re-check"), "")) << '\n';
    if (in.rdbuf()->in_avail() == 0) out.flush();
  }
  out.flush();
}

}  // namespace gauntlet

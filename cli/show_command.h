#pragma once

#include <cstdint>
#include <string>

#include "cli/context.h"
#include "cli/environments.h"

namespace gauntlet {

struct ShowOptions {
  std::string store = "gauntlet.db", id;
  std::string run;          ///< in place of id, where that could be an episode's number too
  bool json = false;
  bool full = false;        ///< nothing shortened
  bool failed = false;      ///< of a run: only episodes that did not pass
  std::int64_t limit = 20;  ///< lines of a list; 0: all
};

void run_show(const ShowOptions& options);

/// Each writes to stdout: as text, or one JSON object.
void show_task(const ReadyTask& ready, const ShowOptions& options);
void show_certificate(const Task& task);
void show_certificate_summary(const Task& task);
void show_episode(const StoredEpisode& stored, const ShowOptions& options);
void show_verdict(const Episode& episode);

/// JSON over several lines, objects of scalars on one line each.
std::string laid_out(const Json& value, const std::string& indent);

}  // namespace gauntlet

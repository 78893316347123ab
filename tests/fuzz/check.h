#pragma once

// What a fuzz target promises about its subject. A broken promise ends the process, which is how a fuzzer learns of it.

#include <cstdio>
#include <cstdlib>

namespace gauntlet {

inline void promise(bool kept, const char* what) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

}  // namespace gauntlet

# Every third-party package, in one place. Debian 12 versions: fmt 9.1, nlohmann-json 3.11.2, SQLite 3.40.1, CLI11 2.1.2,
# doctest 2.4.9, simdjson 3.0, cpp-httplib 0.11.4, Boost 1.74, OpenSSL 3.0, PCRE2 10.42.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(SQLite3 3.38 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED)
# Debian builds cpp-httplib as a shared library (with TLS) and ships no CMake package for it.
find_library(HTTPLIB_LIBRARY cpp-httplib REQUIRED)
# Debian ships no CMake package of PCRE2 either.
find_library(PCRE2_LIBRARY pcre2-8 REQUIRED)
find_package(simdjson REQUIRED)
# A faster allocator for the programs, where it is installed (libgoogle-perftools-dev); docs/performance.md has the figures.
# Sanitizers bring their own.
add_library(gauntlet_allocator INTERFACE)
find_library(TCMALLOC_LIBRARY tcmalloc_minimal)
if(TCMALLOC_LIBRARY AND NOT GAUNTLET_SANITIZE)
  target_link_libraries(gauntlet_allocator INTERFACE -Wl,--no-as-needed ${TCMALLOC_LIBRARY} -Wl,--as-needed)
endif()
find_package(Boost 1.74 REQUIRED COMPONENTS filesystem)
if(GAUNTLET_TESTS)
  find_package(doctest REQUIRED)
  # A second opinion on the solver (libz3-dev); without it that one test is left out.
  find_path(Z3_INCLUDE z3++.h)
  find_library(Z3_LIBRARY z3)
endif()

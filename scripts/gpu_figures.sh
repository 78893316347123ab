#!/usr/bin/env bash
# Checks and measures everything that docs/performance.md says of a GPU, one log a step, on a machine with a CUDA device:
#
#   scripts/gpu_figures.sh OUT            tests, every kernel, the small model and a layer of DeepSeek-V3.2's sizes: about ten minutes
#   scripts/gpu_figures.sh OUT STEP...    only these: tests kernels small layer-bf16 layer-fp8 masked sanitizer
#
# `sanitizer` (compute-sanitizer's memcheck over the kernels' tests) runs only when it is named. PROGRAMS (default: build/release) is the folder of
# gauntlet, gauntlet_tests and gauntlet_bench. A step that fails or outlasts its limit does not stop the others.
# Exit status: 0 every step passed, 1 a step failed, 2 wrong usage, 3 nothing to measure on.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
programs=$(cd "${PROGRAMS:-$root/build/release}" 2>/dev/null && pwd) || programs=${PROGRAMS:-$root/build/release}
all=(tests kernels small layer-bf16 layer-fp8 masked)

fail() {
  echo "gpu_figures.sh: $2" >&2
  exit "$1"
}

(($# >= 1)) && [[ $1 != -* ]] || fail 2 "found no folder to write to; usage: scripts/gpu_figures.sh OUT [STEP...]"
out=$1
shift
steps=("$@")
((${#steps[@]})) || steps=("${all[@]}")
for step in "${steps[@]}"; do
  [[ " ${all[*]} sanitizer " == *" $step "* ]] || fail 2 "found step '$step'; there are: ${all[*]} sanitizer"
done
for program in gauntlet gauntlet_tests gauntlet_bench; do
  [[ -x $programs/$program ]] || fail 3 "found no $programs/$program; ./bootstrap.sh build makes it, or set PROGRAMS"
done
device=$(nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.max.sm --format=csv,noheader 2>/dev/null) || fail 3 "found no CUDA device (nvidia-smi does not answer)"
mkdir -p "$out" || fail 3 "could not make $out"
out=$(cd "$out" && pwd)
echo "$device" | tee "$out/device.txt"
cd "$root" || exit 3

failed=0
# step NAME SECONDS COMMAND...: the command's output goes to NAME.out (stdout) and NAME.log (stderr).
step() {
  local name=$1 limit=$2 begun=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$out/$name.out" 2>"$out/$name.log"
  status=$?
  echo "$name: exit status $status after $((SECONDS - begun)) s"
  ((status == 0)) || { failed=1; tail -n 5 "$out/$name.log" "$out/$name.out"; }
}

models=$(mktemp -d "$out/models.XXXXXX") || fail 3 "could not make a folder in $out"
trap 'rm -rf "$models"' EXIT
checkpoint() {
  [[ -d $models/$1 ]] || "$programs/gauntlet" model random --size "$1" --out "$models/$1" >>"$out/models.log" 2>&1
}

bench() {  # NAME SIZE OPTIONS...: `gauntlet model bench` of a random checkpoint
  local name=$1 size=$2
  shift 2
  if checkpoint "$size"; then
    step "$name" 300 "$programs/gauntlet" model bench --model "$models/$size" --device cuda --json "$@"
  else
    echo "$name: could not make the checkpoint: $(tail -n 1 "$out/models.log")"
    failed=1
  fi
}

for name in "${steps[@]}"; do
  case $name in
    tests) step tests 600 "$programs/gauntlet_tests" --source-file='*/inference/cuda/*' ;;
    kernels) step kernels 300 "$programs/gauntlet_bench" kernels --json ;;
    small) bench small small --contexts 128,1024,4096 --batches 1,16,64,256 ;;
    layer-bf16) bench layer-bf16 layer --contexts 4096,131072 --batches 1,8 --steps 16 --repeats 3 ;;
    layer-fp8) bench layer-fp8 layer --contexts 4096,131072 --batches 1,8 --steps 16 --repeats 3 --cache fp8 ;;
    masked)
      for from in 0 1; do
        bench "masked-from-$from" layer --contexts 2,8,16,32,64,128,256,512,1024,2048 --batches 1 --steps 4 --repeats 3 --masked-from "$from"
      done
      ;;
    sanitizer) step sanitizer 3600 compute-sanitizer --error-exitcode 1 "$programs/gauntlet_tests" --source-file='*/inference/cuda/*' ;;
  esac
done
exit "$failed"

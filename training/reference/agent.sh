#!/usr/bin/env bash
# Trains the built-in agent from nothing on one GPU (about 32 minutes on an H100 80GB): tokenizer, data, three stages, export.
#
#   GAUNTLET=../../build/release/gauntlet PYTHON=python3 ./agent.sh WORK      # the model is then in WORK/model
#
# The data is generated beside the training by THREADS threads (12) and is read as it is written. Shards of four exports, easier levels
# first, are joined as one numbered sequence.
set -euo pipefail
cd "$(dirname "$0")"
gauntlet=${GAUNTLET:-../../build/release/gauntlet} python=${PYTHON:-python3} threads=${THREADS:-12}
work=${1:?usage: agent.sh WORK}
mkdir -p "$work/data"

domain=(--oracle trip_planning)
"$gauntlet" export tokens "${domain[@]}" --text --levels 1:2,2:3,3:4,4:0.4,5:0.1 --modes thinking:5,chat:1 --count 4000 --out "$work/texts"
"$python" make_tokenizer.py --text "$work/texts" --shuffle 1 --vocab 4096 --documents 3000 --out "$work/tokenizer"

most_shards=450 shards=0
export_part() { # name, documents, levels, seed
  "$gauntlet" export tokens "${domain[@]}" --tokenizer "$work/tokenizer" --levels "$3" --modes thinking:9,chat:1 --threads "$threads" --seed "$4" --count "$2" --out "$work/part$1" &
  local export=$! running=1
  while true; do
    kill -0 "$export" 2>/dev/null || running=0
    for shard in $(find "$work/part$1" -name 'tokens-*.safetensors' 2>/dev/null | sort); do
      mv "$shard" "$(printf '%s/data/tokens-%05d.safetensors' "$work" "$shards")"
      shards=$((shards + 1))
    done
    [[ $running = 0 ]] && break
    [[ $shards -ge $most_shards ]] && kill -INT "$export"
    sleep 0.3
  done
  wait "$export" || true # interrupted at the last part
}
generate() {
  export_part 0 2100 1:2,2:3,3:4.5,4:0.35,5:0.1 100 # the shard that validation is taken from
  export_part 1 130000 1:3,2:3,3:1 101
  export_part 2 280000 1:2,2:3,3:4.5,4:0.2,5:0.05 102
  export_part 3 9000000 1:1.5,2:3,3:6,4:0.1,5:0.02 103
}
generate > "$work/generate.log" 2>&1 &
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

common=(--data "$work/data" --follow --validate-every 2500)
"$python" train.py --stage dense "${common[@]}" --config sizes/agent.json --vocab-size 4096 --out "$work/dense" --seconds 1340 --batch-tokens 65536 \
  --decay-share 0.7 --muon-lr 0.012 --warmup-steps 60 --log-every 100
"$python" train.py --stage warmup "${common[@]}" --init "$work/dense/checkpoint.pt" --out "$work/warmup" --seconds 50 --start-shard 400 --indexer-lr 1e-3 --decay-share 0.5
"$python" train.py --stage sparse "${common[@]}" --init "$work/warmup/checkpoint.pt" --out "$work/sparse" --seconds 250 --start-shard 412 --accumulate 2 --fp8-aware \
  --muon-lr 0.002 --adam-lr 3e-4 --indexer-lr 5e-4 --router-lr 2e-5 --decay-share 1.0 --log-every 40
"$python" export.py "$work/sparse/checkpoint.pt" "$work/model" --format fp8 --tokenizer "$work/tokenizer/tokenizer.json" \
  --log "$work/dense/log.csv" --log "$work/warmup/log.csv" --log "$work/sparse/log.csv"

#!/usr/bin/env bash
# About two minutes on one GPU: the tests, then every stage on synthetic shards with its rate, MFU and a table of the top kernels.
# PYTHON=..., SIZES=sizes/agent.json, SECONDS_EACH=25. Ends with the first failure; only the ends of long outputs are shown.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3} sizes=${SIZES:-sizes/agent.json} each=${SECONDS_EACH:-25}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$python" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'
"$python" -m unittest discover -s tests -p '*_test.py' 2>&1 | tail -25
"$python" tests/synthetic.py "$work/data" --tokens 4000000 --shards 12
common=(--data "$work/data" --held-out 64 --log-every 10 --validate-every 100000 --checkpoint-minutes 60)
"$python" train.py --stage dense "${common[@]}" --config "$sizes" --out "$work/dense" --seconds "$each" --profile 3 2>&1 | tail -60
"$python" train.py --stage warmup "${common[@]}" --init "$work/dense/checkpoint.pt" --out "$work/warmup" --seconds "$each" --profile 2 2>&1 | tail -50
"$python" train.py --stage sparse "${common[@]}" --init "$work/warmup/checkpoint.pt" --out "$work/sparse" --seconds "$each" --profile 2 --fp8-aware 2>&1 | tail -50
"$python" export.py "$work/sparse/checkpoint.pt" "$work/hf" --format fp8 --log "$work/dense/log.csv" --log "$work/warmup/log.csv" --log "$work/sparse/log.csv" --file-mb 15
if [[ -n ${OUT:-} ]]; then for s in dense warmup sparse; do cp "$work/$s/log.csv" "$OUT/$s.csv"; cp "$work/$s/log.svg" "$OUT/$s.svg"; done; fi

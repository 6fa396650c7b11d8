#!/usr/bin/env bash
# Training steps of askem and of PyTorch on this machine's CPU, in alternation.
#
# usage: PYTHON=python3 benches/peers.sh PATH/TO/torch_unet.py [batch] [rounds]
# PYTHON needs torch; the script is a peer that prints `samples_per_s` or `samples_per_second` per line of JSON.
set -euo pipefail
peer=${1:?give the path of torch_unet.py}
batch=${2:-4}
rounds=${3:-5}
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."
cargo build --release -q -p askem
askem=${CARGO_TARGET_DIR:-target}/release/askem
threads=$(nproc)
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for _ in $(seq "$rounds"); do
    "$askem" bench train --batch "$batch" --repeats 1 --threads "$threads" --device cpu --json 2>/dev/null \
        | sed 's/^/askem /' >>"$results"
    for layout in '' --channels-last; do
        "$python" "$peer" bench-train --batch "$batch" --repeats 1 --threads "$threads" --device cpu $layout 2>/dev/null \
            | grep '^{' | sed "s/^/torch$layout /" >>"$results"
    done
done
"$python" - "$results" <<'PY'
import json, statistics, sys
rates = {}
for line in open(sys.argv[1]):
    name, text = line.split(" ", 1)
    row = json.loads(text)
    rate = row.get("samples_per_second", row.get("samples_per_s"))
    if rate is not None:
        rates.setdefault(name, []).append(rate)
medians = {name: statistics.median(values) for name, values in rates.items()}
for name, values in rates.items():
    print(f"{name:22} median {medians[name]:6.1f} samples/s of", *(f"{v:.1f}" for v in values))
best = max(value for name, value in medians.items() if name != "askem")
print(f"askem / best PyTorch layout: {medians['askem'] / best:.2f}")
PY

#!/usr/bin/env bash
# askem and its peers on this machine's CPU, in alternation, with the ratios of their medians.
#
# usage: [PYTHON=python3] benches/peers.sh PATH/TO/peers [--rounds 5] [--only train,score,bald]
# The folder holds torch_unet.py and inference_engines.py; PYTHON needs what they need (a peer that is missing is
# named and left out). Selection has a script of its own, select_peers.py.
set -euo pipefail
peers=$(realpath "${1:?give the folder of torch_unet.py and inference_engines.py}")
shift
cd "$(dirname "$0")/.."
cargo build --release -q -p askem
exec "${PYTHON:-python3}" benches/peers.py "$peers" --askem "${CARGO_TARGET_DIR:-target}/release/askem" "$@"

#!/usr/bin/env bash
# Fig. 2 of arXiv 1911.05548 on the VNC dataset: learning curves of the paper's strategies and full supervision.
#
#   examples/figure2_vnc.sh ROOT [quick|paper] [OUT]
#
# ROOT holds the dataset (`askem run --help` says where it is to be had). `quick`, the default, is a smaller network and a shorter protocol: 21 runs; on two
# cores of an AMD EPYC (Zen 5) the first four took 1 min 18 s to 1 min 56 s each, so that all take about 35 minutes. `paper` has the paper's numbers: 21 runs of 1.4 million
# sample-steps, about ten days on two cores by the speed of a training step, so it is for a GPU (no time is known there yet) or a cluster. Both go on where they were
# interrupted; the estimate of each run stands in OUT/logs.
set -euo pipefail
root=${1:?usage: figure2_vnc.sh ROOT [quick|paper] [OUT]}
preset=${2:-quick}
out=${3:-runs/figure2-$preset}
"${ASKEM:-askem}" compare --dataset vnc --root "$root" --preset "$preset" --seeds 3 --out "$out" \
    --strategies random,entropy,least_confidence,bald,k_means,core_set,full

#!/usr/bin/env bash
# Slurm: an array of parts, and a choice that waits for all of them.
#
#   examples/cluster/slurm/submit.sh POOL.ENV [SBATCH OPTIONS FOR THE PARTS...]
#
# For example: submit.sh brain.env --cpus-per-task=8 --mem=4G --time=2:00:00 --gres=gpu:1
# Parts of a node that fails are queued again by Slurm. If a part fails for good, the choice is taken off the queue; after
# mending what was wrong, submit again: only what is missing is computed.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
ASKEM_POOL=$(realpath "${1:?usage: submit.sh POOL.ENV [SBATCH OPTIONS]}")
export ASKEM_POOL
shift
PARTS=
# shellcheck source=../pool.env
source "$ASKEM_POOL"

array=$(sbatch --parsable --job-name=askem-score --array=0-$((PARTS - 1)) --requeue --open-mode=append "$@" "$here/score.sh")
choice=$(sbatch --parsable --job-name=askem-select --dependency="afterok:$array" --kill-on-invalid-dep=yes "$here/select.sh")
echo "parts: job $array, choice: job $choice"

#!/usr/bin/env bash
# Scores one part of a pool; which one, the engine's variables say (askem score --shard auto).
#
#   score.sh POOL.ENV      or the file's path in ASKEM_POOL
#
# Chunks that are there already are not computed again, so a part that was killed goes on where it was.
set -euo pipefail
pool=${1:-${ASKEM_POOL:?the path of a pool.env is wanted}}
# shellcheck source=pool.env
source "$pool"
export ASKEM_SHARDS=$PARTS

for attempt in 1 2 3; do
    status=0
    "$ASKEM" score --weights "$WEIGHTS" --raw "$RAW" --out "$SCORES" --shard auto "${SCORE_OPTIONS[@]}" || status=$?
    # Only what was killed is tried again: a wrong option stays wrong, and who interrupts means it.
    case $status in
    134 | 135 | 137 | 139) echo "score.sh: askem was killed (status $status, attempt $attempt of 3)" >&2 ;;
    *) exit "$status" ;;
    esac
done
exit "$status"

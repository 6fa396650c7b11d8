#!/usr/bin/env bash
# Chooses from the scores of all parts. Fails if one is missing.
#
#   select.sh POOL.ENV      or the file's path in ASKEM_POOL
set -euo pipefail
pool=${1:-${ASKEM_POOL:?the path of a pool.env is wanted}}
# shellcheck source=pool.env
source "$pool"

"$ASKEM" select "${SELECT_OPTIONS[@]}" "$SCORES" >"$PICKS.part"
mv "$PICKS.part" "$PICKS"

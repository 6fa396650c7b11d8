#!/usr/bin/env bash
# askem and its peers on this machine's GPU: one table of all goals, within ten minutes.
#
# usage: [PYTHON=python3] benches/gpu.sh PATH/TO/askem PATH/TO/peers [--burn PATH/TO/burn_unet] [--minutes 10] [--device gpu]
# Needs no compiler: the binaries may have been built elsewhere. PYTHON has PyTorch with CUDA; the folder of peers holds
# torch_unet.py. A peer that is missing is named and left out. On a machine without a Vulkan loader install libvulkan1 first.
set -euo pipefail
askem=$(realpath "${1:?give the askem binary}")
peers=$(realpath "${2:?give the folder of torch_unet.py}")
shift 2
export PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu.py" "$askem" "$peers" "$@"

#!/usr/bin/env bash
# askem and PyTorch on a graphics card: one table of all goals. docs/gpu-day.md says what to type.
#
#   benches/gpu.sh pack FOLDER PATH/TO/torch_unet.py [--askem BINARY]
#       fills FOLDER with all that a machine needs that has a card and PyTorch, but no compiler and
#       no network: the binary, these scripts, the peer, and libraries that drivers ask for
#   FOLDER/gpu.sh run --out RESULTS [--state DIR] [--seconds 180] [...]
#       measures there what is missing in DIR (run --help lists all options; PYTHON names a Python
#       with PyTorch); in a checkout benches/gpu.sh run does the same
#   benches/gpu.sh plan
#       prints the steps, how long each may take, and in which call it comes
#   benches/gpu.sh rehearse FOLDER [...]
#       runs all of it on a software driver, with faults planted, and checks the table
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

# What NVIDIA's Vulkan driver loads, and what that needs.
packages=(libvulkan1 libglvnd0 libegl1 libglx0
    libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0)
most=64 # MiB in a folder

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

# Libraries out of Debian's packages for x86-64, into a folder. Needs no root and changes nothing
# of the system.
fetch_libraries() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        fail "there is no apt-get here, which gets the libraries: pack on Debian or Ubuntu"
    local scratch file
    scratch=$(mktemp -d)
    mkdir -p "$scratch"/{lists,cache/archives}/partial "$1"
    local apt=(apt-get -qq -o APT::Architecture=amd64 -o APT::Architectures=amd64
        -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache"
        -o APT::Sandbox::User= -o Debug::NoLocking=1)
    (cd "$scratch" && "${apt[@]}" update && "${apt[@]}" download "${packages[@]}") ||
        fail "apt-get could not download ${packages[*]}"
    for file in "$scratch"/*.deb; do dpkg-deb -x "$file" "$scratch/root"; done
    find "$scratch/root" -name 'lib*.so.[0-9]*' -type l | while read -r file; do
        cp -L "$file" "$1/$(basename "$file")"
    done
    rm -rf "$scratch"
}

# Whether a path lies in a folder, which need not be there.
is_within() { [[ $(realpath -m "$1")/ == "$(realpath -m "$2")"/* ]]; }

pack() {
    [ -f "$here/../Cargo.toml" ] || fail 'pack and rehearse are for a checkout, not for a packed folder'
    [ $# -ge 2 ] || fail 'usage: benches/gpu.sh pack FOLDER PATH/TO/torch_unet.py [--askem BINARY]'
    local folder=$1 peer=$2 askem='' size new
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --askem)
            [ $# -ge 2 ] || fail '--askem takes the path of a binary'
            askem=$2
            shift 2
            ;;
        *) fail "pack has no option $1" ;;
        esac
    done
    [ -f "$peer" ] || fail "$peer is not there: give the path of torch_unet.py"
    if [ -z "$askem" ]; then
        (cd "$here/.." && cargo build --release -q -p askem)
        askem=${CARGO_TARGET_DIR:-$here/../target}/release/askem
    fi
    [ -f "$askem" ] || fail "$askem is not there"
    # An ELF file for x86-64 has this number of a machine in its head.
    [ "$(od -An -tx1 -j18 -N2 "$askem" 2>/dev/null | tr -d ' ')" = 3e00 ] ||
        fail "$askem is not built for Linux on x86-64"
    for input in "$peer" "$askem"; do
        if is_within "$input" "$folder"; then fail "$input lies in $folder, which is packed anew"; fi
    done
    [ ! -e "$folder" ] || [ -d "$folder" ] || fail "$folder is no folder"
    if [ ! -e "$folder/packed.txt" ] && [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
        fail "$folder holds other things: name one that is new, empty or was packed before"
    fi
    # What is there stays until all that takes its place is there.
    mkdir -p "$folder"
    new=$(mktemp -d "$(realpath "$folder").XXXXXX")
    # Its name is written in now: at the exit this function has ended, and its variables with it.
    trap "rm -rf $(printf %q "$new")" EXIT
    mkdir "$new/gpu_day"
    echo "commit $(git -C "$here" describe --always --dirty), packed $(date +%F)" \
        >"$new/packed.txt"
    cp "$here"/gpu.{sh,py} "$here/torch_equal.py" "$new"
    cp "$here"/gpu_day/{child,record,steps,table}.py "$new/gpu_day"
    cp "$peer" "$new/torch_unet.py"
    strip -o "$new/askem" "$askem"
    fetch_libraries "$new/lib"
    rm -rf "${folder:?}"/{lib,gpu_day,askem,packed.txt,gpu.sh,*.py}
    mv "$new"/* "$folder"
    size=$(du -sk "$folder" | cut -f1)
    echo "$folder: $((size / 1024)) MiB of $most; needs glibc $(glibc "$folder/askem")," \
        "its libraries $(glibc "$folder"/lib/*)"
    [ "$size" -le $((most * 1024)) ] || fail "$folder is larger than $most MiB"
}

# The newest version of the C library that the files ask for.
glibc() { cat "$@" | grep -aoE 'GLIBC_2\.[0-9]+' | sort -uV | tail -n 1 | cut -d_ -f2; }

# Lets askem find the loader and the driver where this system does not.
find_driver() {
    local known file name missing driver
    # Where there is no ldconfig everything counts as missing.
    known=$(ldconfig -p 2>/dev/null || true)
    if [ -d "$here/lib" ] && [[ $known != *libvulkan.so.1* ]]; then
        missing=$(mktemp -d)
        for file in "$here"/lib/*; do
            name=$(basename "$file")
            # Only what the system lacks: its own go together.
            [[ $known == *"$name"* ]] || ln -s "$file" "$missing/$name"
        done
        export LD_LIBRARY_PATH="$missing${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        echo "Vulkan loader: the packed one; taken from $here/lib:" "$(ls -m "$missing")"
    fi
    if [ -z "${VK_DRIVER_FILES:-}" ] &&
        ! compgen -G '/usr/share/vulkan/icd.d/nvidia*.json' >/dev/null &&
        ! compgen -G '/etc/vulkan/icd.d/nvidia*.json' >/dev/null; then
        driver=$(find /usr/local /opt -maxdepth 6 -name 'nvidia_icd*.json' 2>/dev/null |
            head -n 1 || true)
        if [ -n "$driver" ]; then
            export VK_DRIVER_FILES=$driver
            echo "Vulkan driver: $driver"
        fi
    fi
}

case ${1:-} in
pack)
    shift
    pack "$@"
    ;;
run)
    shift
    find_driver
    exec "$python" "$here/gpu.py" "$@"
    ;;
plan)
    shift
    exec "$python" "$here/gpu.py" --plan "$@"
    ;;
rehearse)
    shift
    exec "$python" "$here/gpu_day/rehearse.py" "$@"
    ;;
*)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac

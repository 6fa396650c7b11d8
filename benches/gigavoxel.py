#!/usr/bin/env python3
"""Scores OME-Zarr volumes of 1/8 to 1 gigavoxel: speed beside the network alone, memory, and the same in parts.

usage: python3 benches/gigavoxel.py FOLDER [--width 8] [--sections 32,64,128,256] [--parts 8]

FOLDER takes the volumes and stores (a few hundred MB) and may be deleted afterwards. Needs the release builds of askem and of the
example synthetic_zarr. For each volume the network alone (`askem bench score` on random patches in memory) is measured
before and after, so that a machine whose speed changes shows.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

RELEASE = Path(__file__).resolve().parent.parent / "target" / "release"


def run(*words):
    """The last JSON line that it prints, its wall-clock seconds and its peak resident memory in MiB."""
    clock = time.monotonic()
    process = subprocess.Popen([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(str(w) for w in words)} failed")
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None, time.monotonic() - clock, usage.ru_maxrss / 1024


def same(a, b):
    compared = filecmp.dircmp(a, b)
    if compared.left_only or compared.right_only:
        return False
    _, differ, odd = filecmp.cmpfiles(a, b, compared.common_files, shallow=False)
    return not differ and not odd and all(same(a / d, b / d) for d in compared.common_dirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--sections", default="32,64,128,256")
    parser.add_argument("--parts", type=int, default=8)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    askem = RELEASE / "askem"
    trained = args.folder / "weights"
    if not trained.exists():
        run(askem, "run", "--preset", "quick", "--width", args.width, "--iterations", 0, "--epochs", 2, "--out", trained)
    weights = trained / "weights.safetensors"

    def network():
        words = ["bench", "score", "--width", args.width, "--patches", 512, "--criteria", "entropy", "--json"]
        return run(askem, *words)[0]["mvoxel_per_second"]

    print("sections  gigavoxel  MB stored  seconds  Mvoxel/s  network alone  share  peak MiB")
    for sections in map(int, args.sections.split(",")):
        raw = args.folder / f"raw{sections}.zarr"
        if not raw.exists():
            run(RELEASE / "examples" / "synthetic_zarr", raw, sections, 2048, 2048)
        stored = sum(f.stat().st_size for f in (raw / "s0").rglob("*") if f.is_file()) / 1e6
        out = args.folder / f"scores{sections}.zarr"
        shutil.rmtree(out, ignore_errors=True)
        score = [askem, "score", "--weights", weights, "--raw", raw, "--stride", 128, "--json", "--out"]
        before = network()
        done, seconds, peak = run(*score, out)
        alone = (before + network()) / 2
        rate = done["mvoxel_per_second"]
        voxels = sections * 2048 * 2048 / 2**30
        print(
            f"{sections:8}  {voxels:9.3f}  {stored:9.0f}  {seconds:7.1f}  {rate:8.2f}  {alone:13.2f}  "
            f"{100 * rate / alone:4.0f}%  {peak:8.0f}",
            flush=True,
        )
    parts = args.folder / "parts.zarr"
    shutil.rmtree(parts, ignore_errors=True)
    score[-1:] = ["--out", parts]
    for part in range(args.parts):
        run(*score, "--shard", f"{part}/{args.parts}")
    print(f"{args.parts} parts of the last give the same store: {same(out, parts)}")


main()

#!/usr/bin/env python3
"""What peers.sh runs: each round has every contestant once, and the medians over the rounds are compared."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

# Some machines preset these for other processors, which slows NumPy down: the peers get OpenBLAS's own choice.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
# A virtual environment that is named but not activated has its tools (ncnn's converter, pnnx) beside its Python.
ENVIRONMENT["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), ENVIRONMENT.get("PATH", os.defpath)])


def rows(command: list[str]) -> list[dict]:
    """The JSON lines that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not found:
        print(f"left out: {' '.join(command)}\n{done.stderr[-500:]}", file=sys.stderr)
        return []
    for line in done.stderr.splitlines():
        if ": left out" in line:
            print(line, file=sys.stderr)
    return found


class Rates:
    """Rates by contest and contestant, one of each per round."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, list[float]]] = {}

    def add(self, contest: str, who: str, rate: float) -> None:
        self.of.setdefault(contest, {}).setdefault(who, []).append(rate)

    def median(self, contest: str, who: str) -> float | None:
        rates = self.of.get(contest, {}).get(who)
        return statistics.median(rates) if rates else None

    def report(self) -> None:
        for contest, by in self.of.items():
            medians = {who: statistics.median(rates) for who, rates in by.items()}
            print(f"\n{contest}")
            for who, rates in by.items():
                print(f"  {who:34} {medians[who]:9.3f}   of", *(f"{rate:.3f}" for rate in rates))
            peers = {who: rate for who, rate in medians.items() if not who.startswith(("askem", "("))}
            if "askem" in medians and peers:
                best = max(peers, key=lambda who: peers[who])
                print(f"  askem / {best}: {medians['askem'] / peers[best]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--askem", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="train,score,bald")
    args = parser.parse_args()
    only = args.only.split(",")
    threads = ["--threads", str(args.threads)]
    # With askem's dropout: of feature maps, in every unit.
    equal, peer = Path(__file__).parent / "torch_equal.py", args.peers / "torch_unet.py"
    torch_unet = [sys.executable, str(equal), str(peer)]
    engines = [sys.executable, str(args.peers / "inference_engines.py")]
    cpu = ["--device", "cpu", *threads]
    rates = Rates()
    peak: list[float] = []
    for _ in range(args.rounds):
        if "train" in only:
            batches = ["1", "4", "20"]
            command = [args.askem, "bench", "train", "--batch", ",".join(batches), "--repeats", "3", "--json", *cpu]
            for row in rows(command):
                rates.add(f"train, batch {row['batch']}, samples/s", "askem", row["samples_per_second"])
            for layout in ([], ["--channels-last"]):
                command = [*torch_unet, "bench-train", "--batch", *batches, "--repeats", "3", *cpu, *layout]
                command += ["--dropout", "0.25"]
                for row in rows(command):
                    if "samples_per_s" in row:
                        who = " ".join(["PyTorch", *layout])
                        rates.add(f"train, batch {row['batch']}, samples/s", who, row["samples_per_s"])
                        peak.append(row["gflops"] / row["of_peak"])
        if "score" in only:
            command = [args.askem, "bench", "score", "--patches", "512", "--criteria", "entropy", "--repeats", "1"]
            for row in rows([*command, "--json", *cpu]):
                rates.add("entropy, Mvoxel/s", "askem", row["mvoxel_per_second"])
            for row in rows([*engines, "--batch", "16", "--repeats", "5", *threads]):
                rates.add("entropy, Mvoxel/s", row["engine"], row["mvoxel_per_second"])
        if "bald" in only:
            for criterion, dropout, who in [("entropy", "0.25", "askem, entropy"), ("bald", "0.25", "askem"),
                                            ("bald", "0", "askem, without masks")]:
                command = [args.askem, "bench", "score", "--patches", "64", "--criteria", criterion, "--repeats", "3",
                           "--dropout", dropout, "--json", *cpu]
                for row in rows(command):
                    rates.add("BALD, 10 passes, Mvoxel/s", who, row["mvoxel_per_second"])
            for who, dropout, layout in [
                ("PyTorch", "0.25", []),
                ("PyTorch --channels-last", "0.25", ["--channels-last"]),
                ("(PyTorch --channels-last without masks)", "0", ["--channels-last"]),
            ]:
                command = [*torch_unet, "bench-score", "--methods", "bald-entropy", "--n", "64", "--batch", "16",
                           "--fold-bn", "--repeats", "1", "--dropout", dropout, *layout, *cpu]
                for row in rows(command):
                    if "mvoxel_per_s" in row:
                        rates.add("BALD, 10 passes, Mvoxel/s", who, row["mvoxel_per_s"])
                        peak.append(row["gflops"] / row["of_peak"])
    rates.report()
    entropy = rates.median("BALD, 10 passes, Mvoxel/s", "askem, entropy")
    bald = rates.median("BALD, 10 passes, Mvoxel/s", "askem")
    if entropy and bald:
        print(f"\nten passes cost {entropy / bald:.2f} times an entropy score")
    entropy = rates.median("entropy, Mvoxel/s", "askem") or entropy
    if entropy and peak:
        gflops, best = entropy * 1e6 / 128 / 128 * 1.507, statistics.median(peak)
        print(f"forward pass {gflops:.0f} GFLOP/s of the direct convolution, matrix product {best:.0f} (PyTorch): "
              f"{100 * gflops / best:.0f} %")


if __name__ == "__main__":
    main()

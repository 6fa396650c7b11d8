#!/usr/bin/env python3
"""What gpu.sh runs: in each round every contestant once, and where askem's time goes; medians, ratios and goals."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from peers import Rates, rows

# The paper's protocol: 500 epochs on 20 patches, then 200 on 40, 60, ... 520.
SAMPLE_STEPS = 500 * 20 + 200 * sum(range(40, 521, 20))
SETTINGS = {
    "PyTorch eager, TF32": ["--tf32", "on"],
    "PyTorch compiled, AMP": ["--tf32", "on", "--compile", "--amp", "bf16", "--channels-last"],
}


@dataclass
class Clock:
    """Time that is left, and what was not done for want of it."""

    seconds: float
    start: float = field(default_factory=time.monotonic)
    left_out: list[str] = field(default_factory=list)

    def left(self) -> float:
        return max(self.seconds - (time.monotonic() - self.start), 1.0)

    def allows(self, what: str, seconds: float) -> bool:
        if self.left() >= seconds:
            return True
        self.left_out.append(what)
        return False


def precisions(args: argparse.Namespace) -> list[str]:
    """Those that pass the self-test on the device, the most exact first; f32 alone where the device's name says nothing."""
    found = json.loads(subprocess.run([args.askem, "devices", "--json"], capture_output=True, text=True, check=True).stdout)
    gpus = [d for d in found if d["backend"] != "native" and (args.device == "gpu" or args.device.lower() in d["name"].lower())]
    return gpus[0]["precisions"] if gpus else ["f32"]


def show(what: str, command: list[str], clock: Clock) -> None:
    """Prints what a command prints, if there is time for it."""
    if not clock.allows(what, 30):
        return
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=clock.left(), check=False)
    except subprocess.TimeoutExpired:
        clock.left_out.append(what)
        return
    print(f"{what}: {done.stdout or done.stderr}")


def train(args: argparse.Namespace, rates: Rates, clock: Clock) -> None:
    batches = args.batch.split(",")
    for precision in args.precisions:
        command = [args.askem, "bench", "train", "--batch", args.batch, "--repeats", "3", "--json", *args.on, precision]
        for row in rows(command, clock.left()):
            rates.add(f"train, batch {row['batch']}, samples/s", f"askem {precision}", row["samples_per_second"])
    for who, options in SETTINGS.items():
        if not clock.allows(who + ", training", 60):
            continue
        command = [*args.torch, "bench-train", "--batch", *batches, "--repeats", "3", "--device", args.torch_device]
        for row in rows([*command, *options], clock.left()):
            if "samples_per_s" in row:
                rates.add(f"train, batch {row['batch']}, samples/s", who, row["samples_per_s"])
    if args.burn and clock.allows("burn, training", 60):
        command = [args.burn, "train", "--backend", "wgpu", "--batch", args.batch, "--repeats", "3"]
        for row in rows(command, clock.left()):
            if "samples_per_second" in row:
                rates.add(f"train, batch {row['batch']}, samples/s", "burn on wgpu", row["samples_per_second"])


def score(args: argparse.Namespace, rates: Rates, clock: Clock) -> None:
    for precision in args.precisions:
        command = [args.askem, "bench", "score", "--patches", str(args.patches), "--criteria", "entropy,bald", "--repeats",
                   "1", "--json", *args.on, precision]
        for row in rows(command, clock.left()):
            rates.add(f"{row['criterion']}, Mvoxel/s", f"askem {precision}", row["mvoxel_per_second"])
    for who, options in SETTINGS.items():
        if not clock.allows(who + ", scoring", 60):
            continue
        command = [*args.torch, "bench-score", "--methods", "entropy", "--n", str(args.patches), "--batch", "16", "64",
                   "--pool-on", "host", "--fold-bn", "--repeats", "1", "--device", args.torch_device, *options]
        for row in rows(command, clock.left()):
            if "mvoxel_per_s" in row:
                rates.add("entropy, Mvoxel/s", f"{who}, batch {row['batch']}", row["mvoxel_per_s"])
    if args.burn and clock.allows("burn, scoring", 60):
        command = [args.burn, "score", "--backend", "wgpu", "--patches", str(args.patches), "--repeats", "1"]
        for row in rows(command, clock.left()):
            if "mvoxel_per_second" in row and row.get("criterion") == "entropy":
                rates.add("entropy, Mvoxel/s", "burn on wgpu", row["mvoxel_per_second"])


def best(rates: Rates, args: argparse.Namespace, contest: str) -> tuple[float | None, str]:
    """askem's highest rate, and the precision that reached it."""
    found = [(rates.median(contest, f"askem {precision}"), precision) for precision in args.precisions]
    found = [(rate, precision) for rate, precision in found if rate]
    return max(found) if found else (None, "f32")


def protocol(args: argparse.Namespace, rates: Rates, clock: Clock) -> float | None:
    """Minutes of the whole protocol, if they are left."""
    rate, precision = best(rates, args, "train, batch 4, samples/s")
    if not rate:
        return None
    seconds = 1.2 * SAMPLE_STEPS / rate
    print(f"\nwhole protocol: {SAMPLE_STEPS} sample-steps would train for {SAMPLE_STEPS / rate / 60:.1f} min at batch 4")
    if not clock.allows("the whole protocol", seconds + 60):
        return None
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        command = [args.askem, "run", *args.on, precision, "--strategy", "entropy", "--out", f"{folder}/run"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=clock.left(), check=False)
        except subprocess.TimeoutExpired:
            clock.left_out.append("the rest of the whole protocol")
            return None
        if done.returncode != 0:
            print(f"left out: {' '.join(command)}\n{done.stderr[-500:]}", file=sys.stderr)
            return None
        print(done.stdout)
        return (time.monotonic() - begin) / 60


def goals(rates: Rates, args: argparse.Namespace, minutes: float | None) -> None:
    def ratio(contest: str, peers: str) -> float | None:
        # burn computes in f32, and so does what it is compared with.
        ours = rates.median(contest, "askem f32") if peers == "burn" else best(rates, args, contest)[0]
        theirs = [rates.median(contest, who) for who in rates.of.get(contest, {}) if who.startswith(peers)]
        theirs = [rate for rate in theirs if rate]
        return ours / max(theirs) if ours and theirs else None

    table = []
    for batch in args.batch.split(","):
        contest = f"train, batch {batch}, samples/s"
        for who, least in [("PyTorch eager", 2), ("PyTorch compiled", 1), ("burn", 3)]:
            table.append((f"train, batch {batch}, askem / {who}", ratio(contest, who), f">= {least}"))
    entropy, bald = (best(rates, args, f"{criterion}, Mvoxel/s")[0] for criterion in ("entropy", "bald"))
    table.append(("entropy, Mvoxel/s", entropy, ">= 1000"))
    table.append(("entropy, askem / best PyTorch", ratio("entropy, Mvoxel/s", "PyTorch"), ">= 1.5"))
    table.append(("entropy, askem / burn", ratio("entropy, Mvoxel/s", "burn"), ">= 3"))
    table.append(("BALD, 10 passes, times entropy", entropy / bald if entropy and bald else None, "<= 6"))
    table.append(("whole protocol, minutes", minutes, "<= 5"))
    print(f"\n{'work':44} {'measured':>12}   goal")
    for what, value, goal in table:
        print(f"{what:44} {'not measured' if value is None else f'{value:.2f}':>12}   {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("askem")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--burn", help="the burn_unet binary")
    parser.add_argument("--device", default="gpu", help="askem's device")
    parser.add_argument("--torch-device", default="cuda")
    parser.add_argument("--batch", default="4,20", help="training batches, separated by a comma")
    parser.add_argument("--patches", type=int, default=16384, help="patches that are scored")
    parser.add_argument("--kernels", action=argparse.BooleanOptionalAction, default=True, help="print the time of each shader")
    parser.add_argument("--tune", action=argparse.BooleanOptionalAction, default=True, help="print the forms of shaders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    args.on = ["--device", args.device, "--precision"]
    args.torch = [sys.executable, str(args.peers / "torch_unet.py")]
    clock = Clock(60 * args.minutes)
    print(subprocess.run([args.askem, "devices"], capture_output=True, text=True, check=True).stdout)
    args.precisions = precisions(args)
    rates = Rates()
    for number in range(args.rounds):
        # The first round may be slow: everybody compiles, and askem measures the forms of its shaders.
        if number == 0 or clock.allows(f"round {number + 1}", 90):
            train(args, rates, clock)
            score(args, rates, clock)
        if number == 0 and args.kernels:
            for work, batch in [("train", 4), ("train", 20), ("score", 64), ("bald", 64)]:
                command = [args.askem, "bench", "kernels", "--work", work, "--batch", str(batch), "--repeats", "3"]
                show(f"kernels of {work}, batch {batch}", [*command, *args.on, args.precisions[-1]], clock)
    rates.report()
    minutes = protocol(args, rates, clock)
    for precision in args.precisions if args.tune else []:
        # Was measured in the first round on hardware; this prints what was chosen.
        command = [args.askem, "bench", "tune", "--batch", args.batch, *args.on, precision]
        show(f"forms of shaders in {precision}", command, clock)
    goals(rates, args, minutes)
    for what in clock.left_out:
        print(f"not done for want of time: {what}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Rehearses a day with a graphics card on a software driver, and checks what comes out.

usage: [PYTHON=python3] benches/gpu.sh rehearse FOLDER [--under PROGRAM] [--device NAME]

FOLDER is what `gpu.sh pack` filled; PYTHON has PyTorch (its CPU build will do). A copy of the
folder runs in a bare place, without the environment of this shell and without an installed Vulkan
loader: a call that is stopped once it has the list of devices, one that goes on until its time is
over and in which one step hangs and one fails, one that does the rest, a rerun of the two, and a
call in which matrix units are refused. PROGRAM starts others with a driver that has cooperative
matrices; tests/tools.sh makes one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gpu_day.steps import Steps

REPOSITORY = Path(__file__).resolve().parent.parent.parent
HANGS, FAILS = "train-4", "torch-eager"
# Small enough for two cores.
SIZES = {"width": 4, "patch": 16, "patches": 16, "score_batch": 8, "repeats": 1, "rounds": 2}
# A software driver tests itself for minutes.
SLOW = 12
# No call of a rehearsal takes so long.
LONG = 3000
# These take hours on a software driver.
WITHOUT = ("protocol", "torch-bald-compiled-last")
GOALS = [
    *(
        f"training, batch {batch}: askem / PyTorch {how}"
        for batch in (20, 4)
        for how in ("compiled", "eager")
    ),
    "entropy, Mvoxel/s",
    "entropy: askem / PyTorch",
    "BALD of 10 passes, times entropy",
    "a first start, s",
    "a later start, s",
]
SETTINGS = ("PyTorch compiled, bf16", "PyTorch eager, TF32")


class Wrong(Exception):
    """The rehearsal showed a fault."""


def check(holds: bool, what: str, detail: object = "") -> None:
    if not holds:
        raise Wrong(f"{what}\n{detail}")
    print(f"checked: {what}", flush=True)


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class Bare:
    """A copy of the packed folder in a place of its own."""

    def __init__(self, args: Namespace, place: Path) -> None:
        self.args, self.place = args, place
        shutil.copytree(args.folder, place / "gpu-day")
        for name in ("home", "tmp", "bin"):
            (place / name).mkdir()
        # As on a machine without a Vulkan loader.
        (place / "bin" / "ldconfig").write_text("#!/bin/sh\n", encoding="ascii")
        (place / "bin" / "ldconfig").chmod(0o755)
        self.environment = {
            "PATH": f"{place}/bin:/usr/bin:/bin",
            "HOME": str(place / "home"),
            "TMPDIR": str(place / "tmp"),
            "PYTHON": sys.executable,
        }
        if not args.compile:
            # Compiling takes minutes on two cores; nothing else changes.
            self.environment["TORCHDYNAMO_DISABLE"] = "1"

    def call(
        self, out: str, state: str, seconds: float, *words: str, forms: str = "", until: str = ""
    ) -> float:
        """One call; what it prints and leaves is looked at while it runs. Its seconds.

        Forms of shaders can be left out, and SIGTERM sent once `until` is printed.
        """
        folder = self.place / out
        where = ["--out", str(folder), "--state", str(self.place / state)]
        command = ["gpu-day/gpu.sh", "run", *where, "--seconds", str(seconds), *words]
        for name, value in {**SIZES, "slow": SLOW}.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        for name in WITHOUT:
            command += ["--without", name]
        command += ["--device", self.args.device, "--torch-device", "cpu"]
        command += ["--under", str(self.args.under)]
        environment = {**self.environment, **({"ASKEM_FORMS": forms} if forms else {})}
        start, shown, stopped = time.monotonic(), 0.0, False
        with subprocess.Popen(
            command,
            cwd=self.place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"    {line}", end="", flush=True)
                if until and until in line and not stopped:
                    stopped = True
                    process.terminate()
                name, _, rest = line.partition("] ")[2].partition(": ")
                if name == "train-20" and rest.startswith("training"):
                    shown = shown or time.monotonic()
                    value = rest.split()[-2]
                    table = (folder / "table.md").read_text(encoding="utf-8")
                    held = any(value in row for row in rows(table))
                    check(held, "the table has a result as soon as it is printed", table)
        took = time.monotonic() - start
        check(took < seconds + 3, f"a call of {seconds:.0f} s ended after {took:.0f} s")
        if shown and not until:
            early = time.monotonic() - shown
            check(early > 2, f"the first rate was there {early:.0f} s before the end")
        check(process.returncode in ((3,) if until else (0, 1)), f"exit {process.returncode}")
        return took

    def table(self, out: str) -> str:
        return (self.place / out / "table.md").read_text(encoding="utf-8")

    def ended(self, out: str) -> dict[str, list[dict]]:
        """How each step ended, every time."""
        found: dict[str, list[dict]] = {}
        text = (self.place / out / "results.jsonl").read_text(encoding="utf-8")
        for line in map(json.loads, text.splitlines()):
            if "ended" in line:
                found.setdefault(line["step"], []).append(line)
        return found

    def left_running(self) -> list[str]:
        """Processes that were started in this place and stay: ending takes a while."""
        end = time.monotonic() + 10
        while (found := self.running()) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def running(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if Path(os.readlink(process / "cwd")).is_relative_to(self.place):
                    found.append((process / "cmdline").read_text(errors="replace"))
            except OSError:
                # It has ended, or is another user's.
                continue
        return found


def planned(args: Namespace) -> list[str]:
    """Every step that a rehearsal has to do."""
    paths = {"askem": "askem", "torch_unet": "torch_unet.py", "python": "python3", "under": ""}
    on = {"device": args.device, "torch_device": "cpu", "slow": SLOW}
    sizes = {**SIZES, "without": WITHOUT, "state": None, "out": None}
    return [step.name for step in Steps(Namespace(**sizes, **paths, **on), None).all(None)]


def first_and_second(bare: Bare, args: Namespace) -> None:
    # How fast this machine is shows in how long the list of devices takes.
    took = bare.call("zeroth", "state", LONG, until="devices done")
    plants = ["--plant", f"hang:{HANGS}", "--plant", f"fail:{FAILS}"]
    bare.call("first", "state", max(90, took), *plants)
    check(not (left := bare.left_running()), "no process is left behind", left)
    ended = bare.ended("first")
    check({HANGS, FAILS} <= set(ended), "both planted steps had their turn", set(ended))
    hung, failed = ended[HANGS][0], ended[FAILS][0]
    check(hung["ended"] == "hung", f"{HANGS} hung and was ended", hung)
    check(failed["ended"] == "failed", f"{FAILS} failed", failed)
    check("planted: this fails" in failed["why"], "the table says what it wrote", failed)
    missing = set(planned(args)) - set(ended)
    check(bool(missing), f"the first call left {len(missing)} steps to the second")

    # Another folder to take home, as empty as the first was.
    bare.call("second", "state", LONG)
    table, ended = bare.table("second"), bare.ended("second")
    repeats = {f"{step}/2" for step in (HANGS, FAILS)}
    for step in [x for x in planned(args) if x not in {HANGS, FAILS} | repeats]:
        how = [line["ended"] for line in ended.get(step, [])]
        check(how and how[-1] == "done" and set(how[:-1]) <= {"cut"}, f"{step}: {how}", table)
    check(len(ended["devices"]) == 1, "the list of devices was opened once")
    found = {(row[0], row[1]) for row in rows(table)}
    for batch in (20, 4):
        for who in SETTINGS:
            for layout in ("", ", channels last"):
                there = (f"training, batch {batch}", who + layout) in found
                if who == SETTINGS[1] and not layout:
                    check(not there, f"{FAILS} has no rate yet", table)
                else:
                    check(there, f"a rate of {who}{layout}, batch {batch}", table)


def rerun(bare: Bare, args: Namespace) -> None:
    bare.call("third", "state", LONG, "--again", HANGS, "--again", FAILS)
    table = bare.table("third")
    values = {row[0]: row[1] for row in rows(table)}
    for goal in GOALS:
        measured = values.get(goal, "no row")
        check(measured.replace(".", "").isdigit(), f"{goal}: {measured}", table)
    files = [path for path in (bare.place / "third").iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    check(len(files) <= 8 and size < 16 << 20, f"{len(files)} files of {size >> 10} KiB go home")
    print(f"\n{table}")


def refused(bare: Bare, args: Namespace) -> None:
    leave = {"forms": "-matrix", "until": "train-20 done"}
    bare.call("fourth", "refused", LONG, "--again", "train-20", **leave)
    table = bare.table("fourth")
    said = [line for line in table.splitlines() if line.startswith("- tensor: refused (")]
    check(len(said) == 1, f"the table says why matrix units are refused: {said}", table)
    found = {(row[0], row[1]) for row in rows(table)}
    check(("training, batch 20", "askem f32") in found, "f32 took their place", table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="gpu.sh rehearse", description=__doc__.split("\n")[0])
    matrices = REPOSITORY / "target" / "tools" / "matrices" / "run"
    parser.add_argument("folder", type=Path, help="what gpu.sh pack filled")
    parser.add_argument("--under", type=Path, default=matrices, help="starts askem with a driver")
    parser.add_argument("--device", default="llvmpipe", help="askem's device")
    parser.add_argument("--compile", action="store_true", help="let PyTorch compile: takes long")
    args = parser.parse_args()
    if not (args.folder / "packed.txt").is_file():
        parser.error(f"{args.folder} was not filled by gpu.sh pack")
    if not os.access(args.under, os.X_OK):
        parser.error(f"--under: {args.under} is not there; tests/tools.sh target/tools matrices")
    args.under = args.under.resolve()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as place:
        bare = Bare(args, Path(place))
        try:
            for part in (first_and_second, rerun, refused):
                part(bare, args)
                check(not (left := bare.left_running()), "no process is left behind", left)
        except Wrong as wrong:
            print(f"\nTHE REHEARSAL FAILED: not {wrong}", file=sys.stderr)
            return 1
    print(f"the rehearsal passed after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""askem and PyTorch on this machine's graphics card: what gpu.sh runs, see docs/gpu-day.md.

Every result is printed, kept and put into the table as it comes; a step that fails or hangs is a
row of the table, and the rest goes on. Repeat the command to go on with what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

from gpu_day import child
from gpu_day.record import Record
from gpu_day.steps import (
    PROTOCOL,
    Row,
    Step,
    Steps,
    find_device,
    parse_devices,
    planted,
    precision_of,
)
from gpu_day.table import render

HERE = Path(__file__).resolve().parent
# Seconds of the calls that fit into a quarter of an hour beside start and transfers.
CALLS = (180, 480, 120)
# Seconds at the end of a call for the last table.
MARGIN = 4.0
# Shaders of a step that are printed; the table has all.
PRINTED_SHADERS = 5


def show(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # Nobody reads any more; the files are still written.
        pass


class Day:
    """One call: runs what is missing, in order, until its time is over."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.start = time.monotonic()
        digest = hashlib.sha256(args.askem.read_bytes()).hexdigest()[:12]
        self.record = Record(args.state or args.out, args.out, digest)
        cache = self.record.state.resolve() / "cache"
        caches = {"ASKEM_CACHE": "askem", "TORCHINDUCTOR_CACHE_DIR": "inductor"}
        kept = {name: str(cache / folder) for name, folder in caches.items()}
        self.environment = {**os.environ, **kept, "PYTHONUNBUFFERED": "1"}
        self.device: Row | None = None
        self.steps = Steps(args, None)
        self.again = list(args.again)
        self.broken = False

    def left(self) -> float:
        return self.args.seconds - MARGIN - (time.monotonic() - self.start)

    def say(self, text: str) -> None:
        show(f"[{time.monotonic() - self.start:4.0f} s] {text}")

    def table(self, brief: bool = False) -> str:
        return render(self.record, self.device, self.steps.all(self.record), brief)

    def line(self, step: Step, text: str, printed: list[int]) -> None:
        """Keeps the results in a line that the step printed."""
        self.record.write_log(text)
        if step.name == "devices":
            with (self.record.state / "devices.json").open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        if not text.startswith("{"):
            return
        try:
            found = step.read(json.loads(text))
            results = [(contest, who, float(x), unit, row) for contest, who, x, unit, row in found]
        except (ValueError, KeyError, TypeError) as error:
            self.say(f"{step.name}: a line that was not understood ({error!r}) is in the log")
            return
        for contest, who, value, unit, row in results:
            rate = {"contest": contest, "who": who, "value": value, "unit": unit, "row": row}
            self.record.add(step.name, **rate)
            self.record.publish(self.table())
            printed.append(1)
            if not contest.startswith("shaders") or len(printed) <= PRINTED_SHADERS:
                self.say(f"{step.name}: {contest}, {who}: {value:.4g} {unit}")

    def run(self, step: Step) -> child.Outcome:
        """Runs the step and keeps how it ended, whatever happens."""
        for plant in self.args.plant:
            kind, name = plant.split(":", 1)
            if name == step.name:
                step = planted(step, kind)
        printed: list[int] = []
        self.say(f"{step.name} (about {step.estimate:.0f} s, at most {step.limit:.0f} s)")
        self.record.write_log(f"== {step.name}: {' '.join(step.command)}")
        begin = time.monotonic()
        try:
            outcome = child.run(
                step.command,
                step.limit,
                self.left(),
                self.environment,
                self.record.log,
                lambda text: self.line(step, text, printed),
            )
        except child.Stopped as signal:
            seconds = time.monotonic() - begin
            self.end(step, child.Outcome("cut", seconds, f"stopped by {signal}"))
            raise
        if step.name.startswith("protocol") and outcome.ended == "done":
            who = f"askem {step.command[step.command.index('--precision') + 1]}"
            minutes = {"value": outcome.seconds / 60, "unit": "minutes", "row": {}}
            self.record.add(step.name, contest=PROTOCOL, who=who, **minutes)
        elif step.name != "devices" and outcome.ended == "done" and not printed:
            outcome = child.Outcome("failed", outcome.seconds, "it printed no result")
        self.end(step, outcome)
        return outcome

    def end(self, step: Step, outcome: child.Outcome) -> None:
        if step.name == "devices":
            self.take_devices()
        how = {"ended": outcome.ended, "seconds": round(outcome.seconds, 1), "why": outcome.why}
        self.record.add(step.name, **how)
        self.record.publish(self.table())
        self.broken |= outcome.ended in ("failed", "hung")
        why = f": {outcome.why}" if outcome.why else ""
        self.say(f"{step.name} {outcome.ended} after {outcome.seconds:.0f} s{why}")

    def list_devices(self) -> None:
        """Opens the list of devices once on this machine; what follows depends on it."""
        ends = [x for x in self.record.lines if x["step"] == "devices" and "ended" in x]
        here = [x for x in ends if x["machine"] == self.record.machine and x["ended"] != "cut"]
        kept = self.record.state / "devices.json"
        is_known = bool(here) and here[-1]["binary"] == self.record.binary
        if is_known and parse_devices(kept) and "devices" not in self.again:
            self.take_devices()
            self.record.publish(self.table())
            return
        self.again = [name for name in self.again if name != "devices"]
        kept.write_text("", encoding="utf-8")
        self.run(self.steps.devices())

    def take_devices(self) -> None:
        devices = parse_devices(self.record.state / "devices.json")
        self.device = find_device(devices, self.args.device)
        self.record.card = self.device["name"] if self.device else "an unknown card"
        self.steps = Steps(self.args, self.device)
        tensor = precision_of(self.device, "tensor")
        note = "" if self.steps.main == "tensor" else "; its steps run in f32"
        self.say(f"{self.record.card}; {tensor}{note}")

    def next(self) -> Step | None:
        """The first missing step that fits into what is left of the call."""
        steps = self.steps.all(self.record)
        while self.again:
            name = self.again.pop(0)
            for step in steps:
                if step.name == name:
                    return step
            self.say(f"--again {name}: no step has that name, see --plan")
        return next((x for x in self.missing(steps) if x.estimate <= self.left()), None)

    def missing(self, steps: list[Step]) -> list[Step]:
        """Steps that did not come to an end of their own."""
        ends = self.record.ends()
        return [step for step in steps if ends.get(step.name, {}).get("ended", "cut") == "cut"]

    def call(self) -> None:
        self.list_devices()
        while (step := self.next()) is not None:
            self.run(step)

    def last_words(self) -> None:
        """The table in brief, and what is left to do."""
        self.record.publish(self.table())
        missing = self.missing(self.steps.all(self.record))
        seconds = sum(step.estimate for step in missing)
        show(f"\n{self.table(brief=True)}")
        self.say(f"left for another call: {len(missing)} steps, about {seconds:.0f} s")


def plan(args: argparse.Namespace) -> None:
    """Prints the steps, and in which call each would be if all took as long as estimated."""
    steps = Steps(args, None)
    waiting = [steps.devices(), *steps.all(None)]
    print(f"{'call':>4} {'from':>5} {'about':>6} {'at most':>8}  step")
    for number, seconds in enumerate(CALLS, 1):
        at = 0.0
        while fits := [x for x in waiting if x.estimate <= seconds - MARGIN - at]:
            step = fits[0]
            print(f"{number:4} {at:5.0f} {step.estimate:6.0f} {step.limit:8.0f}  {step.name}")
            at += step.estimate
            waiting.remove(step)
        print(f"     {at:5.0f} of {seconds} s\n")
    for step in waiting:
        print(f"   - {'':5} {step.estimate:6.0f} {step.limit:8.0f}  {step.name}")
    print("and the whole protocol (askem run), where its time is left once training was measured")


def plant(text: str) -> str:
    kind, _, step = text.partition(":")
    if kind not in ("hang", "fail") or not step:
        raise argparse.ArgumentTypeError(f"{text}: give hang:STEP or fail:STEP")
    return text


def parse() -> argparse.Namespace:
    beside = HERE / "askem"
    built = HERE.parent / "target" / "release" / "askem"
    parser = argparse.ArgumentParser(prog="gpu.sh run", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, help="folder for the table and all else that is to be taken home")
    add("--state", type=Path, help="folder kept from call to call, with caches (default: --out)")
    add("--seconds", type=float, default=CALLS[0], help="time of this call")
    add("--device", default="gpu", help="askem's device: gpu, or a part of a name")
    add("--torch-device", default="cuda", help="PyTorch's device")
    add("--askem", type=Path, default=beside if beside.exists() else built, help="the binary")
    add("--torch-unet", type=Path, default=HERE / "torch_unet.py", help="the peer")
    add("--python", default=sys.executable, help="a Python that has PyTorch")
    add("--under", help="a program that runs askem, such as one that chooses a driver")
    add("--rounds", type=int, default=3, help="so often the main steps are measured")
    add("--again", action="append", default=[], metavar="STEP", help="do a step once more, first")
    add("--without", action="append", default=[], metavar="STEP", help="leave a step out")
    add("--width", type=int, default=16, help="feature maps of the first level")
    add("--patch", type=int, default=128, help="side of a patch")
    add("--patches", type=int, default=16384, help="patches that are scored")
    add("--score-batch", type=int, default=64, help="patches that the peer scores at a time")
    add("--repeats", type=int, default=3, help="timings of each rate")
    add("--slow", type=float, default=1, help="how many times a step's limit is as long")
    add("--plan", action="store_true", help="print the steps and their times, and do nothing")
    plants = "for rehearsals: let a step hang or fail"
    add("--plant", action="append", default=[], type=plant, metavar="hang|fail:STEP", help=plants)
    args = parser.parse_args()
    if not args.seconds > 0:
        parser.error(f"--seconds {args.seconds:g}: give the time of this call")
    everything = argparse.Namespace(**{**vars(args), "without": []})
    known = {"devices", "protocol"} | {step.name for step in Steps(everything, None).all(None)}
    for name in [*args.without, *(plant.split(":", 1)[1] for plant in args.plant)]:
        if name not in known and not args.plan:
            parser.error(f"no step is named {name}; benches/gpu.sh plan lists them")
    if not args.plan:
        if args.out is None:
            parser.error("--out: name a folder for the results")
        if not args.askem.is_file():
            parser.error(f"--askem: {args.askem} is not there")
    for name in ("out", "state", "askem", "torch_unet"):
        if getattr(args, name):
            setattr(args, name, getattr(args, name).resolve())
    return args


def main() -> int:
    args = parse()
    if args.plan:
        plan(args)
        return 0
    child.stop_on_signals()
    try:
        day, status = Day(args), 0
    except OSError as error:
        print(f"gpu.sh: {error}", file=sys.stderr)
        return 2
    try:
        day.call()
        status = int(day.broken)
    except child.Stopped as signal:
        day.say(f"stopped by {signal}")
        status = 3
    day.last_words()
    return status


if __name__ == "__main__":
    sys.exit(main())

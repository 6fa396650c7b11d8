"""What is measured on a day with a graphics card, in order of worth, and how long it may take.

Estimates are guesses for a card of the class of an H100 beside 16 cores, where every shader and
every kernel of PyTorch is compiled for the first time. A step that has run counts as long as it
took.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .record import Record

Row = dict[str, Any]
# The contest, who took part, the value, its unit, and what else is worth keeping.
Result = tuple[str, str, float, str, Row]

BATCHES = (20, 4)
# The paper's protocol: 500 epochs on 20 patches, then 200 on 40, 60, ... 520.
SAMPLE_STEPS = 500 * 20 + 200 * sum(range(40, 521, 20))
ENTROPY, BALD = "entropy", "BALD, 10 passes"
PROTOCOL = "the whole protocol"
FIRST, LATER = "a first start", "a later start"
# A step that is planted has nothing to wait for.
PLANTED_LIMIT = 2.0


@dataclass(frozen=True)
class Step:
    """One command, and what to make of the lines of JSON that it prints."""

    name: str
    command: list[str]
    estimate: float
    limit: float
    read: Callable[[Row], Iterator[Result]]
    # Worth measuring again in further rounds.
    repeated: bool = False


def training(batch: int) -> str:
    return f"training, batch {batch}"


def nothing(_row: Row) -> Iterator[Result]:
    yield from ()


@dataclass(frozen=True)
class Precision:
    """One precision of a device, as its list says."""

    name: str
    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.state}" + (f" ({self.why})" if self.why else "")


def precision_of(device: Row | None, name: str) -> Precision:
    """What the list of devices says of a precision on the device."""
    if device is None:
        return Precision(name, "unknown", "the list of devices does not have the device")
    for row in device.get("by_precision", []):
        if row.get("precision") == name:
            return Precision(name, row.get("state", "unknown"), row.get("why") or "")
    if name in device.get("precisions", []):
        return Precision(name, "works")
    return Precision(name, "refused", "the list of devices gives no reason")


def find_device(devices: list[Row], choice: str) -> Row | None:
    """The device that askem takes for `--device gpu`, or a part of a name."""
    gpus = [device for device in devices if device.get("backend") != "native"]
    if choice == "gpu":
        gpus = [device for device in gpus if device.get("kind") != "cpu"]
    else:
        gpus = [device for device in gpus if choice.lower() in device.get("name", "").lower()]
    return gpus[0] if gpus else None


class Steps:
    """All steps on one device."""

    def __init__(self, args: Namespace, device: Row | None) -> None:
        self.args = args
        tensor = precision_of(device, "tensor")
        # Where a precision is refused its steps run in f32, in the same place.
        self.main = "f32" if tensor.state in ("refused", "not tried") else "tensor"
        folder = args.state or args.out or Path()
        self.cold = folder / "cache" / f"cold-{time.time_ns()}"

    def step(
        self,
        name: str,
        command: list[str],
        estimate: float,
        factor: float,
        read: Callable[[Row], Iterator[Result]],
        repeated: bool = False,
    ) -> Step:
        """A step that may take so many times as long as is thought."""
        limit = self.args.slow * factor * estimate
        return Step(name, command, estimate, limit, read, repeated)

    def askem(self, *words: str) -> list[str]:
        under = [self.args.under] if self.args.under else []
        return [*under, str(self.args.askem), *words]

    def bench(self, what: str, precision: str, *words: str) -> list[str]:
        a = self.args
        sizes = ["--width", a.width, "--patch", a.patch, "--repeats", a.repeats]
        on = ["--device", a.device, "--precision", precision]
        return self.askem("bench", what, *words, *map(str, sizes), *on, "--json")

    def train(
        self, precision: str, batch: int, name: str, estimate: float, factor: float = 2.5
    ) -> Step:
        def read(row: Row) -> Iterator[Result]:
            value = row["samples_per_second"]
            yield training(row["batch"]), f"askem {precision}", value, "samples/s", row

        command = self.bench("train", precision, "--batch", str(batch))
        return self.step(name, command, estimate, factor, read, precision == self.main)

    def plain(self) -> Step:
        """Training on matrix units with modules as wgpu writes them.

        It shows what their memory model costs, and is the way out where a driver refuses ours. Its
        name keeps it out of the goals, which are those of what users get.
        """

        def read(row: Row) -> Iterator[Result]:
            value = row["samples_per_second"]
            yield training(row["batch"]), "plain askem tensor", value, "samples/s", row

        command = ["env", "ASKEM_MEMORY_MODEL=plain", *self.bench("train", "tensor", "--batch", "20")]
        return self.step("plain-train-20", command, 30, 3.5, read)

    def score(self, precision: str, criterion: str, name: str, estimate: float) -> Step:
        def read(row: Row) -> Iterator[Result]:
            contest = ENTROPY if row["criterion"] == "entropy" else BALD
            yield contest, f"askem {precision}", row["mvoxel_per_second"], "Mvoxel/s", row

        words = ["--patches", str(self.args.patches), "--criteria", criterion]
        command = self.bench("score", precision, *words)
        return self.step(name, command, estimate, 3, read, precision == self.main)

    def kernels(self, work: str, batch: int) -> Step:
        def read(row: Row) -> Iterator[Result]:
            yield f"shaders of {work}, batch {batch}", row["kernel"], row["ms"], "ms", row

        command = self.bench("kernels", self.main, "--work", work, "--batch", str(batch))
        return self.step(f"kernels-{work}-{batch}", command, 10, 4.5, read)

    def start(self, name: str, contest: str, estimate: float) -> Step:
        """How long it takes until a training and scores can begin."""

        def read(row: Row) -> Iterator[Result]:
            yield contest, f"askem {self.main}, {row['phase']}", row["seconds"], "s", row

        command = self.bench("start", self.main, "--batch", "20")
        if contest == FIRST:
            # The driver has a cache of its own.
            empty = [f"ASKEM_CACHE={self.cold}", "__GL_SHADER_DISK_CACHE=0"]
            command = ["env", *empty, *command]
        else:
            # Whatever ran before on this machine, one start was before the one that counts.
            command = ["sh", "-c", '"$@" >/dev/null && exec "$@"', "sh", *command]
        return self.step(name, command, estimate, 4 if contest == FIRST else 15, read)

    def torch(self, name: str, what: str, options: list[str], estimate: float) -> Step:
        """A step of PyTorch, whose name says with what settings."""
        who, a = "PyTorch eager, TF32", self.args
        settings = ["--tf32", "on"]
        if "compiled" in name:
            who = "PyTorch compiled, bf16"
            settings += ["--compile"]
        elif "bf16" in name:
            who = "PyTorch eager, bf16"
        if "bf16" in who:
            settings += ["--amp", "bf16"]
        if name.endswith("-last"):
            who += ", channels last"
            settings += ["--channels-last"]

        def read(row: Row) -> Iterator[Result]:
            if "samples_per_s" in row:
                yield training(row["batch"]), who, row["samples_per_s"], "samples/s", row
            elif "mvoxel_per_s" in row:
                contest = ENTROPY if row["method"] == "entropy" else BALD
                name = f"{who}, {row['batch']} at a time"
                yield contest, name, row["mvoxel_per_s"], "Mvoxel/s", row

        wrapper = Path(__file__).parent.parent / "torch_equal.py"
        sizes = ["--base", a.width, "--size", a.patch, "--peak-size", 16 * a.patch]
        sizes += ["--repeats", a.repeats, "--dropout", 0.25, "--device", a.torch_device]
        command = [a.python, str(wrapper), str(a.torch_unet), what, *options]
        command += [*map(str, sizes), *settings]
        factor = max(60 / estimate, 2.5)
        return self.step(name, command, estimate, factor, read, "bald" not in name)

    def torch_train(self, name: str, batches: tuple[int, ...], estimate: float) -> Step:
        return self.torch(name, "bench-train", ["--batch", *map(str, batches)], estimate)

    def torch_score(self, name: str, method: str, estimate: float) -> Step:
        a = self.args
        patches, batches = a.patches, [a.score_batch, 4 * a.score_batch]
        if method == "bald-entropy":
            # Ten passes take long; a rate needs fewer patches.
            patches, batches = max(patches // 4, 16), batches[:1]
        options = ["--methods", method, "--n", str(patches), "--pool-on", "host", "--fold-bn"]
        options += ["--batch", *map(str, batches)]
        return self.torch(name, "bench-score", options, estimate)

    def first(self, broken: set[str]) -> list[Step]:
        """Every contest once; some steps are known to be broken."""
        main = self.main
        steps = [
            # It measures the forms of most shaders, which is for nothing if it is cut short.
            self.train(main, 20, "train-20", 40, 3.5),
            self.train(main, 4, "train-4", 25),
            self.torch_train("torch-compiled-20-last", (20,), 65),
            self.torch_train("torch-compiled-4-last", (4,), 45),
            self.torch_train("torch-compiled-20", (20,), 45),
            self.torch_train("torch-compiled-4", (4,), 45),
            self.torch_train("torch-eager-last", BATCHES, 18),
            self.torch_train("torch-eager", BATCHES, 18),
            self.score(main, "entropy", "entropy", 25),
            self.score(main, "bald", "bald", 25),
            self.torch_score("torch-score-compiled-last", "entropy", 45),
            self.torch_score("torch-score-compiled", "entropy", 45),
            self.torch_score("torch-score-eager-last", "entropy", 18),
            self.torch_score("torch-score-eager", "entropy", 18),
            self.torch_score("torch-bald-bf16-last", "bald-entropy", 20),
            self.torch_score("torch-bald-bf16", "bald-entropy", 20),
            *(self.kernels("train", batch) for batch in BATCHES),
            *(self.kernels(work, self.args.score_batch) for work in ("score", "bald")),
            self.start("start-later", LATER, 7),
        ]
        if main != "f32":
            steps += [self.train("f32", batch, f"f32-train-{batch}", 20) for batch in BATCHES]
            steps += [self.score("f32", what, f"f32-{what}", 15) for what in ("entropy", "bald")]
        if main == "f32":
            steps.insert(2, self.plain())
        else:
            steps.append(self.plain())
        steps.append(self.start("start-first", FIRST, 35))
        # Where matrix units fail after all, f32 is what there is.
        for name in [step.name for step in steps if step.name in broken]:
            instead = [step for step in steps if step.name == f"f32-{name}"]
            steps = [step for step in steps if step not in instead]
            at = [step.name for step in steps].index(name) + 1
            steps[at:at] = instead
        return steps

    def all(self, record: Record | None) -> list[Step]:
        """Every contest, further rounds of most, PyTorch's slowest to compile, the protocol."""
        ends = record.ends() if record else {}
        broken = {name for name, end in ends.items() if end["ended"] in ("failed", "hung")}
        first = self.first(broken)

        def again(step: Step, number: int) -> Step:
            known = ends.get(step.name, {})
            # What was compiled is kept.
            took = known["seconds"] if known.get("ended") == "done" else step.estimate
            return replace(step, name=f"{step.name}/{number}", estimate=max(0.5 * took, 3))

        rounds = range(2, self.args.rounds + 1)
        worth = [step for step in first if step.repeated and step.name not in broken]
        repeats = [again(step, number) for number in rounds for step in worth]
        bald = self.torch_score("torch-bald-compiled-last", "bald-entropy", 120)
        protocol = self.protocol(record) if record else None
        steps = [*first, *repeats, bald, *([protocol] if protocol else [])]
        return [step for step in steps if step.name not in self.args.without]

    def protocol(self, record: Record) -> Step | None:
        """A whole run, once it is known how fast training is."""
        best = record.best(training(4), "askem")
        if best is None:
            return None
        estimate = 1.2 * SAMPLE_STEPS / best[0] + 30
        precision = best[1].removeprefix("askem ")
        out = record.state / "protocol" / str(len(record.lines))
        words = ["--precision", precision, "--strategy", "entropy", "--out", str(out)]
        command = self.askem("run", "--device", self.args.device, *words)
        return self.step("protocol", command, estimate, 2, nothing)

    def devices(self) -> Step:
        """The list of devices, which opens and tests each; the first of all steps."""
        return self.step("devices", self.askem("devices", "--json"), 15, 4, nothing)


def planted(step: Step, kind: str) -> Step:
    """The step with a command that goes wrong, for rehearsals."""
    script = {
        # The second process shows whether all that a command started is ended.
        "hang": "sleep 86400 & echo 'planted: this hangs' >&2; sleep 86400",
        "fail": "echo 'planted: this fails' >&2; exit 3",
    }[kind]
    return replace(step, command=["sh", "-c", script], limit=PLANTED_LIMIT)


def parse_devices(path: Path) -> list[Row]:
    """The list of devices that was kept; none if there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, json.JSONDecodeError) as error:
        print(f"no list of devices: {error}", file=sys.stderr)
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

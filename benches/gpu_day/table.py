"""The table of a day with a graphics card, from whatever there is so far."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from .record import Record
from .steps import BALD, BATCHES, ENTROPY, FIRST, LATER, PROTOCOL
from .steps import Row, Step, precision_of, training

# Of forms left out for one reason so many are named.
FORMS = 4


@dataclass(frozen=True)
class Goal:
    """A number that askem wants to reach."""

    work: str
    value: float | None
    goal: str
    of: str


def ratio(record: Record, contest: str, peers: str, goal: str) -> Goal:
    """askem against the better of the peers whose name starts so."""
    ours, theirs = record.best(contest, "askem"), record.best(contest, peers)
    work = f"{contest}: askem / {peers}"
    if ours is None or theirs is None:
        return Goal(work, None, goal, "")
    who = f"{ours[1]} ({ours[2]}) / {theirs[1]} ({theirs[2]})"
    return Goal(work, ours[0] / theirs[0], goal, who)


def goals(record: Record) -> list[Goal]:
    found = []
    for batch in BATCHES:
        found.append(ratio(record, training(batch), "PyTorch compiled", ">= 1"))
        found.append(ratio(record, training(batch), "PyTorch eager", ">= 2"))
    entropy, bald = record.best(ENTROPY, "askem"), record.best(BALD, "askem")
    of = f"{entropy[1]} ({entropy[2]})" if entropy else ""
    found.append(Goal("entropy, Mvoxel/s", entropy[0] if entropy else None, ">= 1000", of))
    found.append(ratio(record, ENTROPY, "PyTorch", ">= 1.5"))
    times = entropy[0] / bald[0] if entropy and bald else None
    of = f"{entropy[1]} ({entropy[2]}) / {bald[1]} ({bald[2]})" if entropy and bald else ""
    found.append(Goal("BALD of 10 passes, times entropy", times, "<= 6", of))
    for contest, goal in ((FIRST, "<= 20"), (LATER, "<= 1")):
        phases = record.rates(contest)
        seconds = sum(statistics.median(values) for values in phases.values())
        of = ", ".join(f"{who} ({len(values)})" for who, values in phases.items())
        found.append(Goal(f"{contest}, s", seconds if phases else None, goal, of))
    whole = record.best(PROTOCOL, "askem")
    of = f"{whole[1]} ({whole[2]})" if whole else ""
    found.append(Goal(f"{PROTOCOL}, minutes", whole[0] if whole else None, "<= 5", of))
    return found


def plain(cell: object) -> str:
    """The cell on one line and without what ends it."""
    return " ".join(str(cell).split()).replace("|", "/")


def markdown(head: list[str], rows: list[list[object]]) -> str:
    """A table, its columns as wide as they need to be: it is read in terminals too."""
    cells = [head, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def device_lines(device: Row | None) -> list[str]:
    """What the list of devices says of each precision that is used, and of forms left out."""
    if device is None:
        return ["The list of devices does not have the device."]
    used = ("tensor", "f32")
    lines = [str(precision_of(device, name)) for name in used]
    forms: dict[tuple[str, str], list[str]] = {}
    for row in device.get("left_out", []):
        why = row.get("why", "no reason is given")
        forms.setdefault((row.get("precision", ""), why), []).append(row.get("form", ""))
    for (precision, why), names in forms.items():
        if precision in used:
            some = ", ".join(names[:FORMS]) + (", ..." if len(names) > FORMS else "")
            lines.append(f"{precision} without {len(names)} forms ({why}): {some}")
    return lines


def rates_table(record: Record) -> str:
    """Every rate but those of single shaders."""
    contests: dict[str, str] = {}
    for line in record.counted():
        if "contest" in line and not line["contest"].startswith("shaders"):
            contests.setdefault(line["contest"], line["unit"])
    rows: list[list[object]] = []
    for contest, unit in contests.items():
        for who, values in record.rates(contest).items():
            each = " ".join(f"{value:.4g}" for value in values)
            median = f"{statistics.median(values):.4g}"
            rows.append([contest, who, median, unit, len(values), each])
    return markdown(["work", "who", "median", "unit", "of", "each"], rows)


def shaders_tables(record: Record) -> str:
    """Where askem's time goes."""
    contests: dict[str, dict[str, Row]] = {}
    for line in record.counted():
        if line.get("contest", "").startswith("shaders"):
            contests.setdefault(line["contest"], {})[line["who"]] = line["row"]
    text = ""
    for contest, shaders in contests.items():
        rows: list[list[object]] = []
        for name, row in shaders.items():
            shares = ("share_of_time", "share_of_product", "share_of_copy")
            percent = [f"{100 * row.get(share, 0):.1f} %" for share in shares]
            rows.append([name, row.get("dispatches", ""), f"{row['ms']:.3f}", *percent])
        head = ["shader", "dispatches", "ms", "share of time", "of the widest", "of a copy"]
        text += f"\n### {contest}\n\n{markdown(head, rows)}"
    return text and f"\n## Shaders\n{text}"


def steps_table(record: Record, steps: list[Step], broken_only: bool) -> str:
    """How each step ended, in order; what was not run has only its estimate."""
    ends, rows = record.ends(), []
    names = ["devices", *(step.name for step in steps)]
    estimates = {step.name: step.estimate for step in steps}
    # A name that is no longer planned was run all the same.
    names += [name for name in ends if name not in names]
    for name in names:
        end = ends.get(name)
        if end is None:
            rows.append([name, "not yet", "", f"takes about {estimates.get(name, 15):.0f} s"])
        elif not broken_only or end["ended"] != "done":
            rows.append([name, end["ended"], f"{end['seconds']:.0f}", end["why"]])
    return markdown(["step", "ended", "s", "why"], rows)


def heading(record: Record) -> str:
    """The card, the binary and the time, and what must be known of them."""
    lines = record.counted()
    text = f"# {record.card}\n\nBinary {record.binary}"
    packed = Path(__file__).parent.parent / "packed.txt"
    if packed.exists():
        text += f" of {packed.read_text(encoding='utf-8').strip()}"
    for row in [line["row"] for line in lines if "torch" in line.get("row", {})][:1]:
        text += f"; PyTorch {row['torch']} on {row.get('device')}"
    if lines:
        text += f"; {lines[0]['time']} to {lines[-1]['time']}"
    machines = {line["machine"] for line in lines}
    if len(machines) > 1:
        text += f"; on {len(machines)} machines with this card"
    if others := len(record.lines) - len(lines):
        text += f"; {others} lines of another card or binary are not counted"
    return f"{text}.\n\n"


def render(record: Record, device: Row | None, steps: list[Step], brief: bool) -> str:
    """The whole table; in brief without shaders and without steps that went well."""
    goal_rows: list[list[object]] = [
        [x.work, "not measured" if x.value is None else f"{x.value:.2f}", x.goal, x.of]
        for x in goals(record)
    ]
    sections = [
        heading(record) + "".join(f"- {line}\n" for line in device_lines(device)),
        "\n## Goals\n\nMedians, of so many values.\n\n"
        + markdown(["work", "measured", "goal", "who (of)"], goal_rows),
        "\n## Rates\n\n" + rates_table(record),
        "" if brief else shaders_tables(record),
        "\n## Steps\n\n" + steps_table(record, steps, brief),
    ]
    return "".join(sections)

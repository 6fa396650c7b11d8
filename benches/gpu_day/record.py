"""What was measured, on disk after each result: one JSON object a line, and copies to take home."""

from __future__ import annotations

import fcntl
import json
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# So much of the end of the log is taken home.
LOG = 1 << 20


def replace(path: Path, content: bytes) -> None:
    """Writes the whole file or leaves it as it was."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    os.replace(draft, path)


def machine() -> str:
    """Tells this machine, since it was started, from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "unknown"


def is_result(line: Any) -> bool:
    """Whether a line has all that a result, or the end of a step, has."""
    if not isinstance(line, dict):
        return False
    texts = ("step", "time", "machine", "card", "binary")
    if not all(isinstance(line.get(name), str) for name in texts):
        return False
    if isinstance(line.get("ended"), str):
        return isinstance(line.get("seconds"), (int, float)) and isinstance(line.get("why"), str)
    rate = all(isinstance(line.get(name), str) for name in ("contest", "who", "unit"))
    return rate and isinstance(line.get("value"), (int, float)) and isinstance(line.get("row"), dict)


@dataclass
class Record:
    """The results in the folder `state`; all that matters is copied to `out`."""

    state: Path
    out: Path
    # Results of another card or another binary don't count.
    binary: str
    card: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = machine()
        for folder in (self.state, self.out):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("results.jsonl", "devices.json"):
            if not (self.state / name).exists() and (self.out / name).exists():
                replace(self.state / name, (self.out / name).read_bytes())
        # Two runs would measure each other. The lock ends with the process.
        self.lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BlockingIOError(f"{self.state}: another run is at work there") from None
        self.log.touch()
        self.file = self.state / "results.jsonl"
        text = ""
        if self.file.exists():
            text = self.file.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                print(f"{self.file}: a line that was cut short is left out")
                continue
            if is_result(found):
                self.lines.append(found)
            else:
                print(f"{self.file}: a line that is no result is left out")
        if text and not text.endswith("\n"):
            # What comes next begins a line of its own.
            replace(self.file, f"{text}\n".encode())

    @property
    def log(self) -> Path:
        """What the commands printed, both streams."""
        return self.state / "log.txt"

    def write_log(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def add(self, step: str, **fields: Any) -> dict[str, Any]:
        """Keeps a result, or the end of a step."""
        common = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": self.machine}
        line = {"step": step, **fields, **common, "card": self.card, "binary": self.binary}
        self.lines.append(line)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def counted(self) -> list[dict[str, Any]]:
        """The lines of this card and this binary."""
        return [x for x in self.lines if (x["card"], x["binary"]) == (self.card, self.binary)]

    def ends(self) -> dict[str, dict[str, Any]]:
        """How each step ended the last time."""
        return {line["step"]: line for line in self.counted() if "ended" in line}

    def rates(self, contest: str) -> dict[str, list[float]]:
        """All that was measured in a contest, by who did it."""
        found: dict[str, list[float]] = {}
        for line in self.counted():
            if line.get("contest") == contest:
                found.setdefault(line["who"], []).append(line["value"])
        return found

    def best(self, contest: str, who: str) -> tuple[float, str, int] | None:
        """The highest median of those whose name starts so, whose it is, and of how many values."""
        rates = {name: x for name, x in self.rates(contest).items() if name.startswith(who)}
        if not rates:
            return None
        name = max(rates, key=lambda name: statistics.median(rates[name]))
        return statistics.median(rates[name]), name, len(rates[name])

    def publish(self, table: str) -> None:
        """Brings the copies and the table in `out` up to date, if it is there: the state has all."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self.write_copies(table)
        except OSError as error:
            print(f"{self.out}: nothing can be written there now ({error})")

    def write_copies(self, table: str) -> None:
        replace(self.out / "table.md", table.encode())
        if self.out.resolve() == self.state.resolve():
            return
        for name in ("results.jsonl", "devices.json", "log.txt"):
            source = self.state / name
            if source.exists():
                with source.open("rb") as file:
                    if name == "log.txt":
                        file.seek(max(0, source.stat().st_size - LOG))
                    replace(self.out / name, file.read())

"""One command with a time limit: its lines as they come, and no process of it left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# So many bytes at the end of what a command wrote to stderr are looked at for a reason.
TAIL = 4000


class Stopped(BaseException):
    """A signal asked this program to end."""


def stop_on_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise `Stopped`, once."""

    def stop(number: int, _frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `done`, `failed` or `hung`, or `cut` since the call's time was over."""

    ended: str
    seconds: float
    why: str = ""


def kill_group(process: subprocess.Popen) -> None:
    """Ends what is left of the command and of all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        # A driver that hangs holds its process; the rest can go on.
        pass


def lines_until(process: subprocess.Popen, end: float, line: Callable[[str], None]) -> bool:
    """Hands on each line of the command; whether it ended by the time `end`."""
    assert process.stdout is not None
    pipe, rest = process.stdout.fileno(), b""
    while (left := end - time.monotonic()) > 0:
        # What the command started may hold the pipe open after it has ended.
        has_ended = process.poll() is not None
        if select.select([pipe], [], [], 0 if has_ended else min(left, 0.2))[0]:
            if not (read := os.read(pipe, 65536)):
                break
            *whole, rest = (rest + read).split(b"\n")
            for each in whole:
                line(each.decode(errors="replace"))
        elif has_ended:
            break
    if rest:
        line(rest.decode(errors="replace"))
    try:
        process.wait(max(end - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return False
    return True


def reason(log: Path, start: int) -> str:
    """The last lines that the command wrote to stderr; the log holds them from `start` on."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        text = file.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:]


def run(
    command: list[str],
    limit: float,
    left: float,
    environment: dict[str, str],
    log: Path,
    line: Callable[[str], None],
) -> Outcome:
    """Runs the command for `limit` seconds at most, `left` if the call ends before."""
    start, written = time.monotonic(), log.stat().st_size
    with log.open("ab") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                # A group, to be ended as one, in this program's session: who ends that ends all.
                process_group=0,
            )
        except OSError as error:
            return Outcome("failed", 0.0, f"{command[0]}: {error.strerror}")
        try:
            in_time = lines_until(process, start + min(limit, left), line)
        finally:
            kill_group(process)
            process.stdout.close()
    seconds, why = time.monotonic() - start, reason(log, written)
    if not in_time:
        over = limit <= left
        what = f"no end within {limit:.0f} s" if over else "the time of the call was over"
        return Outcome("hung" if over else "cut", seconds, f"{what}; {why}" if why else what)
    if process.returncode != 0:
        code = process.returncode
        how = f"exit status {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        return Outcome("failed", seconds, f"{how}; {why}" if why else how)
    return Outcome("done", seconds)

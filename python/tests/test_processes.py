"""The command of the wheel ends as the program does, and Python stays in charge of its calls."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import askem
from conftest import COMMAND, python, run


def test_the_command_ends_with_the_programs_codes(folder, tmp_path):
    assert run("-V").stdout == f"askem {askem.__version__}\n"

    def code(*arguments: object) -> tuple[int, str]:
        line = [str(COMMAND), *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    ended, said = code("predict")
    assert ended == 2 and "Usage: askem predict" in said
    ended, said = code("eval", "--bogus")
    assert ended == 2 and "unexpected argument '--bogus'" in said
    ended, said = code("select", tmp_path / "nowhere", "--strategy", "random", "--query", 0)
    assert (ended, said) == (2, "askem: --query 0: give at least 1\n")
    ended, said = code("select", tmp_path / "nowhere", "--strategy", "random")
    assert ended == 1 and "no store of scores" in said


def test_the_module_is_the_command(tmp_path):
    line = [sys.executable, "-m", "askem", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == run("--help").stdout


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A working folder in which another `askem` lies, which nobody should import."""
    (tmp_path / "askem").mkdir()
    (tmp_path / "askem" / "__init__.py").write_text("raise SystemExit('the wrong askem')")
    return tmp_path


def test_a_comparison_starts_runs_beside_it(folder, trap):
    run(
        *("compare", "--raw", folder / "raw.tif", "--labels", folder / "two.tif", "--split", "y"),
        *("--preset", "quick", "--strategies", "random,entropy", "--seeds", 1, "--jobs", 2),
        *("--patch", 32, "--width", 4, "--pool", 12, "--initial", 4, "--query", 4),
        *("--iterations", 1, "--epochs", 1, "--finetune-epochs", 1, "--device", "cpu"),
        *("--out", "compared"),
        cwd=trap,
    )
    with open(trap / "compared" / "summary.csv", newline="") as file:
        assert {row["strategy"] for row in csv.DictReader(file)} == {"random", "entropy"}
    assert (trap / "compared" / "random-0" / "weights.safetensors").is_file()


def test_devices_share_a_store_between_processes(folder, two, trap):
    done = run(
        *("score", "--weights", two, "--raw", folder / "raw.tif", "--out", "scores.zarr"),
        *("--stride", 16, "--chunk-patches", 8, "--device", "cpu", "--device", "cpu"),
        cwd=trap,
    )
    assert "the store is complete" in done.stdout and done.stdout.count("cpu (") == 2


def ends_within(process: subprocess.Popen[str], seconds: float) -> float:
    """Interrupt a process as Ctrl-C does, and give the time until it ended."""
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return time.monotonic() - start


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGINT for one process")
def test_ctrl_c_ends_the_command_and_saves_its_state(folder, tmp_path):
    line = [COMMAND, "train", "--raw", folder / "raw.tif", "--labels", folder / "two.tif"]
    line += ["--patch", "32", "--width", "4", "--epochs", "100000", "--max-steps", "10000000"]
    line += ["--device", "cpu", "--out", tmp_path / "long"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "long" / "config.toml").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        ends_within(process, 30)
        assert process.returncode == 130, process.stderr.read()
        assert "saving the state" in process.stderr.read()


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGINT for one process")
def test_ctrl_c_ends_a_call_from_python(two):
    # Some minutes of work.
    code = f"""
import askem, numpy as np
network = askem.Network.load({str(two)!r}, device="cpu")
array = np.broadcast_to(np.arange(2048, dtype="u1"), (400, 2048, 2048))
try:
    print("ready", flush=True)
    network.predict(array, normalise="volume")
except KeyboardInterrupt:
    print(network.predict(array[0, :32, :32], normalise="volume").shape, flush=True)
"""
    with python(code) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.5)
        took = ends_within(process, 60)
        # The network can be used again, and nothing is said.
        assert process.stdout.read() == "(32, 32)\n"
        assert process.returncode == 0 and process.stderr.read() == ""
        assert took < 10


def test_other_threads_run_meanwhile(two):
    network = askem.Network.load(two, device="cpu", threads=1)
    array = np.broadcast_to(np.arange(512, dtype="u1"), (512, 512))
    ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    start = time.monotonic()
    thread.start()
    network.predict(array, normalise="volume")
    took = time.monotonic() - start
    done.set()
    thread.join()
    # A call that kept the interpreter for itself would leave a tick or two.
    assert ticks > max(3, 20 * took)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_is_told_to_load_the_network_itself(two):
    code = f"""
import askem, numpy as np, os, warnings
warnings.simplefilter("ignore")
network = askem.Network.load({str(two)!r}, device="cpu")
if os.fork() == 0:
    try:
        network.predict(np.eye(40))
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""
    with python(code) as process:
        said, wrong = process.communicate(timeout=60)
    assert "loaded in another process" in said and wrong == ""


def test_the_command_needs_no_numpy():
    code = "import sys, askem.__main__; print('numpy' in sys.modules)"
    with python(code) as process:
        said, wrong = process.communicate(timeout=60)
    assert (said, wrong) == ("False\n", "")

"""The types that editors show are those of the code."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "package"

# The last line is wrong: a check that finds nothing wrong there would find nothing.
CALLS = """
from typing import Any
from typing_extensions import assert_type
import numpy as np
import numpy.typing as npt
import askem

network = askem.Network.load("run", device="cpu", threads=2)
array = np.zeros((3, 40, 40), np.uint8)
assert_type(network, askem.Network)
assert_type(network.patch, int)
assert_type(askem.predict("run", array, kind="labels"), npt.NDArray[Any])
found = askem.scores(network, array, "bald", stride=16, embeddings="mean")
assert_type(found.scores, npt.NDArray[np.float32])
assert_type(found.embeddings, npt.NDArray[np.float32] | None)
assert_type(askem.select("entropy", 5, scores=found.scores), npt.NDArray[np.int64])
askem.predict(network, array, kind="instances")
"""


def mypy(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=cwd)


def test_types_fit_and_wrong_calls_are_found(tmp_path, monkeypatch):
    assert (files("askem") / "py.typed").is_file()
    (tmp_path / "calls.py").write_text(CALLS)
    monkeypatch.setenv("MYPYPATH", str(SOURCE))
    done = mypy("mypy", "--strict", "calls.py", SOURCE / "askem", cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    wrong = CALLS.count("\n")
    assert len(lines) == 1 and lines[0].startswith(f"calls.py:{wrong}:"), done.stdout + done.stderr
    assert "Literal['instances']" in lines[0]


def test_the_stub_of_the_rust_half_fits_it(tmp_path):
    done = mypy("mypy.stubtest", "askem._native", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

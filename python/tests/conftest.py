"""What the tests share: the command of the wheel, images, and networks that it trained on them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import tifffile

COMMAND = Path(sysconfig.get_path("scripts")) / ("askem.exe" if os.name == "nt" else "askem")


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command, which has to succeed, and give what it wrote."""
    line = [str(COMMAND), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done


def write(path: Path, sections: np.ndarray) -> None:
    """Write a TIFF with a page for each section."""
    tifffile.imwrite(path, sections, photometric="minisblack")


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Three sections with bright discs on noise, 8 bits."""
    rng = np.random.default_rng(0)
    grey = rng.normal(100, 20, (3, 80, 112))
    return np.clip(grey + 60 * discs(1) + 30 * discs(2), 0, 255).astype(np.uint8)


def discs(number: int) -> np.ndarray:
    """Where the discs of one class are: columns of them that wander from section to section."""
    z, y, x = np.indices((3, 80, 112))
    across = (x + 4 * z + 28 * number) % 56 - 28
    down = (y + 3 * z) % 40 - 20
    return across**2 + down**2 < 81


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Path:
    """A folder with `raw.tif`, labels of two and of three classes, and a network for each."""
    folder = tmp_path_factory.mktemp("made")
    labels = discs(1) + 2 * discs(2)
    for name, pixels in [("raw", images), ("two", labels > 0), ("three", labels)]:
        write(folder / f"{name}.tif", pixels.astype(np.uint8))
    for name, more in [("two", ["--context", 1]), ("three", ["--classes", 3])]:
        run(
            *("train", "--raw", folder / "raw.tif", "--labels", folder / f"{name}.tif"),
            *("--patch", 32, "--width", 4, "--epochs", 2, "--device", "cpu", "--threads", 1),
            *("--quiet", "--out", folder / name, *more),
        )
    return folder


@pytest.fixture(scope="session")
def two(folder: Path) -> Path:
    """Weights of a network with two classes that sees a section on each side."""
    return folder / "two" / "weights.safetensors"


@pytest.fixture(scope="session")
def three(folder: Path) -> Path:
    """Weights of a network with three classes."""
    return folder / "three" / "weights.safetensors"


def python(code: str, **options: object) -> subprocess.Popen[str]:
    """Start a Python process that runs some code."""
    # A process that was started in the background ignores Ctrl-C, and so do those that it starts.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    line = [sys.executable, "-W", "error", "-c", heed + code]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )

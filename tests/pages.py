#!/usr/bin/env python3
"""Runs what the pages for users of other programs say to type.

    tests/pages.py [--askem PATH] [--keep FOLDER] [PAGE...]

Takes the ```sh and ```python blocks of the pages below `docs` (all of PAGES, or those named), in their order, and runs each page
in a folder of its own that holds what the pages take for given: `volume.tif`, `masks.tif` and the run `runs/entropy`, of a small
made-up volume. Settings that make askem's trainings short are added to its calls. A ```text block after one of them is what it
prints.

A window of napari is opened and read back, and in place of a person the script paints. What needs a program or a package that is
not there is named as NOT RUN. Files that such a block, or a person, would have left, and that others read, are made here (STAND_INS).

Needs numpy and tifffile; the pages for other programs need those (napari and napari-ome-zarr, torch and safetensors, webknossos).
"""

import argparse
import ast
import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import tifffile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = ["napari.md", "fiji.md", "pytorch.md", "webknossos.md"]
SHAPE = (6, 160, 192)
VOXEL_NM = (50.0, 4.6, 4.6)
# Seconds that nothing here comes near.
LIMIT = 600

# Trainings of the pages are as long as their readers want them; these are as short as a test does.
SHORT = {
    "run": "--patch 32 --width 4 --pool 60 --initial 12 --query 8 --iterations 1 --epochs 30 --finetune-epochs 20 --device cpu",
    "init": "--patch 32 --width 4 --pool 60 --epochs 8 --finetune-epochs 8",
    "train": "--patch 32 --width 4 --epochs 4 --device cpu",
}

# Before a snippet: napari shows no window, and this takes the place of the person who paints.
PERSON = '''
import napari
from napari.viewer import Viewer

class Hidden(Viewer):
    def __init__(self, **options):
        super().__init__(**{**options, "show": False})

def run():
    viewer = napari.current_viewer()
    sizes = {tuple(layer.scale) for layer in viewer.layers}
    assert len(sizes) == 1, f"layers of several scales: {sizes}"
    if "painted" in viewer.layers:
        layer = viewer.layers["painted"]
        for z in range(len(layer.data)):
            layer.selected_label = 0
            layer.fill((z, 0, 0), 0)
            layer.brush_size = 11
            layer.paint((z, 16, 16), 1)

napari.Viewer, napari.run = Hidden, run
'''


def make_volume(folder: pathlib.Path) -> None:
    """Dark bodies on noise, with the size of a voxel, as ImageJ has it."""
    z, y, x = np.mgrid[tuple(slice(side) for side in SHAPE)]
    bodies = [(2, 40, 40, 18), (3, 40, 110, 14), (2, 115, 60, 16), (3, 110, 150, 20), (1, 80, 100, 10), (4, 135, 110, 12)]
    inside = [((z - a) * 9) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 1.6 * r * r for a, b, c, r in bodies]
    labels = np.any(inside, axis=0).astype(np.uint8)
    grey = 150 - 70.0 * labels + np.random.default_rng(1).normal(0, 18, SHAPE)
    for name, data in [("volume.tif", grey.clip(0, 255)), ("masks.tif", labels * 255)]:
        write_tiff(folder / name, data.astype(np.uint8))


def write_tiff(path: pathlib.Path, data: np.ndarray) -> None:
    pixels = tuple(1 / side for side in VOXEL_NM[:0:-1])
    about = {"axes": "ZYX", "unit": "nm", "spacing": VOXEL_NM[0]}
    tifffile.imwrite(path, data, imagej=True, resolution=pixels, metadata=about)


def painted_patches(folder: pathlib.Path) -> None:
    start = tifffile.imread(folder / "brain/queries/000/start.tif")
    start[:] = 0
    start[:, 11:22, 11:22] = 1
    tifffile.imwrite(folder / "painted.tif", start, compression="zlib", photometric="minisblack")


def painted_sections(name: str):
    def write(folder: pathlib.Path) -> None:
        labels = (tifffile.imread(folder / "masks.tif") > 0).astype(np.uint8)
        tifffile.imwrite(folder / name, labels, compression="zlib", photometric="minisblack")

    return write


def painted_annotation(folder: pathlib.Path) -> None:
    """What webknossos lets people download, by its library."""
    import webknossos as wk

    annotation = wk.Annotation(name="painted", dataset_name="brain", voxel_size=VOXEL_NM[::-1])
    labels = (tifffile.imread(folder / "masks.tif") > 0).astype(np.uint32)
    with annotation.add_volume_layer("painted", dtype=np.uint32).edit() as layer:
        layer.add_mag(1).write(labels.T, absolute_offset=(0, 0, 0), allow_resize=True)
    annotation.save(folder / "painted.zip")


# What a person, or a block that was not run, would have left, and who makes it then.
STAND_INS = {
    "painted.tif": painted_patches,
    "painted.zip": painted_annotation,
    "whole.tif": painted_sections("whole.tif"),
    "from_webknossos.tif": painted_sections("from_webknossos.tif"),
}
# What people download.
FROM_PEOPLE = {"painted.zip"}


def blocks(page: pathlib.Path):
    """Each block's line, language, text and, where the next block is text, that."""
    text = page.read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w+)\n(.*?)^```\n", text, re.M | re.S))
    for block, after in zip(found, found[1:] + [None]):
        if block[1] == "text":
            continue
        if block[1] not in ("sh", "python"):
            raise SystemExit(f"{page.name}: a block of {block[1]!r}; say sh, python or text")
        printed = after[2] if after and after[1] == "text" else None
        yield text.count("\n", 0, block.start()) + 2, block[1], block[2], printed


class Page:
    """A page's folder, and what came of its blocks."""

    def __init__(self, name: str, folder: pathlib.Path, environment: dict):
        self.name, self.folder, self.environment = name, folder, environment
        self.ran, self.not_run, self.failed = 0, [], []
        # Files that blocks which were not run would have left.
        self.missing = set(FROM_PEOPLE)

    def call(self, words) -> subprocess.CompletedProcess:
        shell = isinstance(words, str)
        return subprocess.run(
            words, shell=shell, executable="/bin/bash" if shell else None, cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    def judge(self, line: int, what: str, outcome: subprocess.CompletedProcess, printed: str | None = None) -> None:
        where = f"{self.name}:{line} {what}"
        if outcome.returncode != 0:
            self.failed.append(f"{where}: exit code {outcome.returncode}\n{outcome.stdout[-2000:]}{outcome.stderr[-4000:]}")
        elif printed is not None and outcome.stdout.split() != printed.split():
            self.failed.append(f"{where}: printed\n{outcome.stdout}in place of\n{printed}")
        else:
            self.ran += 1
            print(f"ran {where}", flush=True)

    def leave_out(self, line: int, what: str, why: str, files: list[str]) -> None:
        """Names what is not run; of `files`, which it reads or writes, those that are not there will be missed."""
        self.not_run.append(f"{self.name}:{line} {what} ({why})")
        print(f"NOT RUN: {self.not_run[-1]}", flush=True)
        self.missing.update(name for name in files if not (self.folder / name).exists())

    def python(self, line: int, text: str, printed: str | None) -> None:
        modules = imported(text)
        if "load_in_torch" in modules:
            # It lies beside the snippet, and needs these.
            modules = modules - {"load_in_torch"} | {"torch", "safetensors"}
        if lacking := lacking_modules(modules):
            return self.leave_out(line, "python", f"no module {', '.join(lacking)}", quoted(text))
        if waiting := self.lacks(quoted(text)):
            return self.leave_out(line, "python", f"{waiting} was not made", quoted(text))
        if "napari" in imported(text):
            text = PERSON + text
        self.judge(line, "python", self.call([sys.executable, "-W", "ignore", "-c", text]), printed)

    def lacks(self, files: list[str]) -> str | None:
        """One of the files that a block before would have made; what has a stand-in is made now."""
        for name in sorted(self.missing & set(files)):
            if (self.folder / name).exists():
                continue
            if name in STAND_INS:
                STAND_INS[name](self.folder)
                print(f"{self.name}: {name} is made by this script", flush=True)
            else:
                return name
        return None

    def shell(self, line: int, text: str, printed: str | None) -> None:
        for command in text.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            if words:
                self.command(line, command.strip(), words, printed)

    def command(self, line: int, command: str, words: list[str], printed: str | None) -> None:
        program = words[0]
        # What looks like a file, and the last word, which may be a folder.
        files = [word for word in words[1:-1] if looks_like_a_file(word)] + words[-1:]
        if program == "pip":
            return self.leave_out(line, command, "packages are there or not", [])
        if words[:2] == ["webknossos", "upload"]:
            return self.leave_out(line, command, "there is no server", [])
        if program == "python" and (lacking := lacking_modules(["torch", "safetensors"])):
            return self.leave_out(line, command, f"no module {', '.join(lacking)}", files)
        if program == "napari" and not lacking_modules(["napari"]):
            return self.judge(line, command, self.call([sys.executable, "-W", "ignore", "-c", open_napari(words[1:])]))
        if program == "napari" or not shutil.which(program, path=self.environment["PATH"]):
            return self.leave_out(line, command, f"no program {program}", files)
        if waiting := self.lacks(words[1:]):
            return self.leave_out(line, command, f"{waiting} was not made", files)
        if program == "cp":
            # Out of the repository.
            command = shlex.join(["cp", str(ROOT / words[1]), words[2]])
        return self.judge(line, shlex.join(words), self.call(command), printed)


def lacking_modules(names) -> list[str]:
    return sorted(name for name in names if importlib.util.find_spec(name) is None)


def looks_like_a_file(word: str) -> bool:
    return re.fullmatch(r"[\w./-]+\.[a-z]+", word) is not None


def quoted(text: str) -> list[str]:
    """The files that a program names."""
    texts = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and looks_like_a_file(text)]


def imported(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def open_napari(words: list[str]) -> str:
    """A program that opens what `napari WORDS` opens, and looks whether it lies where it should."""
    options, paths = {}, []
    words = iter(words)
    for word in words:
        if word.startswith("--"):
            options[word[2:].replace("-", "_")] = next(words)
        else:
            paths.append(word)
    return PERSON + (
        f"viewer = napari.Viewer()\nfor path in {paths!r}:\n    viewer.open(path, **{options!r})\n"
        f"assert len(viewer.layers) == {len(paths)}, viewer.layers\n"
        f"for layer in viewer.layers:\n    assert tuple(layer.scale) == {VOXEL_NM!r}, layer.scale\n"
        "napari.run()\n"
    )


def prepare(folder: pathlib.Path, askem: pathlib.Path) -> dict:
    """What the pages take for given, in `folder`, and the environment of their commands."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    cases = "".join(f"    {name}) set -- \"$@\" {options} ;;\n" for name, options in SHORT.items())
    shim = f"#!/bin/bash\ncase $1 in\n{cases}esac\nexec {shlex.quote(str(askem))} \"$@\"\n"
    (programs / "askem").write_text(shim, encoding="utf-8")
    (programs / "askem").chmod(0o755)
    environment = {**os.environ, "PATH": os.pathsep.join([str(programs), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])}
    given = folder / "given"
    given.mkdir()
    make_volume(given)
    subprocess.run(
        ["askem", "run", "--raw", "volume.tif", "--labels", "masks.tif", "--out", "runs/entropy", "--quiet"],
        cwd=given, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=LIMIT,
    )  # fmt: skip
    return environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--askem", type=pathlib.Path, default=ROOT / "target/release/askem", help="the program")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder that is not there yet, for all files")
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PAGE", help="such as napari.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary) / "pages"
        environment = prepare(folder.resolve(), options.askem.resolve())
        pages = []
        for name in options.pages:
            place = folder.resolve() / name.removesuffix(".md")
            shutil.copytree(folder / "given", place)
            pages.append(Page(name, place, environment))
            for line, language, text, printed in blocks(ROOT / "docs" / name):
                (pages[-1].python if language == "python" else pages[-1].shell)(line, text, printed)
    failed = [text for page in pages for text in page.failed]
    print(f"{sum(page.ran for page in pages)} ran, {sum(len(page.not_run) for page in pages)} not run, {len(failed)} failed")
    if failed:
        sys.exit("\n\n".join(failed))


if __name__ == "__main__":
    main()

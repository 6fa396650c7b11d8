#!/usr/bin/env python3
"""Tests of gpu.py without a card: askem and PyTorch are scripts that print what those would.

python3 benches/gpu_day/tests.py
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

GPU = Path(__file__).resolve().parent.parent / "gpu.py"

# Rates are 1000 for matrix units and 300 for f32, those of PyTorch 100 and 800 compiled. Under
# the name of a file in FAKE a command waits until that file is gone.
ASKEM = """
import json, os, sys, time
words = sys.argv[1:]
fake = os.environ["FAKE"] + "/"
with open(fake + "calls", "a") as file:
    print(*words, file=file)
def option(name):
    return words[words.index(name) + 1]
def wait(name):
    for _ in range(3000):
        if not os.path.exists(fake + name):
            return
        time.sleep(0.02)
if words[0] == "devices":
    print(open(fake + "devices.json").read())
elif words[0] == "run":
    pass
else:
    rate = {"tensor": 1000, "f32": 300}[option("--precision")]
    if words[1] == "train":
        wait("train-" + option("--batch"))
        print(json.dumps({"batch": int(option("--batch")), "samples_per_second": rate}))
    elif words[1] == "score":
        criterion = option("--criteria")
        wait(criterion)
        rate = rate / 5 if criterion == "bald" else rate
        print(json.dumps({"criterion": criterion, "mvoxel_per_second": rate}))
    elif words[1] == "start":
        seconds = 0.25 if os.environ["ASKEM_CACHE"].endswith("/askem") else 9
        print(json.dumps({"phase": "open", "seconds": seconds}))
        print(json.dumps({"phase": "train", "seconds": seconds}))
    else:
        print(json.dumps({"kernel": "conv2d::forward", "ms": 1.5, "share_of_time": 0.25}))
"""
TORCH = """
import json, sys
words = sys.argv[1:]
batches = words[words.index("--batch") + 1 :]
rate = 800 if "--compile" in words else 100
rate += 50 if "--channels-last" in words else 0
print(json.dumps({"peak_matmul": 2048, "torch": "2.0"}))
for batch in batches:
    if batch.startswith("-"):
        break
    if words[2] == "bench-train":
        row = {"batch": int(batch), "samples_per_s": rate, "torch": "2.0", "device": "A Card"}
        print(json.dumps(row))
    else:
        method = words[words.index("--methods") + 1]
        print(json.dumps({"method": method, "batch": int(batch), "mvoxel_per_s": rate}))
print("\\nbatch")
"""
WORKS = {"precision": "tensor", "state": "works"}
REFUSED = {"precision": "tensor", "state": "refused", "why": "no matrix of 16 rows"}


def card(tensor: dict, name: str = "A Card") -> list[dict]:
    """The list of devices of a machine with this card."""
    software = {"name": "llvmpipe", "backend": "vulkan", "kind": "cpu", "precisions": []}
    forms = [("tensor", f"conv2d::forward/{side}") for side in range(6)] + [("f16", "other")]
    left_out = [{"precision": x, "form": form, "why": "too wide"} for x, form in forms]
    hardware = {"name": name, "backend": "vulkan", "kind": "discrete", "precisions": ["f32"]}
    by = [{"precision": "f32", "state": "works"}, tensor]
    hardware |= {"by_precision": by, "left_out": left_out}
    return [software, hardware, {"name": "cpu", "backend": "native", "kind": "cpu"}]


def runs_on(text: str) -> bool:
    """Whether a process with the text in its command line stays: ending takes a while."""
    end = time.monotonic() + 10
    while there := running(text):
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return bool(there)


def running(text: str) -> list[str]:
    """The command lines of processes that have the text in theirs."""
    command = ["ps", "-eo", "args"]
    if (files := list(Path("/proc").glob("[0-9]*/cmdline"))) == []:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line for line in listed.stdout.splitlines() if text in line]
    found = []
    for file in files:
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            # It has ended.
            continue
        found += [line] if text in line else []
    return found


class Day(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.out, self.state = self.folder / "out", self.folder / "state"
        self.script("askem", ASKEM)
        self.script("python", TORCH)
        self.devices(card(WORKS))

    def script(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        path.chmod(0o755)

    def devices(self, found: list[dict]) -> None:
        (self.folder / "devices.json").write_text(json.dumps(found), encoding="utf-8")

    def start(self, *words: str, seconds: int = 600) -> subprocess.Popen:
        command = [sys.executable, GPU, "--out", self.out, "--state", self.state]
        command += ["--seconds", seconds, "--askem", self.folder / "askem"]
        command += ["--python", self.folder / "python", "--rounds", "1", *words]
        environment = {**os.environ, "FAKE": str(self.folder)}
        pipe = subprocess.PIPE
        out = {"stdout": pipe, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(list(map(str, command)), env=environment, **out)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close()))
        return process

    def call(self, *words: str, status: int = 0, seconds: int = 600) -> str:
        process = self.start(*words, seconds=seconds)
        printed = process.communicate(timeout=100)[0]
        self.assertEqual(process.returncode, status, printed)
        return printed

    def wait_for(self, process: subprocess.Popen, text: str) -> str:
        """Reads what is printed up to a line with the text, which must come."""
        read = ""
        for line in process.stdout:
            read += line
            if text in line:
                return read
        self.fail(f"no line with {text!r}:\n{read}")

    def table(self) -> str:
        return (self.out / "table.md").read_text(encoding="utf-8")

    def row(self, *cells: str) -> list[str]:
        """The row of the table that begins so."""
        for line in self.table().splitlines():
            found = [cell.strip() for cell in line.strip("|").split("|")]
            if found[: len(cells)] == list(cells):
                return found
        self.fail(f"no row {cells}:\n{self.table()}")

    def results(self) -> list[dict]:
        text = (self.out / "results.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def ends(self, step: str) -> list[str]:
        return [x["ended"] for x in self.results() if x["step"] == step and "ended" in x]

    def calls(self, start: str) -> list[str]:
        lines = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith(start)]

    def test_a_whole_day_has_every_goal(self) -> None:
        self.call("--rounds", "2")
        for work, value in [
            ("training, batch 20: askem / PyTorch compiled", "1.18"),
            ("training, batch 4: askem / PyTorch compiled", "1.18"),
            ("training, batch 20: askem / PyTorch eager", "6.67"),
            ("training, batch 4: askem / PyTorch eager", "6.67"),
            ("entropy, Mvoxel/s", "1000.00"),
            ("entropy: askem / PyTorch", "1.18"),
            ("BALD of 10 passes, times entropy", "5.00"),
            ("a first start, s", "18.00"),
            ("a later start, s", "0.50"),
        ]:
            self.assertEqual(self.row(work)[1], value, work)
        # Of two rounds; the better layout of the peer counts.
        of = "askem tensor (2) / PyTorch compiled, bf16, channels last (2)"
        self.assertEqual(self.row("training, batch 20: askem / PyTorch compiled")[3], of)
        for layout in ("", ", channels last"):
            who = f"PyTorch eager, TF32{layout}"
            self.assertEqual(self.row("training, batch 4", who)[4], "2")
        self.assertEqual(self.row("conv2d::forward")[2:4], ["1.500", "25.0 %"])
        self.assertEqual(len(self.calls("devices")), 1)
        names = ", ".join(f"conv2d::forward/{side}" for side in range(4))
        self.assertIn(f"- tensor without 6 forms (too wide): {names}, ...\n", self.table())
        self.assertNotIn("other", self.table())
        self.assertIn("; PyTorch 2.0 on A Card; ", self.table())
        names = {path.name for path in self.out.iterdir()}
        self.assertEqual(names, {"table.md", "results.jsonl", "devices.json", "log.txt"})

    def test_results_are_there_before_the_end(self) -> None:
        gate = self.folder / "train-4"
        gate.touch()
        process = self.start()
        self.wait_for(process, "training, batch 20, askem tensor: 1000 samples/s")
        self.assertEqual(self.row("training, batch 20", "askem tensor")[2], "1000")
        self.assertIn("train-20", [line["step"] for line in self.results()])
        self.assertIsNone(process.poll())
        gate.unlink()
        process.communicate(timeout=100)
        self.assertEqual(process.returncode, 0)

    def test_steps_that_hang_or_fail_are_rows_and_the_rest_goes_on(self) -> None:
        plants = ["--plant", "hang:train-20", "--plant", "fail:torch-eager"]
        printed = self.call(*plants, status=1)
        hung, failed = self.row("train-20"), self.row("torch-eager")
        self.assertEqual(hung[1], "hung")
        self.assertIn("no end within 2 s; planted: this hangs", hung[3])
        self.assertEqual(failed[1], "failed")
        self.assertEqual(failed[3], "exit status 3; planted: this fails")
        self.assertIn(failed[3], printed)
        self.assertEqual(self.row("training, batch 4", "askem tensor")[2], "1000")
        other = "PyTorch eager, TF32, channels last"
        self.assertEqual(self.row("training, batch 20", other)[2], "150")
        # Where matrix units fail f32 comes next.
        steps = [line["step"] for line in self.results() if "ended" in line]
        self.assertEqual(steps[1:4], ["train-20", "f32-train-20", "train-4"])
        # They are not tried again by themselves, but when asked.
        self.call()
        self.assertEqual(self.ends("train-20"), ["hung"])
        self.call("--again", "train-20")
        self.assertEqual(self.ends("train-20"), ["hung", "done"])

    def test_all_that_a_hanging_step_started_is_ended(self) -> None:
        mark = f"8640{os.getpid()}"
        code = f"import subprocess; subprocess.run(['sh', '-c', 'sleep {mark} & sleep {mark}'])"
        (self.folder / "log").touch()
        sys.path.insert(0, str(GPU.parent))
        from gpu_day import child

        command = [sys.executable, "-c", code]
        log = self.folder / "log"
        outcome = child.run(command, 0.5, 9.0, dict(os.environ), log, lambda _: None)
        self.assertEqual(outcome.ended, "hung")
        outcome = child.run(command, 9.0, 0.5, dict(os.environ), log, lambda _: None)
        self.assertEqual(outcome.ended, "cut")
        self.assertFalse(runs_on(f"sleep {mark}"))
        # A process that is left behind does not hold up the next step.
        start, lines = time.monotonic(), []
        command = ["sh", "-c", f"echo one; printf two; sleep {mark} & exit 4"]
        outcome = child.run(command, 60.0, 60.0, dict(os.environ), log, lines.append)
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual((outcome.ended, lines), ("failed", ["one", "two"]))
        # Who ends this session ends the step too.
        lines.clear()
        command = [sys.executable, "-IS", "-c", "import os; print(os.getsid(0))"]
        child.run(command, 60.0, 60.0, dict(os.environ), log, lines.append)
        self.assertEqual(lines, [str(os.getsid(0))])
        outcome = child.run(["/nonexistent"], 1.0, 1.0, dict(os.environ), log, lines.append)
        self.assertEqual(outcome.ended, "failed")

    def test_a_refused_precision_is_named_and_f32_takes_its_place(self) -> None:
        self.devices(card(REFUSED))
        printed = self.call()
        self.assertIn("- tensor: refused (no matrix of 16 rows)", self.table())
        self.assertIn("tensor: refused (no matrix of 16 rows); its steps run in f32", printed)
        self.assertEqual(self.row("training, batch 20", "askem f32")[2], "300")
        self.assertEqual(self.row("training, batch 20: askem / PyTorch compiled")[1], "0.35")
        self.assertEqual(self.calls("bench train --batch 20")[0].split().count("f32"), 1)
        self.assertNotIn("f32-train-20", self.table())
        self.assertNotIn("| askem tensor", self.table())
        # What wgpu writes of the same shaders is tried, and counts for no goal.
        self.assertEqual(self.row("training, batch 20", "plain askem tensor")[2], "1000")

    def test_odd_lines_of_results_and_a_second_run_do_no_harm(self) -> None:
        self.call()
        results = self.folder / "state" / "results.jsonl"
        lines = results.read_text()
        results.write_bytes(lines.encode() + b'5\n[]\nnull\n{}\n{"step": "x"}\n\xff\n')
        printed = self.call()
        self.assertEqual(printed.count("a line that is no result is left out"), 5)
        self.assertEqual(printed.count("a line that was cut short is left out"), 1)
        # What is done stays done.
        self.assertNotIn("train-20 (about", printed)
        (self.folder / "train-4").touch()
        process = self.start("--again", "train-4")
        self.wait_for(process, "train-4 (about")
        self.assertIn("another run is at work there", self.call(status=2))
        (self.folder / "train-4").unlink()
        process.communicate(timeout=60)
        for wrong in (["--seconds", "nan"], ["--seconds", "0"], ["--without", "nosuch"]):
            self.assertIn("gpu.sh run: error", self.call(*wrong, status=2))

    def test_pack_keeps_what_it_packs(self) -> None:
        folder = self.folder / "day"
        folder.mkdir()
        (folder / "packed.txt").write_text("")
        (folder / "torch_unet.py").write_text("the only copy")
        pack = ["bash", str(GPU.with_suffix(".sh")), "pack", str(folder)]
        peer = str(folder / "torch_unet.py")
        done = subprocess.run([*pack, peer, "--askem", sys.executable], capture_output=True, text=True)
        self.assertEqual((done.returncode, Path(peer).read_text()), (1, "the only copy"))
        self.assertIn("which is packed anew", done.stderr)
        text = self.folder / "text"
        text.write_text("no binary")
        done = subprocess.run([*pack, str(text), "--askem", str(text)], capture_output=True, text=True)
        self.assertIn("is not built for Linux on x86-64", done.stderr)
        self.assertNotIn("od:", done.stderr)

    @unittest.skipUnless(platform.machine() == "x86_64" and shutil.which("strip"), "for x86-64")
    def test_pack_fills_a_folder_and_leaves_nothing_beside_it(self) -> None:
        tools = self.folder / "tools"
        tools.mkdir()
        library = 'mkdir -p "$3" && : >"$3/liba.so.1.2" && ln -s liba.so.1.2 "$3/liba.so.1"'
        for name, does in (("apt-get", ": >a.deb"), ("dpkg-deb", library)):
            (tools / name).write_text(f"#!/bin/sh\n{does}\n", encoding="ascii")
            (tools / name).chmod(0o755)
        peer, place = self.folder / "peer.py", self.folder / "place"
        peer.write_text("# The peer.\n", encoding="ascii")
        place.mkdir()
        command = ["bash", str(GPU.with_suffix(".sh")), "pack", str(place / "day"), str(peer)]
        path = f"{tools}:{os.environ['PATH']}"
        for _ in range(2):
            done = subprocess.run(
                [*command, "--askem", os.path.realpath(sys.executable)],
                capture_output=True,
                text=True,
                env={**os.environ, "PATH": path},
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual([x.name for x in place.iterdir()], ["day"])
            (place / "day" / "mine").touch()
        found = {str(x.relative_to(place / "day")) for x in place.rglob("*") if x.is_file()}
        scripts = {f"gpu_day/{name}.py" for name in ("child", "record", "steps", "table")}
        others = {"gpu.sh", "gpu.py", "torch_equal.py", "torch_unet.py", "askem", "packed.txt"}
        self.assertEqual(found, scripts | others | {"lib/liba.so.1", "mine"})

    def test_a_list_without_reasons_or_without_the_device(self) -> None:
        old = card(WORKS)
        del old[1]["by_precision"], old[1]["left_out"]
        self.devices(old)
        self.call()
        self.assertIn("- tensor: refused (the list of devices gives no reason)", self.table())
        self.devices(card(WORKS)[:1])
        printed = self.call("--again", "devices")
        self.assertIn("an unknown card; tensor: unknown", printed)
        # askem itself decides then, and both precisions are tried.
        self.assertEqual(self.row("training, batch 20", "askem tensor")[2], "1000")
        self.assertEqual(self.row("training, batch 20", "askem f32")[2], "300")

    def test_the_next_call_goes_on_where_a_signal_stopped_the_first(self) -> None:
        (self.folder / "train-4").touch()
        process = self.start()
        self.wait_for(process, "train-4 (about")
        while not self.calls("bench train --batch 4"):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=20)[0]
        self.assertEqual(process.returncode, 3, printed)
        self.assertIn("left for another call", printed)
        self.assertEqual(self.row("train-4")[1], "cut")
        self.assertIn("stopped by SIGTERM", self.row("train-4")[3])
        self.assertFalse(runs_on(f"{self.folder}/askem bench"))
        # The folder that is taken home is empty at the start of the next call.
        for path in self.out.iterdir():
            path.unlink()
        (self.folder / "train-4").unlink()
        self.call()
        self.assertEqual(self.ends("train-20"), ["done"])
        self.assertEqual(self.ends("train-4"), ["cut", "done"])
        self.assertEqual(len(self.calls("devices")), 1)
        self.assertEqual(self.row("training, batch 4", "askem tensor")[4], "1")

    def test_a_call_leaves_what_does_not_fit_to_the_next(self) -> None:
        self.call(seconds=64)
        self.assertEqual(self.ends("train-20"), ["done"])
        # Takes 65 s by the estimate.
        self.assertEqual(self.row("torch-compiled-20-last")[1], "not yet")
        self.assertEqual(self.ends("torch-eager"), ["done"])
        # A copy of what was taken home is enough.
        self.state = self.folder / "another"
        self.call(seconds=100)
        self.assertEqual(self.ends("torch-compiled-20-last"), ["done"])
        self.assertEqual(self.ends("train-20"), ["done"])
        self.assertEqual(len(self.calls("devices")), 1)

    def test_results_of_another_card_or_binary_do_not_count(self) -> None:
        self.call()
        self.script("askem", ASKEM + "\n# Built anew.\n")
        self.call()
        self.assertEqual(self.ends("train-20"), ["done", "done"])
        self.assertEqual(self.row("training, batch 20", "askem tensor")[4], "1")
        self.assertIn("lines of another card or binary are not counted", self.table())
        self.devices(card(WORKS, "Another Card"))
        self.call("--again", "devices")
        self.assertIn("# Another Card", self.table())
        self.assertEqual(self.ends("train-20"), ["done"] * 3)

    def test_lines_that_say_nothing_are_failures(self) -> None:
        lines = ("{}", "{not JSON", '{"samples_per_s": null, "batch": 4}', "[1]")
        self.script("python", "\n".join(f"print({line!r})" for line in lines))
        (self.out).mkdir()
        (self.out / "results.jsonl").write_text('{"step": "cut sho', encoding="utf-8")
        printed = self.call(status=1)
        self.assertIn("a line that was cut short is left out", printed)
        lines = (self.out / "results.jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual(json.loads(lines[1])["step"], "devices")
        self.assertEqual(self.row("torch-eager")[1:4:2], ["failed", "it printed no result"])
        self.assertEqual(self.row("training, batch 4: askem / PyTorch eager")[1], "not measured")

    def test_the_plan_fits_the_calls(self) -> None:
        command = [sys.executable, GPU, "--plan"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for seconds, about in ((180, "train-4"), (480, "f32-bald"), (120, "train-20/2")):
            before, _, _ = text.partition(f" of {seconds} s")
            self.assertIn(about, before.rpartition(" s\n")[2])
            self.assertLess(float(before.split()[-1]), seconds)


if __name__ == "__main__":
    unittest.main()

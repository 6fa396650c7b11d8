"""What docs/python.md says to type does what it says."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_snippet_of_the_document_runs(tmp_path, monkeypatch):
    snippets = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    assert {kind for kind, _ in snippets} == {"sh", "python"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=":")
    names: dict[str, object] = {}
    installs = 0
    for kind, text in snippets:
        if kind == "python":
            exec(compile(text, str(DOCUMENT), "exec"), names)
        elif "pip install" in text:
            # That is how these tests got the wheel.
            installs += 1
        else:
            done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True)
            assert done.returncode == 0, f"{text}\n{done.stderr}"
    assert installs == 1 and len(snippets) > 4

#!/usr/bin/env python3
"""When a project would be told to stop, and what going on would still have gained.

usage: python3 benches/when_to_stop.py ASKEM RAW LABELS OUT [--strategies A,B] [--seeds 0,1]
           [--rounds N] [--test-sections N] [--init=OPTIONS] [--threads N]

RAW and LABELS are folders of sections, of which the last ones are kept for the test. A person who paints
the truth is played by `askem import`: for each strategy and seed a project is made in OUT, all that it
asks for is answered from LABELS, `askem learn` trains and gives its advice, and its network is judged on
the test sections. A line for each round is added to OUT/rounds.jsonl; what is there is not done again.
At the end a table is printed: labels at the first advice to stop, and the Jaccard index then and later.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean

parser = argparse.ArgumentParser(usage=__doc__)
for name in ["askem", "raw", "labels", "out"]:
    parser.add_argument(name, type=Path)
parser.add_argument("--strategies", default="entropy,random,core_set")
parser.add_argument("--seeds", default="0,1")
parser.add_argument("--rounds", type=int, default=10)
parser.add_argument("--test-sections", type=int, default=6)
parser.add_argument("--init", default="--preset quick --initial 8 --query 8")
parser.add_argument("--threads", type=int, default=os.cpu_count())
args = parser.parse_args()
COMMON = ["--device", "cpu", "--threads", str(args.threads)]
ROUNDS = args.out / "rounds.jsonl"


def askem(*words):
    done = subprocess.run([args.askem, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words}: {done.stderr}")
    return done.stdout


def split(folder, name):
    """The sections to paint, and those to judge on, as folders of links."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    parts = {"train": files[: -args.test_sections], "test": files[-args.test_sections :]}
    for part, chosen in parts.items():
        into = args.out / f"{name}-{part}"
        into.mkdir(parents=True, exist_ok=True)
        for file in chosen:
            if not (into / file.name).exists():
                (into / file.name).symlink_to(file.resolve())
    return args.out / f"{name}-train", args.out / f"{name}-test"


def rounds_there():
    return [json.loads(line) for line in ROUNDS.open()] if ROUNDS.exists() else []


def jaccard(project):
    segmentation = args.out / "segmentation.tif"
    askem("predict", "--run", project, "--raw", test_raw, "--out", segmentation, "--force", *COMMON)
    told = askem("eval", "--prediction", segmentation, "--labels", test_labels, "--json")
    return json.loads(told)["jaccard"]


def play(strategy, seed):
    project = args.out / f"{strategy}-{seed}"
    if not project.exists():
        options = [*shlex.split(args.init), "--strategy", strategy, "--seed", str(seed)]
        askem("init", project, "--raw", raw, *options, *COMMON)
    done = sum((r["strategy"], r["seed"]) == (strategy, seed) for r in rounds_there())
    for number in range(done, args.rounds):
        askem("import", project, labels, "--label-value", "255", *COMMON)
        journal = project / "journal.jsonl"
        if not journal.exists() or len(journal.read_text().splitlines()) <= number:
            askem("learn", project, *COMMON)
        # The report says of the last round what learn has said.
        askem("report", project)
        said = (project / "report.html").read_text()
        record = json.loads(journal.read_text().splitlines()[number])
        told = {key: record.get(key) for key in ["labelled", "changed_pixels", "unseen_jaccard"]}
        told |= {"mean_entropy": record.get("mean_entropy")}
        told |= {"foreground": record["labelled_foreground"], "stop": "hardly change" in said}
        line = {"strategy": strategy, "seed": seed, "round": number, **told}
        line["jaccard"] = jaccard(project)
        with ROUNDS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def table():
    print("| strategy | seed | stop at | Jaccard index there | best later | at the last round |")
    print("|---|---|---|---|---|---|")
    gains = []
    runs = {}
    for line in rounds_there():
        runs.setdefault((line["strategy"], line["seed"]), []).append(line)
    for (strategy, seed), lines in runs.items():
        stop = next((i for i, line in enumerate(lines) if line["stop"]), None)
        last = f"{lines[-1]['jaccard']:.3f} ({lines[-1]['labelled']} patches)"
        if stop is None:
            print(f"| {strategy} | {seed} | never | | | {last} |")
            continue
        there, later = lines[stop], [line["jaccard"] for line in lines[stop + 1 :]]
        best = f"{max(later):.3f}" if later else ""
        gains.append(lines[-1]["jaccard"] - there["jaccard"])
        print(
            f"| {strategy} | {seed} | {there['labelled']} patches | {there['jaccard']:.3f} | {best} | {last} |"
        )
    if gains:
        print(f"\nFrom the advice to the last round: {mean(gains):+.3f} on average of {len(gains)}.")


raw, test_raw = split(args.raw, "raw")
labels, test_labels = split(args.labels, "labels")
for seed in map(int, args.seeds.split(",")):
    for strategy in args.strategies.split(","):
        play(strategy, seed)
table()

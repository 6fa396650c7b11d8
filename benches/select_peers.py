#!/usr/bin/env python3
"""Selection of askem, PyTorch and scikit-learn on the same points and threads, in alternation.

usage: python3 benches/select_peers.py PATH/TO/peers [--askem target/release/askem] [--rounds 5]

PATH/TO/peers holds torch_unet.py, whose k_center_greedy is the peer of askem's; scikit-learn's KMeans is
the peer of its k_means. Two clouds of points are compared: noise without structure, and a mixture of 50
Gaussians. Before times are reported the outcomes are checked: the radius that k-center leaves must not be larger than
the peer's, and the inertia of k-means, in the mean over the seeds, must not exceed the peer's by more than two standard
errors of the difference.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Some machines preset these for other processors, which slows NumPy down: the peers get OpenBLAS's own choice.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

try:
    import numpy as np
except ModuleNotFoundError:
    sys.exit("numpy is missing: pip install numpy torch scikit-learn threadpoolctl")

LABELLED = 20


def clouds(rows: int, dim: int) -> dict[str, np.ndarray]:
    """The points to choose from."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((50, dim), dtype=np.float32)
    noise = rng.standard_normal((rows, dim), dtype=np.float32)
    return {"noise": noise, "mixture": noise + centres[rng.integers(0, 50, rows)]}


def radius(points: np.ndarray, picks: list[int]) -> float:
    """The distance of the point farthest from all labelled and picked, in f64."""
    nearest = np.full(len(points), np.inf)
    for row in [*range(LABELLED), *picks]:
        step = (points - points[row]).astype(np.float64)
        np.minimum(nearest, np.einsum("ij,ij->i", step, step), out=nearest)
    return float(np.sqrt(nearest.max()))


def timed(work):
    """What `work` returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def torch_peer(args: argparse.Namespace, points: np.ndarray) -> dict:
    """k-center greedy of the peer, warmed up."""
    import torch

    torch.set_num_threads(args.threads)
    spec = importlib.util.spec_from_file_location("torch_unet", args.peers / "torch_unet.py")
    peer = importlib.util.module_from_spec(spec)
    sys.modules["torch_unet"] = peer
    spec.loader.exec_module(peer)
    x, labelled = torch.from_numpy(points), torch.arange(LABELLED)
    peer.k_center_greedy(x, labelled, args.query)
    picks, seconds = timed(lambda: peer.k_center_greedy(x, labelled, args.query))
    return {"seconds": seconds, "picks": picks.tolist(), "version": torch.__version__}


def sklearn_peer(args: argparse.Namespace, points: np.ndarray) -> dict:
    """scikit-learn's k-means with its default rounds and tolerance, with its start and with one that is given."""
    import sklearn
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    given = points[np.random.default_rng(args.seed).choice(len(points), args.query, replace=False)]
    found = {"version": sklearn.__version__}
    for algorithm in ("lloyd", "elkan"):
        for name, init in ((algorithm, "k-means++"), (f"{algorithm}, start given", given)):
            # Beside other work BLAS is faster with one thread, on an idle machine with all: the better one counts.
            for blas in {1, args.threads}:
                estimator = KMeans(args.query, init=init, n_init=1, algorithm=algorithm, random_state=args.seed)
                with threadpool_limits({"blas": blas, "openmp": args.threads}):
                    _, seconds = timed(lambda: estimator.fit(points))
                seconds = min(seconds, found.get(name, {}).get("seconds", seconds))
                found[name] = {"seconds": seconds, "inertia": float(estimator.inertia_)}
    return found


def in_own_process(args: argparse.Namespace, peer: str, file: Path, seed: int) -> dict:
    """The outcome of a peer that shares its process, and its pools of threads, with no other."""
    command = [sys.executable, __file__, args.peers, "--peer", peer, "--file", file, "--seed", seed]
    command += ["--threads", args.threads, "--dim", args.dim, "--query", args.query]
    output = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout)


def askem(args: argparse.Namespace, file: Path, seed: int) -> dict:
    """The two outcomes of `askem bench select`."""
    command = [args.askem, "bench", "select", "--points", file, "--dim", args.dim, "--query", args.query]
    command += ["--labelled", LABELLED, "--repeats", 1, "--seed", seed]
    command += ["--threads", args.threads, "--device", "cpu", "--json"]
    output = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
    return {row["algorithm"]: row for row in map(json.loads, output.stdout.splitlines())}


def compare(name: str, points: np.ndarray, args: argparse.Namespace) -> None:
    """Prints the medians and ratios for one cloud."""
    seconds: dict[str, list[float]] = {}
    inertia: dict[str, list[float]] = {}

    def add(label: str, result: dict) -> None:
        seconds.setdefault(label, []).append(result["seconds"])
        inertia.setdefault(label, []).append(result.get("inertia"))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.f32"
        points.tofile(file)
        for seed in range(args.rounds):
            ours = askem(args, file, seed)
            add("k-center askem", ours["k_center_greedy"])
            add("k-means askem", ours["k_means"])
            theirs = in_own_process(args, "torch", file, seed)
            add("k-center PyTorch", theirs)
            if seed == 0:
                found = [radius(points, x["picks"]) for x in (ours["k_center_greedy"], theirs)]
                print(f"{name}: radius of askem {found[0]:.6f}, of PyTorch {theirs['version']} {found[1]:.6f}")
                assert found[0] <= found[1] * (1 + 1e-6), "askem's k-center leaves a larger radius"
            theirs = in_own_process(args, "sklearn", file, seed)
            version = theirs.pop("version")
            for label, result in theirs.items():
                add(f"k-means scikit-learn {version} {label}", result)
    for label, values in seconds.items():
        line = f"{name}: {label:46} median {statistics.median(values):7.4f} s, least {min(values):7.4f} s"
        mean = f", mean inertia {statistics.mean(inertia[label]):.6g}" if inertia[label][0] else ""
        print(line + mean)
    for algorithm in ("k-center", "k-means"):
        for given in (False, True):
            peers = [x for x in seconds if x.startswith(algorithm) and "askem" not in x]
            peers = [x for x in peers if x.endswith("given") == given]
            for kind, of in (("median", statistics.median), ("least", min)) if peers else ():
                best = min(peers, key=lambda x: of(seconds[x]))
                ratio = of(seconds[best]) / of(seconds[f"{algorithm} askem"])
                print(f"{name}: {algorithm} askem is {ratio:.2f} times {best} ({kind})")
    ours = inertia["k-means askem"]
    for label, theirs in inertia.items():
        if "scikit-learn" in label and not label.endswith("given"):
            luck = math.hypot(*(statistics.stdev(x) / math.sqrt(len(x)) for x in (ours, theirs)))
            excess = statistics.mean(ours) - statistics.mean(theirs)
            assert excess <= 2 * luck, f"askem's mean inertia is {excess} above that of {label}, luck is {luck}"


def main() -> None:
    """Reads the command line and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("peers", type=Path, help="the folder with torch_unet.py")
    parser.add_argument("--askem", type=Path, default=Path("target/release/askem"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=int, default=65_536)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--query", type=int, default=20)
    parser.add_argument("--peer", choices=("torch", "sklearn"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        points = np.fromfile(args.file, dtype=np.float32).reshape(-1, args.dim)
        print(json.dumps({"torch": torch_peer, "sklearn": sklearn_peer}[args.peer](args, points)))
        return
    for module in ("torch", "sklearn", "threadpoolctl"):
        if importlib.util.find_spec(module) is None:
            sys.exit(f"{module} is missing: pip install numpy torch scikit-learn threadpoolctl")
    for needed, how in (
        (args.peers / "torch_unet.py", "give the folder of the peers"),
        (args.askem, "cargo build --release -p askem"),
    ):
        if not needed.is_file():
            sys.exit(f"{needed} is missing: {how}")
    for name, points in clouds(args.pool, args.dim).items():
        compare(name, points, args)


if __name__ == "__main__":
    main()

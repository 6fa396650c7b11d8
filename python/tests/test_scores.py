"""Patches are scored and chosen as `askem score` and `askem select` do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

import askem
from conftest import run


@pytest.fixture(scope="module")
def network(two: Path) -> askem.Network:
    return askem.Network.load(two, device="cpu")


def store(folder: Path, two: Path, out: Path, *more: object) -> zarr.Group:
    """What the command writes of the same images."""
    run(
        *("score", "--weights", two, "--raw", folder / "raw.tif", "--out", out, "--device", "cpu"),
        *("--quiet", "--chunk-patches", 7, *more),
    )
    return zarr.open_group(out, mode="r")


@pytest.mark.parametrize("arguments, options", [
    ({}, []),
    ({"stride": 12, "stride_z": 2, "embeddings": "flat"},
     ["--stride", 12, "--stride-z", 2, "--embedding", "flat"]),
    ({"criterion": "least_confidence", "random": 20, "seed": 5},
     ["--criterion", "least_confidence", "--random", 20, "--seed", 5]),
    ({"criterion": "bald", "mc_passes": 3, "embeddings": "mean"},
     ["--criterion", "bald", "--mc-passes", 3]),
    ({"criterion": "mutual_information", "seed": 9, "normalise": "volume"},
     ["--criterion", "mutual_information", "--seed", 9, "--normalise", "volume"]),
])
def test_scores_are_those_of_the_command(
    folder, two, network, images, tmp_path, arguments, options
):
    written = store(folder, two, tmp_path / "scores.zarr", *options)
    found = askem.scores(network, images, **arguments)
    assert found.positions.dtype == np.int64 and found.scores.dtype == np.float32
    assert np.array_equal(found.positions, written["positions"][:])
    assert found.scores.tobytes() == written["scores"][:].tobytes()
    assert np.ptp(found.scores) > 0
    if "embeddings" in arguments:
        assert found.embeddings.dtype == np.float32
        assert np.array_equal(found.embeddings.astype(np.float16), written["embeddings"][:])
    else:
        assert found.embeddings is None


def test_given_places_are_scored_in_their_order(network, images):
    grid = askem.scores(network, images, stride=16, embeddings="mean")
    order = np.random.default_rng(1).permutation(len(grid.positions))[:10]
    found = askem.scores(network, images, positions=grid.positions[order], embeddings="mean")
    assert np.array_equal(found.positions, grid.positions[order])
    assert np.array_equal(found.scores, grid.scores[order])
    assert np.array_equal(found.embeddings, grid.embeddings[order])


def test_patches_of_small_planes_count_what_they_show(folder, two, network, images):
    found = askem.scores(network, images[0, :20, :50])
    # One row of patches, and the last one ends at the edge.
    assert found.positions.tolist() == [[0, 0, 0], [0, 0, 18]]
    # At most ln 2 for each of the pixels that are no mirror images.
    assert (found.scores > 0).all() and (found.scores < 20 * 32 * np.log(2)).all()


@pytest.mark.parametrize("strategy, criterion", [
    ("entropy", "entropy"),
    ("least_confidence", "least_confidence"),
    ("bald", "bald"),
    ("mutual_information", "mutual_information"),
    ("core_set", "entropy"),
    ("k_means", "entropy"),
])
def test_choices_are_those_of_the_command(
    folder, two, network, images, tmp_path, strategy, criterion
):
    options = ["--criterion", criterion, "--stride", 16]
    store(folder, two, tmp_path / "scores.zarr", *options)
    found = askem.scores(network, images, criterion, stride=16, embeddings="mean")
    labelled = [3, 40]
    lines = [dict(zip("zyx", map(int, found.positions[i]))) for i in labelled]
    exclude = tmp_path / "labelled.jsonl"
    exclude.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run(
        *("select", tmp_path / "scores.zarr", "--strategy", strategy, "--query", 12, "--json"),
        *("--seed", 4, "--exclude", exclude),
    )
    want = [json.loads(line)["index"] for line in done.stdout.splitlines()]
    got = askem.select(
        strategy,
        12,
        scores=found.scores,
        # As the store has them.
        embeddings=found.embeddings.astype(np.float16),
        labelled=labelled,
        seed=4,
    )
    assert got.dtype == np.int64 and got.tolist() == want
    assert len(set(want) - set(labelled)) == 12


SCORES = np.random.default_rng(2).random(30)
POINTS = np.random.default_rng(3).normal(size=(30, 5))
STRATEGIES = [
    *("random", "entropy", "least_confidence", "bald", "mutual_information", "power_entropy"),
    *("power_bald", "k_means", "core_set", "entropy_core_set", "typiclust", "badge"),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_strategy_chooses_twice_or_what_is_labelled(strategy):
    mask = np.zeros(30, bool)
    mask[[0, 7, 29]] = True

    def choose(query, labelled):
        return askem.select(
            strategy, query, scores=SCORES, embeddings=POINTS, labelled=labelled, seed=1, threads=1
        )

    some, numbers = choose(10, mask), choose(10, [29, 0, 7, 7])
    assert np.array_equal(some, numbers) and len(set(some.tolist())) == 10
    assert not mask[some].any()
    # All that is left, and no more.
    assert sorted(choose(99, mask).tolist()) == np.flatnonzero(~mask).tolist()
    assert choose(5, np.ones(30, bool)).tolist() == []


def test_choices_follow_from_what_is_given():
    assert askem.select("entropy", 2, scores=[1, 5, 3]).tolist() == [1, 2]
    assert askem.select("least_confidence", 2, scores=[1, 5, 3]).tolist() == [0, 2]
    line = np.array([[0.0], [1.0], [10.0], [4.0]])
    assert askem.select("core_set", 2, embeddings=line, labelled=[0]).tolist() == [2, 3]
    drawn = {tuple(askem.select("random", 3, count=9, seed=seed).tolist()) for seed in range(20)}
    assert len(drawn) > 10 and all(0 <= i < 9 for some in drawn for i in some)

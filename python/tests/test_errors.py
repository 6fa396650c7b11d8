"""What can't be done is refused with an exception that says why, and nothing panics."""

from __future__ import annotations

import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import askem


@pytest.fixture(scope="module")
def network(two: Path) -> askem.Network:
    return askem.Network.load(two, device="cpu")


WRONG_ARRAYS = [
    (np.zeros((2, 40, 40), bool), r"array of bool has no grey values.*astype\('uint8'\)"),
    (np.zeros((40, 40), complex), "complex128 has no grey values"),
    (np.zeros((40, 40), "M8[s]"), "no grey values"),
    (np.array([["a", "b"]]), "no grey values"),
    (np.array([[None, 1]]), "object has no grey values"),
    (np.zeros(40), "1 axes"),
    (np.float32(3), "0 axes"),
    (np.zeros((1, 2, 40, 40)), "4 axes: give .y, x. or .z, y, x."),
    (np.zeros((0, 40, 40)), "no pixels"),
    (np.zeros((3, 40, 0)), "no pixels"),
    ([], "1 axes"),
    (np.full((40, 40), np.nan), "nan at section 0, row 0, column 0, and 1600 such values"),
    (np.full((2, 40, 40), -np.inf), "-inf at section 0"),
    (np.full((40, 40), 1e300), r"1e\+300 at section 0"),
]


@pytest.mark.parametrize("array, why", WRONG_ARRAYS)
def test_wrong_arrays_are_refused(network, array, why):
    for function in (askem.predict, askem.scores):
        with pytest.raises(ValueError, match=why):
            function(network, array)


def test_the_place_of_a_value_that_is_no_number_is_told(network, images):
    broken = images.astype(np.float64)
    broken[2, 5, 7] = np.nan
    with pytest.raises(ValueError, match="nan at section 2, row 5, column 7, and 1 such"):
        network.predict(broken)
    # The network is as good as before.
    assert np.isfinite(network.predict(images)).all()


def test_what_an_array_raises_reaches_the_caller(network, images):
    class Torn:
        shape, dtype = images.shape, images.dtype

        def __getitem__(self, z):
            if z == 2:
                raise ConnectionError("the server is gone")
            return images[z]

    with pytest.raises(ConnectionError, match="the server is gone"):
        network.predict(Torn())

    class Shrunk(Torn):
        def __getitem__(self, z):
            return images[z, :7]

    with pytest.raises(ValueError, match="784 pixels where its shape says 80 x 112"):
        network.predict(Shrunk())


@pytest.mark.parametrize("arguments, why", [
    ({"kind": "instances"}, "give probabilities, classes or labels"),
    ({"normalise": "own"}, "give weights or volume"),
    ({"device": "cpu"}, "chosen when a network is loaded"),
    ({"threads": 2}, "chosen when a network is loaded"),
])
def test_wrong_options_of_predict_are_refused(network, images, arguments, why):
    with pytest.raises(ValueError, match=why):
        askem.predict(network, images, **arguments)


@pytest.mark.parametrize("arguments, why", [
    ({"criterion": "entrophy"}, "give entropy, least_confidence, bald or mutual_information"),
    ({"embeddings": "all"}, "give mean or flat"),
    ({"stride": 0}, "stride=0: give 1 or more"),
    ({"stride": 1.5}, "give a whole number"),
    ({"stride": 8, "random": 4}, "stride or stride_z and random: give one of them"),
    ({"random": 10**6}, "only 11907 different patches"),
    ({"mc_passes": 0}, "mc_passes=0: give 1 to 100000"),
    ({"seed": -1}, "seed=-1: give 0"),
    ({"seed": 2**64}, "give 0 to"),
    ({"positions": [[0, 0]]}, r"give \(n, 3\)"),
    ({"positions": np.zeros((0, 3), int)}, r"give \(n, 3\)"),
    ({"positions": [[0.5, 0, 0]]}, "give integers"),
    ({"positions": [[0, 0, 0], [0, 49, 0]]}, r"position 1, \[0, 49, 0\].*to \[2, 48, 80\]"),
    ({"positions": [[-1, 0, 0]]}, "position 0"),
])
def test_wrong_options_of_scores_are_refused(network, images, arguments, why):
    with pytest.raises(ValueError, match=why):
        askem.scores(network, images, **arguments)


@pytest.mark.parametrize("arguments, why", [
    ({"strategy": "entrophy", "scores": [1]}, "unknown strategy `entrophy`; choose one of"),
    ({"strategy": "full", "count": 3}, "is for `askem run`"),
    ({"strategy": "fg_random", "count": 3}, "is for `askem run`"),
    ({"strategy": "clasp", "scores": [1]}, "is for `askem run`"),
    ({"strategy": "random"}, "without them there are no patches"),
    ({"strategy": "entropy", "count": 3}, "needs scores="),
    ({"strategy": "core_set", "scores": [1, 2]}, "needs embeddings="),
    ({"strategy": "badge", "embeddings": [[1.0]]}, "needs scores="),
    ({"strategy": "entropy", "scores": [1, 2], "count": 3}, "different numbers of patches"),
    ({"strategy": "badge", "scores": [1, 2], "embeddings": [[1]]}, "different numbers of patches"),
    ({"strategy": "entropy", "scores": [[1, 2]]}, r"give \(n,\)"),
    ({"strategy": "entropy", "scores": []}, "without a 0"),
    ({"strategy": "entropy", "scores": ["a"]}, "give integers or floats"),
    ({"strategy": "entropy", "scores": [1, np.nan]}, "scores of patch 1 are not finite"),
    ({"strategy": "k_means", "embeddings": np.zeros((2, 0))}, "without a 0"),
    ({"strategy": "k_means", "embeddings": [[1], [np.inf]]}, "embeddings of patch 1 are not"),
    ({"strategy": "random", "count": 3, "labelled": [3]}, "are 0 to 2"),
    ({"strategy": "random", "count": 3, "labelled": [-1]}, "are 0 to 2"),
    ({"strategy": "random", "count": 3, "labelled": [True, False]}, "or 3 booleans"),
    ({"strategy": "random", "count": 3, "query": 0}, "query=0: give 1 or more"),
    ({"strategy": "random", "count": 3, "threads": 0}, "threads=0: give 1 to 1024"),
])
def test_wrong_choices_are_refused(arguments, why):
    with pytest.raises(ValueError, match=why):
        askem.select(**{"query": 1, **arguments})


def test_files_that_are_no_networks_are_refused(folder, two, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors"):
        askem.Network.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match="no run lies there"):
        askem.Network.load(tmp_path)
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match="not a weights file that can be used"):
        askem.predict(tmp_path / "text.safetensors", np.zeros((40, 40)))
    damaged = shutil.copy(two, tmp_path / "damaged.safetensors")
    content = bytearray(Path(damaged).read_bytes())
    content[-1] ^= 1
    Path(damaged).write_bytes(content)
    with pytest.raises(ValueError, match="its checksum does not fit"):
        askem.Network.load(damaged)


def test_devices_that_are_not_there_are_refused(two):
    with pytest.raises(RuntimeError, match="no adapter is named `abacus`"):
        askem.Network.load(two, device="abacus")
    with pytest.raises(RuntimeError, match="the processor computes in f32"):
        askem.Network.load(two, device="cpu", precision="f16")
    with pytest.raises(ValueError, match="give f32, f16, tensor or auto"):
        askem.Network.load(two, device="cpu", precision="f64")
    for threads in (0, 1025, "two"):
        with pytest.raises(ValueError, match="threads="):
            askem.Network.load(two, device="cpu", threads=threads)


def test_a_diverged_network_is_told(two, images, tmp_path):
    content = bytearray(two.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    values = (len(content) - 8 - length) // 4
    content[8 + length :] = np.full(values, np.nan, "<f4").tobytes()
    # The checksum is that of the file with zeros in its place.
    place = content.index(b'"sha256":"') + 10
    content[place : place + 64] = b"0" * 64
    content[place : place + 64] = hashlib.sha256(content).hexdigest().encode()
    broken = tmp_path / "diverged.safetensors"
    broken.write_bytes(content)
    network = askem.Network.load(broken, device="cpu")
    with pytest.raises(ValueError, match="it has diverged"):
        network.predict(images)
    with pytest.raises(ValueError, match="the network has diverged"):
        askem.scores(network, images)

"""Arrays are segmented to the bits of `askem predict`, whatever they are made of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import askem
from conftest import run, write


def by_command(weights: Path, images: np.ndarray, out: Path, *more: object) -> np.ndarray:
    """What the command makes of the same pixels."""
    write(out / "in.tif", images)
    run(
        *("predict", "--weights", weights, "--raw", out / "in.tif", "--out", out / "out.tif"),
        *("--device", "cpu", "--quiet", "--force", *more),
    )
    return tifffile.imread(out / "out.tif").reshape(images.shape)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same type, shape and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("normalise", ["weights", "volume"])
def test_probabilities_are_those_of_the_command(two, images, tmp_path, normalise):
    want = by_command(two, images, tmp_path, "--as", "probabilities", "--normalise", normalise)
    got = askem.predict(two, images, device="cpu", normalise=normalise)
    assert same(got, want)
    assert 0 <= got.min() < got.max() <= 1


def test_labels_are_those_of_the_command(two, three, images, tmp_path):
    want = by_command(two, images, tmp_path, "--as", "labels")
    got = askem.predict(two, images, kind="labels", device="cpu")
    assert same(255 * got, want)
    want = by_command(three, images, tmp_path, "--as", "labels")
    assert same(askem.predict(three, images, kind="labels", device="cpu"), want)


def test_of_three_classes_each_has_its_probabilities(three, images, tmp_path):
    network = askem.Network.load(three, device="cpu")
    classes = network.predict(images, kind="classes")
    assert classes.shape == (3, *images.shape)
    for number in range(3):
        class_ = ("--class", number)
        want = by_command(three, images, tmp_path, "--as", "probabilities", *class_)
        assert same(classes[number], want)
    want = by_command(three, images, tmp_path, "--as", "probabilities")
    assert same(network.predict(images), want)
    assert np.array_equal(network.predict(images, kind="labels"), classes.argmax(axis=0))


def test_of_two_classes_the_second_is_the_foreground(two, images):
    network = askem.Network.load(two, device="cpu")
    classes, foreground = network.predict(images, kind="classes"), network.predict(images)
    assert same(classes[1], foreground) and same(classes[0], 1 - foreground)


def test_types_orders_and_strides_do_not_count(two, images):
    network = askem.Network.load(two, device="cpu")
    want = network.predict(images)
    forms = [images.astype(t) for t in "i2 u2 <u4 >u2 >f4 f2 f4 f8 >f8 i8 u8".split()]
    forms += [images.astype(np.longdouble), np.asfortranarray(images), images.tolist()]
    spread = np.zeros((3, 160, 336), np.int32)
    spread[:, ::2, ::3] = images
    forms += [spread[:, ::2, ::3], np.flip(np.flip(images, 2).copy(), 2)]
    frozen = images.copy()
    frozen.setflags(write=False)
    for form in [*forms, frozen]:
        assert same(network.predict(form), want), np.asarray(form).dtype


def test_a_plane_is_a_section(three, images):
    network = askem.Network.load(three, device="cpu")
    for kind in ("probabilities", "labels"):
        want = network.predict(images[1:2], kind=kind)[0]
        assert same(network.predict(images[1], kind=kind), want)
    assert network.predict(images[1], kind="classes").shape == (3, 80, 112)


def test_an_array_smaller_than_a_patch_is_segmented(two, images, tmp_path):
    small = images[:, :10, :23]
    assert same(
        askem.predict(two, small, device="cpu"),
        by_command(two, small, tmp_path, "--as", "probabilities"),
    )


def test_arrays_on_disk_are_read_by_section(two, images, tmp_path):
    stored = zarr.create_array(tmp_path / "raw.zarr", shape=images.shape, chunks=(1, 40, 40),
                               dtype="uint8")
    stored[:] = images
    network = askem.Network.load(two, device="cpu")
    want = network.predict(images)
    assert same(network.predict(stored), want)

    class Lazy:
        """What hands out one section at a time, and refuses more."""

        shape, dtype = images.shape, images.dtype

        def __getitem__(self, z: int) -> np.ndarray:
            return images[z.__index__()]

    assert same(network.predict(Lazy()), want)


def test_grey_values_far_from_the_trainings_are_told(two, images):
    far = images * np.float32(1 / 255)
    with pytest.warns(UserWarning, match='normalise="volume" scales it by its own'):
        askem.predict(two, far, device="cpu")
    own = askem.predict(two, far, device="cpu", normalise="volume")
    want = askem.predict(two, images, device="cpu", normalise="volume")
    assert np.allclose(own, want, atol=1e-4)


def test_a_network_may_be_used_again_and_by_several_threads(two, images):
    network = askem.Network.load(two, device="cpu", threads=1)
    want = network.predict(images)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: network.predict(images), range(8)):
            assert same(got, want)


def test_a_network_says_what_it_is(two, folder):
    network = askem.Network.load(two, device="cpu", threads=1)
    assert (network.patch, network.classes, network.context) == (32, 2, 1)
    assert network.device == "cpu (1 threads)" or network.device.startswith("cpu")
    assert str(two) in repr(network) and network.path == str(two)
    of_run = askem.Network.load(folder / "two", device="cpu")
    assert Path(of_run.path).parent.name in ("two", "weights")

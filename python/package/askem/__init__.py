"""Segment electron microscopy with a U-Net that asks for few labels.

Networks are trained with the command ``askem``, which is installed beside this package. Here they
are used on arrays in memory, or on anything that gives its sections as arrays:

>>> import askem
>>> network = askem.Network.load("runs/first")
>>> mitochondria = network.predict(array)
>>> found = askem.scores(network, array, embeddings="mean")
>>> next_patches = found.positions[askem.select("entropy", 20, scores=found.scores)]

Arrays are ``(y, x)`` or ``(z, y, x)``: rows and columns of one section, or of several.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from . import _native

if TYPE_CHECKING:
    # NumPy is imported when it is needed: the command does without.
    from collections.abc import Callable
    from typing import Literal

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]
    Kind = Literal["probabilities", "classes", "labels"]
    Criterion = Literal["entropy", "least_confidence", "bald", "mutual_information"]
    Embedding = Literal["mean", "flat"]
    Normalise = Literal["weights", "volume"]
    Precision = Literal["auto", "f32", "f16", "tensor"]

__all__ = ["Network", "Scores", "predict", "scores", "select"]
__version__ = _native.VERSION

Path = Union[str, "os.PathLike[str]"]

# What is known of a device is known for one build of the code in this file.
_native.set_library(os.path.abspath(_native.__file__))


class Scores(NamedTuple):
    """Patches and what the network thinks of them."""

    positions: Integers
    """``(n, 3)``, int64: section, first row and first column of each patch."""
    scores: Floats
    """``(n,)``, float32: the criterion, summed over a patch's pixels. Entropies are in nats."""
    embeddings: Floats | None
    """``(n, d)``, float32: the network's bottleneck for each patch; None if not asked for."""


class Network:
    """A trained network on its device. Make one with :meth:`load`, and use it for many arrays.

    Several threads may use one network; their calls are done one after another.
    """

    def __init__(self, loaded: _native.Loaded) -> None:
        self._loaded = loaded

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "auto",
    ) -> Network:
        """Read a network and put it on a device.

        Parameters
        ----------
        path
            ``weights.safetensors`` or one of ``weights/NNN.safetensors``, or the folder of a run or
            a project, which stands for its network as ``--run`` does on the command line.
        device
            ``auto`` (a hardware GPU that passes the self-test, else the processor), ``cpu``,
            ``gpu``, ``gpu:1``, or part of an adapter's name, as ``askem devices`` lists them.
        threads
            Threads of the processor; None for all.
        precision
            In what numbers a GPU computes, as ``--precision`` on the command line.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no network of askem, or an argument makes no sense.
        RuntimeError
            If the device is not there, or fails its self-test.
        """
        from . import _checks

        threads = _checks.count("threads", threads, _checks.MOST_THREADS)
        loaded = _native.Loaded.load(os.fspath(path), str(device), str(precision), threads)
        _say_notes(3)
        return cls(loaded)

    @property
    def path(self) -> str:
        """The file that it was read from."""
        return os.fspath(self._loaded.path)

    @property
    def device(self) -> str:
        """What it computes on."""
        return self._loaded.device

    @property
    def patch(self) -> int:
        """The side, in pixels, of the patches that it was trained on."""
        return self._loaded.patch

    @property
    def classes(self) -> int:
        """Number of classes, with the background, which is class 0."""
        return self._loaded.classes

    @property
    def context(self) -> int:
        """Neighbouring sections that it sees on each side of a section."""
        return self._loaded.context

    def __repr__(self) -> str:
        return f"<askem.Network {self.path!r}: {self.classes} classes, on {self.device}>"

    def predict(
        self,
        array: npt.ArrayLike,
        *,
        kind: Kind = "probabilities",
        normalise: Normalise | None = None,
    ) -> npt.NDArray[Any]:
        """Segment an array: :func:`askem.predict` with this network."""
        return predict(self, array, kind=kind, normalise=normalise)


def predict(
    weights: Path | Network,
    array: npt.ArrayLike,
    *,
    kind: Kind = "probabilities",
    normalise: Normalise | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
) -> npt.NDArray[Any]:
    """Segment an array, as ``askem predict`` segments a file.

    Parameters
    ----------
    weights
        A :class:`Network`, or what :meth:`Network.load` takes; then ``device``, ``threads`` and
        ``precision`` are passed on to it.
    array
        Grey values, ``(y, x)`` or ``(z, y, x)``, integers or floats of any size and byte order, in
        the units of the images of the training. It is read section by section, so an array of
        Zarr, HDF5, dask or ``numpy.memmap`` may be larger than memory.
    kind
        ``probabilities``: of not being background, ``classes``: of each class, or ``labels``: the
        likeliest class (with two classes, 1 where the probability of class 1 is above 0.5).
    normalise
        How grey values are scaled: ``weights``, as those of the training were, or ``volume``, by
        the array's own mean and deviation. None: as the network was trained, by ``volume`` if that
        was on several volumes.

    Returns
    -------
    numpy.ndarray
        Of the array's shape for ``probabilities`` (float32, with any number of classes) and
        ``labels`` (uint8, with the values 0 to N - 1 for N classes); float32 of shape
        ``(N, *array.shape)`` for ``classes``.

    Raises
    ------
    ValueError
        If the array is empty, not of two or three axes, not of numbers, or has values that are not
        finite; if the network has diverged; if an argument makes no sense.
    RuntimeError
        If the device fails or can't hold the network.
    """
    import numpy as np

    from . import _checks

    if kind not in ("probabilities", "classes", "labels"):
        raise ValueError(f"kind {kind!r}: give probabilities, classes or labels")
    network = _network(weights, device, threads, precision)
    source, shape = _checks.volume(array)
    classes = network.classes if kind == "classes" else 1
    found: npt.NDArray[Any] = np.empty(
        (classes, *shape), dtype=np.uint8 if kind == "labels" else np.float32
    )

    def store(z: int, values: bytes) -> None:
        found[:, z] = np.frombuffer(values, found.dtype).reshape(classes, *shape[1:])

    _call(network._loaded.predict, shape, _checks.reader(source, shape), store, kind, normalise)
    found = found.reshape(classes, *source.shape)
    return found if kind == "classes" else found[0]


def scores(
    weights: Path | Network,
    array: npt.ArrayLike,
    criterion: Criterion = "entropy",
    *,
    stride: int | None = None,
    stride_z: int | None = None,
    random: int | None = None,
    positions: npt.ArrayLike | None = None,
    embeddings: Embedding | None = None,
    mc_passes: int = 10,
    seed: int = 0,
    normalise: Normalise | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
) -> Scores:
    """Score patches of an array, as ``askem score`` scores those of a file.

    Parameters
    ----------
    weights, array, normalise, device, threads, precision
        As for :func:`predict`. Patches have the side ``Network.patch``.
    criterion
        ``entropy``, ``least_confidence`` (the largest probability, so that small sums are
        uncertain), ``bald`` (entropy of the mean over passes with dropout) or
        ``mutual_information``.
    stride, stride_z
        A grid of patches, so many pixels and so many sections apart; None for the patch's side,
        and for every section. The last ones of rows and columns end at the array's edge.
    random
        So many patches at random places instead of a grid.
    positions
        Patches of your own instead: ``(n, 3)`` integers, the section (0 in an array of two axes),
        first row and first column of each.
    embeddings
        ``mean``: the mean over space of the network's bottleneck, ``flat``: all its values. None
        for none.
    mc_passes
        Passes with dropout, of ``bald`` and ``mutual_information``.
    seed
        Decides places and dropout. Dropout goes by a patch's place in the list, too.

    Returns
    -------
    Scores
        Positions, scores, and embeddings if asked for. A store of ``askem score`` has the same
        numbers, with embeddings rounded to half precision.

    Raises
    ------
    ValueError
        As :func:`predict`, and if a patch does not lie within the array.
    RuntimeError
        If the device fails or can't hold the network.
    """
    import numpy as np

    from . import _checks

    ways = {"stride or stride_z": stride if stride_z is None else stride_z, "random": random}
    ways["positions"] = None if positions is None else 1
    given = [way for way, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: give one of them")
    network = _network(weights, device, threads, precision)
    source, shape = _checks.volume(array)
    places = None if positions is None else _checks.positions(positions, shape, network.patch)
    found = _call(
        network._loaded.scores,
        shape,
        _checks.reader(source, shape),
        criterion,
        places,
        _checks.count("random", random, _checks.MOST_PATCHES),
        _checks.count("stride", stride, None) or network.patch,
        _checks.count("stride_z", stride_z, None) or 1,
        embeddings,
        _checks.count("mc_passes", mc_passes, _checks.MOST_PASSES),
        _checks.seed(seed),
        normalise,
    )
    at = np.frombuffer(found[0], np.int64).reshape(-1, 3).copy()
    embedded = None
    if embeddings is not None:
        embedded = np.frombuffer(found[2], np.float32).reshape(len(at), -1).copy()
    return Scores(at, np.frombuffer(found[1], np.float32).copy(), embedded)


def select(
    strategy: str,
    query: int,
    *,
    scores: npt.ArrayLike | None = None,
    embeddings: npt.ArrayLike | None = None,
    labelled: npt.ArrayLike | None = None,
    count: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Integers:
    """Choose the patches to label next, as an iteration of ``askem run`` does.

    Parameters
    ----------
    strategy
        ``random``, ``entropy``, ``least_confidence``, ``bald``, ``mutual_information``,
        ``power_entropy``, ``power_bald``, ``k_means``, ``core_set``, ``entropy_core_set``,
        ``typiclust`` or ``badge``.
    query
        Number of patches to choose.
    scores
        ``(n,)`` numbers, one for each patch: of the strategy's own criterion (``entropy`` for
        ``power_entropy``, ``entropy_core_set`` and ``badge``; ``mutual_information`` for
        ``power_bald``).
    embeddings
        ``(n, d)`` numbers, a row for each patch, for the last five strategies.
    labelled
        Patches that are labelled already, as their numbers in 0 to n - 1 or as n booleans. They are
        not chosen again, and strategies with embeddings keep away from them.
    count
        n, for ``random`` without scores and embeddings.
    seed
        Decides everything random.
    threads
        Threads of the processor, which is what computes; None for all.

    Returns
    -------
    numpy.ndarray
        int64: the numbers of the chosen patches, best first; fewer than ``query`` if there are no
        more. For ``entropy``, ``least_confidence``, ``bald``, ``mutual_information``, ``core_set``
        and ``k_means`` they are those that ``askem select`` takes from a store of the same numbers.

    Raises
    ------
    ValueError
        If the strategy is unknown or lacks its scores or embeddings, if their lengths differ, or if
        they hold what is not a finite number.
    """
    import numpy as np

    from . import _checks

    query = _checks.count("query", query, None) or 0
    score_values = _checks.numbers("scores", scores, 1)
    points = _checks.numbers("embeddings", embeddings, 2)
    lengths = {len(values) for values in (score_values, points) if values is not None}
    if count is not None:
        lengths.add(_checks.count("count", count, _checks.MOST_PATCHES) or 0)
    if len(lengths) != 1:
        raise ValueError(
            "scores, embeddings and count are of different numbers of patches"
            if lengths
            else "give scores, embeddings, or count: without them there are no patches"
        )
    (patches,) = lengths
    chosen = _call(
        _native.select,
        str(strategy),
        query,
        patches,
        b"" if score_values is None else score_values.tobytes(),
        b"" if points is None else points.tobytes(),
        _checks.labelled(labelled, patches),
        _checks.seed(seed),
        _checks.count("threads", threads, _checks.MOST_THREADS),
    )
    return np.array(chosen, dtype=np.int64)


def _network(
    weights: Path | Network,
    device: str | None,
    threads: int | None,
    precision: Precision | None,
) -> Network:
    """The network that is meant, loaded if it is not yet."""
    if isinstance(weights, Network):
        if (device, threads, precision) != (None, None, None):
            raise ValueError(
                "device, threads and precision are chosen when a network is loaded; this one is"
            )
        return weights
    return Network.load(
        weights, device=device or "auto", threads=threads, precision=precision or "auto"
    )


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the Rust half, and say what it has to say."""
    try:
        return function(*arguments)
    finally:
        _say_notes(4)


def _say_notes(level: int) -> None:
    """Warn of what the Rust half has noted, at the line so many calls above."""
    for note in _native.take_notes():
        warnings.warn(note, stacklevel=level)

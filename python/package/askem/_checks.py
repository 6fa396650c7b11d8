"""What callers give, as the Rust half takes it, or a ValueError that says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

# As the command line has them.
MOST_THREADS = 1024
MOST_PASSES = 100_000
MOST_PATCHES = 100_000_000


def volume(array: Any) -> tuple[Any, tuple[int, int, int]]:
    """The array, as something with a shape and a type, and its shape in sections, rows, columns."""
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        array = np.asarray(array)
    try:
        dtype = np.dtype(array.dtype)
    except TypeError:
        # Of another library, which knows how to become NumPy's.
        array = np.asarray(array)
        dtype = array.dtype
    if dtype.kind not in "iuf":
        raise ValueError(
            f"an array of {dtype} has no grey values: give integers or floats"
            + (" (of a mask, array.astype('uint8'))" if dtype.kind == "b" else "")
        )
    shape = tuple(int(side) for side in array.shape)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"an array of shape {shape} has {len(shape)} axes: give (y, x) or (z, y, x); of an "
            "image with channels, one of them"
        )
    if 0 in shape:
        raise ValueError(f"an array of shape {shape} has no pixels")
    return array, (shape if len(shape) == 3 else (1, *shape))  # type: ignore[return-value]


def reader(source: Any, shape: tuple[int, int, int]) -> Callable[[int], bytes]:
    """What reads a section as the bytes of its pixels, in float32 and row by row."""
    def read(z: int) -> bytes:
        section = np.asarray(source[z] if len(source.shape) == 3 else source[:])
        # What is too large for float32 is not finite then.
        with np.errstate(over="ignore"):
            pixels = section.astype(np.float32, order="C")
        finite = np.isfinite(pixels)
        if not finite.all():
            y, x = np.argwhere(~finite)[0]
            raise ValueError(
                f"the array has {section[y, x]} at section {z}, row {y}, column {x}, "
                f"and {np.count_nonzero(~finite)} such values in that section: give finite numbers"
            )
        return pixels.tobytes()

    return read


def positions(
    given: npt.ArrayLike, shape: tuple[int, int, int], patch: int
) -> list[list[int]]:
    """Positions as Rust takes them, each within the array."""
    at = np.asarray(given)
    if at.ndim != 2 or at.shape[1] != 3 or len(at) == 0:
        raise ValueError(f"positions of shape {at.shape}: give (n, 3), with n of 1 or more")
    if at.dtype.kind not in "iu":
        raise ValueError(f"positions of {at.dtype}: give integers")
    # Along a side that is shorter than a patch there is one place.
    last = [shape[0] - 1, max(shape[1] - patch, 0), max(shape[2] - patch, 0)]
    outside = np.flatnonzero(((at < 0) | (at > np.array(last))).any(axis=1))
    if len(outside) > 0:
        raise ValueError(
            f"position {outside[0]}, {at[outside[0]].tolist()}: patches of {patch} x {patch} lie "
            f"within an array of {shape} from [0, 0, 0] to {last}"
        )
    places: list[list[int]] = at.tolist()
    return places


def numbers(name: str, values: npt.ArrayLike | None, axes: int) -> npt.NDArray[np.float32] | None:
    """Scores or embeddings as finite float32."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim != axes or array.size == 0:
        wanted = "(n,)" if axes == 1 else "(n, d)"
        raise ValueError(f"{name} of shape {array.shape}: give {wanted}, without a 0")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} of {array.dtype}: give integers or floats")
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32, order="C")
    wrong = np.flatnonzero(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1))
    if len(wrong) > 0:
        raise ValueError(f"{name} of patch {wrong[0]} are not finite: has the network diverged?")
    return floats


def labelled(numbers: npt.ArrayLike | None, patches: int) -> list[int]:
    """The numbers of labelled patches, each once and increasing."""
    if numbers is None:
        return []
    given = np.asarray(numbers)
    if given.dtype.kind == "b" and given.shape == (patches,):
        given = np.flatnonzero(given)
    if given.size == 0:
        return []
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ValueError(
            f"labelled of shape {given.shape} and {given.dtype}: give numbers of patches, or "
            f"{patches} booleans"
        )
    if given.min() < 0 or given.max() >= patches:
        raise ValueError(f"labelled: the numbers of {patches} patches are 0 to {patches - 1}")
    different: list[int] = np.unique(given).tolist()
    return different


def count(name: str, value: int | None, most: int | None) -> int | None:
    """A whole number from 1 on."""
    if value is None:
        return None
    try:
        number = int(value.__index__())
    except (AttributeError, TypeError):
        raise ValueError(f"{name}={value!r}: give a whole number") from None
    if number < 1 or number > (most or 2**62):
        raise ValueError(f"{name}={number}: give 1" + (f" to {most}" if most else " or more"))
    return number


def seed(value: int) -> int:
    """A number that decides what is random."""
    try:
        number = int(value.__index__())
    except (AttributeError, TypeError):
        raise ValueError(f"seed={value!r}: give a whole number") from None
    if not 0 <= number < 2**64:
        raise ValueError(f"seed={number}: give 0 to 2**64 - 1")
    return number

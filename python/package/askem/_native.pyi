# What the Rust half gives to the package. It may change at any time; use `askem` itself.
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

__all__ = ["VERSION", "Loaded", "command", "select", "set_library", "take_notes"]

VERSION: str

@final
class Loaded:
    @property
    def path(self) -> Path: ...
    @property
    def device(self) -> str: ...
    @property
    def patch(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def context(self) -> int: ...
    @staticmethod
    def load(path: str, device: str, precision: str, threads: int | None) -> Loaded: ...
    def predict(
        self,
        shape: Sequence[int],
        read: Callable[[int], bytes],
        store: Callable[[int, bytes], None],
        kind: str,
        normalise: str | None,
    ) -> None: ...
    def scores(
        self,
        shape: Sequence[int],
        read: Callable[[int], bytes],
        criterion: str,
        positions: Sequence[Sequence[int]] | None,
        random: int | None,
        stride: int,
        stride_z: int,
        embeddings: str | None,
        mc_passes: int,
        seed: int,
        normalise: str | None,
    ) -> list[bytes]: ...

def command(arguments: Sequence[str], again: Sequence[str]) -> int: ...
def select(
    strategy: str,
    query: int,
    count: int,
    scores: bytes,
    embeddings: bytes,
    labelled: Sequence[int],
    seed: int,
    threads: int | None,
) -> list[int]: ...
def set_library(path: str) -> None: ...
def take_notes() -> list[str]: ...

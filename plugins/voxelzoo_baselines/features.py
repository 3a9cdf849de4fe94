"""States computed elsewhere, from ``stories/<story>/features/<name>.npz``."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    ExtractorRequest,
    NotFoundError,
    StateBlock,
    Story,
    require_downloaded,
)

_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,  # among others, zipfile's for encrypted members
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for damaged archives."""


@dataclass(frozen=True)
class FeatureFile:
    """Contents of one file: ``times`` (time,) in seconds, ``states`` (layer, time, unit)."""

    times: NDArray[np.float64]
    states: NDArray[np.float32]


class PrecomputedFeatures:
    """Gives the states of the file that a story has under the model's name.

    ``model.n_layers`` is the number of layers in the files less one, 0 where not given; each file
    must have as many. Values enter an artefact's key through the story, whose digest covers its
    feature files. Raises :class:`NotFoundError` where a story has no such file, :class:`DataError`
    naming the file and the fault where it is damaged.
    """

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self._held: tuple[Path, FeatureFile] | None = None

    def layers(self) -> range:
        """Layers of the files."""
        return range((self.request.model.n_layers or 0) + 1)

    def fingerprint(self) -> Mapping[str, Any]:
        """Nothing: the files' content is part of the story."""
        return {}

    def times(self, story: Story) -> NDArray[np.float64]:
        """The file's times."""
        return self._read(story).times

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """The file's states, in one block."""
        yield StateBlock(0, self._read(story).states[list(layers)])

    def close(self) -> None:
        """Lets go of the file last read."""
        self._held = None

    def _read(self, story: Story) -> FeatureFile:
        name = self.request.model.name
        if name not in story.features:
            has = ", ".join(sorted(story.features)) or "none"
            raise NotFoundError(f"story {story.name!r} has no features {name!r}; it has {has}")
        path = story.features[name]
        if self._held is None or self._held[0] != path:
            self._held = path, read_features(path)
        found = self._held[1]
        if len(found.states) != len(self.layers()):
            raise DataError(
                f"{path}: {len(found.states)} layers of states, expected {len(self.layers())}"
            )
        return found


def read_features(path: Path) -> FeatureFile:
    """Reads and checks one file; states of shape (time, unit) become one layer.

    Raises :class:`DataError` naming the file and the fault.
    """
    try:
        # Opened here, so that it is closed whatever numpy makes of it.
        with require_downloaded(path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array, not an .npz archive")
            if missing := [name for name in ("times", "states") if name not in archive]:
                raise DataError(
                    f"{path}: no array {missing[0]!r}; it has {', '.join(archive.files) or 'none'}"
                )
            times, states = np.asarray(archive["times"]), np.asarray(archive["states"])
    except _UNREADABLE as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"{path}: not an .npz archive of numbers ({why})") from error
    for name, array in (("times", times), ("states", states)):
        if array.dtype.kind not in "fiu":
            raise DataError(f"{path}: {name} holds {array.dtype}, not real numbers")
    if times.ndim != 1:
        raise DataError(f"{path}: times has shape {times.shape}, expected (time,)")
    if states.ndim not in (2, 3) or 0 in states.shape:
        raise DataError(
            f"{path}: states has shape {states.shape}, expected (time, unit) or (layer, time, unit)"
        )
    if states.shape[-2] != len(times):
        raise DataError(f"{path}: {len(times)} times for {states.shape[-2]} states")
    times = times.astype(np.float64)
    if not np.isfinite(times).all():
        first = int(np.flatnonzero(~np.isfinite(times))[0])
        raise DataError(f"{path}: times[{first}] is not a finite number")
    if (np.diff(times) < 0).any():
        first = int(np.flatnonzero(np.diff(times) < 0)[0]) + 1
        raise DataError(
            f"{path}: times[{first}] is {times[first]:g} s, before times[{first - 1}]; "
            "times must never decrease"
        )
    with np.errstate(over="ignore"):  # what overflows is infinite, and is named
        states = states.astype(np.float32).reshape(-1, *states.shape[-2:])
    if not np.isfinite(states).all():
        layer, row, unit = np.argwhere(~np.isfinite(states))[0]
        raise DataError(f"{path}: states, layer {layer}, time {row}, unit {unit} is not finite")
    return FeatureFile(times, states)

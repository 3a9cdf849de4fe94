"""Precomputed states, from ``stories/<story>/features/<name>.npz``."""

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
    """Contents of one file.

    Parameters
    ----------
    times : ndarray of shape (time,), float64
        Time of each state, in seconds, never decreasing.
    states : ndarray of shape (layer, time, unit), float32
        The states.
    """

    times: NDArray[np.float64]
    states: NDArray[np.float32]


class PrecomputedFeatures:
    """Reads the states of each story from the file with the model's name.

    The files' content is part of the story's digest, and through that of the keys of artefacts.

    Parameters
    ----------
    request : ExtractorRequest
        Which model is asked for. Each file must have ``model.n_layers + 1`` layers (one, if the
        model does not say).

    Raises
    ------
    NotFoundError
        By :meth:`times` and :meth:`extract`, if a story has no such file.
    DataError
        By the same, if the file is damaged or has another number of layers. The message names
        the file and what is wrong with it.
    """

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self._held: tuple[Path, FeatureFile] | None = None

    def layers(self) -> range:
        """Layers of the files."""
        return range((self.request.model.n_layers or 0) + 1)

    def fingerprint(self) -> Mapping[str, Any]:
        """Empty: the files' content is part of the story."""
        return {}

    def times(self, story: Story) -> NDArray[np.float64]:
        """Time of each state, (time,), in seconds."""
        return self._read(story).times

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """Yields the states of these layers, (layer, time, unit), in one block."""
        yield StateBlock(0, self._read(story).states[list(layers)])

    def close(self) -> None:
        """Frees the states of the file that was read last."""
        self._held = None

    def _read(self, story: Story) -> FeatureFile:
        name = self.request.model.name
        if name not in story.features:
            has = ", ".join(sorted(story.features)) or "none"
            raise NotFoundError(f"story {story.name!r} has no features {name!r}; it has: {has}")
        path = story.features[name]
        if self._held is None or self._held[0] != path:
            self._held = path, read_features(path)
        features = self._held[1]
        if len(features.states) != len(self.layers()):
            raise DataError(
                f"{path}: {len(features.states)} layers of states, expected {len(self.layers())}"
            )
        return features


def read_features(path: Path) -> FeatureFile:
    """Reads and checks a file of precomputed states.

    Parameters
    ----------
    path : Path
        An ``.npz`` archive with ``times`` (time,), in seconds, and ``states`` (layer, time, unit)
        or (time, unit), which is one layer.

    Returns
    -------
    FeatureFile

    Raises
    ------
    DataError
        If it is not such an archive. The message names the file and what is wrong with it.
    """
    times, states = _read_arrays(path)
    _check_shapes(path, times, states)
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
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which is reported below
        states = states.astype(np.float32).reshape(-1, *states.shape[-2:])
    if not np.isfinite(states).all():
        layer, row, unit = np.argwhere(~np.isfinite(states))[0]
        raise DataError(f"{path}: states, layer {layer}, time {row}, unit {unit} is not finite")
    return FeatureFile(times, states)


def _read_arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Times and states as they are in the file."""
    try:
        # Opened here, so that it is closed whatever NumPy does with it.
        with require_downloaded(path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array, not an .npz archive")
            if missing := [name for name in ("times", "states") if name not in archive]:
                raise DataError(
                    f"{path}: no array {missing[0]!r}; it has {', '.join(archive.files) or 'none'}"
                )
            return np.asarray(archive["times"]), np.asarray(archive["states"])
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not an .npz archive of numbers ({reason})") from error


def _check_shapes(path: Path, times: NDArray[Any], states: NDArray[Any]) -> None:
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

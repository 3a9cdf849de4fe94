"""Causal windows of sound: their options, and the frames that a network makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voxelzoo.api import AudioWindow, UsageError

WINDOW = 16.1
"""Seconds of sound that a state may depend on: 16 s of context and one stride (paper's script)."""

STRIDE = 0.1
"""Seconds between states."""

GPU_BATCH = 32
"""Windows of a forward pass on a GPU; halved if they do not fit."""


@dataclass(frozen=True)
class WindowRule:
    """Length and stride of the windows."""

    length: float = WINDOW
    """Seconds of sound in a window, at most."""
    stride: float = STRIDE
    """Seconds from the end of a window to the end of the next."""
    full_context: bool = False
    """Drop the windows at the beginning of a story that are shorter than ``length``."""

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> WindowRule:
        """The rule of the options ``window``, ``stride`` and ``full_context``.

        Parameters
        ----------
        options : mapping of str to str
            As typed; others are ignored.

        Returns
        -------
        WindowRule
            The rule.

        Raises
        ------
        UsageError
            If a value is invalid.
        """
        return cls(
            _seconds("window", options.get("window"), WINDOW),
            _seconds("stride", options.get("stride"), STRIDE),
            _flag("full_context", options.get("full_context", "false")),
        )

    @property
    def shortest(self) -> float:
        """Seconds of the shortest window."""
        return self.length if self.full_context else self.stride


def _seconds(name: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{name} {text!r}: use a positive number of seconds")
    return seconds


def _flag(name: str, text: str) -> bool:
    if text.lower() in ("true", "yes", "1"):
        return True
    if text.lower() in ("false", "no", "0"):
        return False
    raise UsageError(f"{name} {text!r}: use true or false")


def next_windows(
    windows: Sequence[AudioWindow], first: int, size: int, equal_lengths: bool
) -> Sequence[AudioWindow]:
    """Windows that are fed together.

    Parameters
    ----------
    windows : sequence of AudioWindow
        All windows of a story.
    first : int
        The first of the batch.
    size : int
        Number of windows, at most.
    equal_lengths : bool
        Only windows as long as the first.

    Returns
    -------
    sequence of AudioWindow
        At least one window.
    """
    few = windows[first : first + size]
    if equal_lengths:
        length = few[0].stop - few[0].start
        few = [window for window in few if window.stop - window.start == length]
    return few


def conv_frames(n_samples: int, convolutions: Sequence[tuple[int, int]]) -> int:
    """Frames that convolutions without padding make of a number of samples.

    Parameters
    ----------
    n_samples : int
        Length of the sound.
    convolutions : sequence of (int, int)
        Kernel and stride of each.

    Returns
    -------
    int
        Number of frames.

    Examples
    --------
    >>> conv_frames(16000, [(10, 5), (3, 2)])
    1599
    """
    n = n_samples
    for kernel, stride in convolutions:
        n = (n - kernel) // stride + 1 if n >= kernel else 0
    return n

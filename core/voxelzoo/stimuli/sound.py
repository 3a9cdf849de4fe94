"""A recording at a model's rate, read forward in bounded memory, without looking ahead.

Resampling looks a few samples ahead. What a listener has heard at time ``t`` is therefore not the
beginning of the resampled recording: its last samples are those of a recording that ends at ``t``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.errors import DataError
from voxelzoo.stimuli.audio import Audio

Samples = NDArray[np.float32]


PIECE = 30.0
"""Seconds of a recording that are read at once."""


LOWEST_RATE = 4000
"""Samples per second below which a recording cannot hold speech."""


FULL_SCALE = 0.999
"""Magnitude from which a sample counts as clipped."""


CLIPPED = 1e-3
"""Share of clipped samples that is reported."""


_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99
"""Half-length and cut-off of torchaudio's default resampling kernel."""


def n_samples_at(audio: Audio, rate: int) -> int:
    """Number of samples of a recording after resampling.

    Parameters
    ----------
    audio : Audio
        The recording.
    rate : int
        Samples per second.

    Returns
    -------
    int
    """
    return -(-audio.n_samples * rate // audio.native_rate)


class SoundStream:
    """A recording at another rate, channels averaged; samples already passed are released.

    Parameters
    ----------
    audio : Audio
        The recording.
    rate : int
        Samples per second.
    """

    def __init__(self, audio: Audio, rate: int) -> None:
        self.n_samples = n_samples_at(audio, rate)
        divisor = math.gcd(audio.native_rate, rate)
        self._in, self._out = audio.native_rate // divisor, rate // divisor
        lowest = min(self._in, self._out) * _ROLLOFF
        self._reach = math.ceil(_ZERO_CROSSINGS * self._in / lowest)
        # Output comes in groups of ``out`` for ``in`` samples; a group needs these on either side.
        self._margin = -(-(self._reach + self._in) // self._in)
        self._resample: Any = None
        if self._in != self._out:
            from torchaudio.transforms import Resample

            self._resample = Resample(self._in, self._out)
        self._pieces = audio.pieces(round(PIECE * audio.native_rate))
        self._native: Samples = np.zeros(0, np.float32)
        self._native_start = 0  # a multiple of ``in``
        self._ended = False
        self._sound: Samples = np.zeros(0, np.float32)
        self._start = 0

    def span(self, start: int, stop: int) -> Samples:
        """Samples of the resampled recording.

        Parameters
        ----------
        start, stop : int
            Range of samples; ``start`` must not decrease from call to call.

        Returns
        -------
        ndarray of float32
            (sample,), shorter if the recording ends before ``stop``.
        """
        self._forget(start)
        while self._start + len(self._sound) < stop and not self._ended:
            self._read_on()
            self._forget(start)
        return self._sound[: stop - start]

    def ending(self, stop: int) -> Samples:
        """The last samples before ``stop``, of the recording cut off at that moment.

        They are as many as later sound changes. To be called after :meth:`span` has reached
        ``stop`` and before it has moved beyond it.

        Parameters
        ----------
        stop : int
            End of the samples, exclusive.

        Returns
        -------
        ndarray of float32
            (sample,); empty if the recording is not resampled.
        """
        if self._resample is None:
            return self._sound[:0]
        heard = -(-stop * self._in // self._out)  # native samples that precede the moment
        settled = max(0, (heard - self._reach) // self._in - 1)  # groups that need no more
        first = max(0, settled - self._margin)
        known = self._native[first * self._in - self._native_start : heard - self._native_start]
        sound = self._resampled(known)[(settled - first) * self._out :]
        return sound[: stop - settled * self._out]

    def _read_on(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = True
            piece = self._native[:0]
        if self._resample is None:
            self._sound = np.concatenate([self._sound, piece])
            return
        self._native = np.concatenate([self._native, piece])
        done = (self._start + len(self._sound)) // self._out  # groups
        first = max(0, done - self._margin)
        known = (self._native_start + len(self._native)) // self._in
        last = known - self._margin
        if not (self._ended or last > done):
            return
        tail = len(self._native) if self._ended else known * self._in - self._native_start
        sound = self._resampled(self._native[first * self._in - self._native_start : tail])
        begin = (done - first) * self._out
        end = len(sound) if self._ended else begin + (last - done) * self._out
        self._sound = np.concatenate([self._sound, sound[begin:end]])

    def _forget(self, start: int) -> None:
        """Releases sound before ``start``, and native samples that nothing later needs."""
        drop = min(start - self._start, len(self._sound))
        self._sound = self._sound[drop:]
        self._start += drop
        if self._resample is None:
            return
        first = max(0, self._start // self._out - 3 * self._margin) * self._in
        self._native = self._native[first - self._native_start :]
        self._native_start = first

    def _resampled(self, native: Samples) -> Samples:
        import torch

        sound: Samples = self._resample(torch.from_numpy(np.ascontiguousarray(native))).numpy()
        return sound


@dataclass(frozen=True)
class Examination:
    """Loudness of a recording."""

    peak: float
    """Largest magnitude of a sample; 1 is full scale."""
    clipped: float
    """Share of samples at full scale."""


def examine(audio: Audio, rate: int) -> Iterator[str]:
    """Reads a recording once and reports what may spoil a model's states.

    Parameters
    ----------
    audio : Audio
        The recording.
    rate : int
        Samples per second that the model expects.

    Yields
    ------
    str
        One line per problem: clipping; a rate below the model's.

    Raises
    ------
    DataError
        If the recording is empty, not finite, silent throughout, or its rate is too low for speech.
    """
    where = audio.path or "audio in memory"
    native = audio.native_rate
    if native < LOWEST_RATE:
        raise DataError(
            f"{where}: {native} samples a second cannot hold speech; is the rate right?"
        )
    loudness = _examined(audio)
    if loudness.peak == 0:
        raise DataError(f"{where}: silent throughout; every state would be the same")
    if loudness.clipped > CLIPPED:
        share = f"{loudness.clipped:.1%}"
        yield f"{where}: {share} of its samples are clipped (at full scale or beyond)"
    if native < rate:
        yield (
            f"{where}: recorded at {native} Hz, below the model's {rate} Hz; "
            f"it hears nothing above {native // 2} Hz"
        )


def _examined(audio: Audio) -> Examination:
    peak, clipped, n = 0.0, 0, 0
    for piece in audio.pieces(round(PIECE * audio.native_rate)):
        loudness = np.abs(piece)
        peak = max(peak, float(loudness.max()))
        clipped += int((loudness >= FULL_SCALE).sum())
        n += len(piece)
    return Examination(peak, clipped / n)

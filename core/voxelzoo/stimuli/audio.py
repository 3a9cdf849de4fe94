"""A story's sound: in a file, in memory, or generated when it is first heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.blocks import blocks
from voxelzoo.errors import DataError
from voxelzoo.stimuli.files import content_digest, require_downloaded

Floats = NDArray[np.float64]

_PIECE = 1 << 22
"""Samples that :meth:`Audio.read` reads at once."""


@dataclass(frozen=True)
class GeneratedSound:
    """Sound that is computed when it is first heard, so that its digest and length cost nothing."""

    n_samples: int
    """Samples of each channel."""
    digest: str
    """Digest of everything that determines the samples."""
    generate: Callable[[], NDArray[np.float32]]
    """Returns the samples, (sample,) or (sample, channel)."""


@dataclass(frozen=True)
class Audio:
    """A recording, in a file or in memory.

    Parameters
    ----------
    path : Path, optional
        A file that soundfile reads (wav, flac, ogg, mp3).
    samples : ndarray of float32 or GeneratedSound, optional
        (sample,) or (sample, channel), instead of ``path``.
    rate : int, optional
        Sampling rate of ``samples`` in Hz.
    start : float, default 0.0
        Time of the first sample on the story's clock, in seconds.

    Raises
    ------
    DataError
        If there is not exactly one of ``path`` and ``samples``, or samples have no rate.
    """

    path: Path | None = None
    samples: NDArray[np.float32] | GeneratedSound | None = None
    rate: int | None = None
    start: float = 0.0

    def __post_init__(self) -> None:
        if (self.path is None) == (self.samples is None):
            raise DataError("audio needs either a file or samples, not both")
        if self.samples is not None and not self.rate:
            raise DataError("samples in memory need their rate in Hz")

    @cached_property
    def _header(self) -> tuple[int, int]:
        """Number of samples and rate, without reading the sound."""
        if self.samples is not None:
            assert self.rate is not None
            if isinstance(self.samples, GeneratedSound):
                return self.samples.n_samples, self.rate
            return len(self.samples), self.rate
        import soundfile

        assert self.path is not None
        require_downloaded(self.path)
        try:
            info = soundfile.info(str(self.path))
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{self.path}: not readable as audio ({error})") from error
        return int(info.frames), int(info.samplerate)

    @property
    def native_rate(self) -> int:
        """Sampling rate of the recording, in Hz.

        Raises
        ------
        DataError
            If the file is missing or damaged.
        """
        return self._header[1]

    @property
    def n_samples(self) -> int:
        """Samples of each channel, at :attr:`native_rate`."""
        return self._header[0]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        n_samples, rate = self._header
        return n_samples / rate

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sound and its start."""
        if self.path is not None:
            return content_digest(self.path, repr(self.start))
        assert self.samples is not None
        if isinstance(self.samples, GeneratedSound):
            return content_digest(self.samples.digest, repr((self.rate, self.start)))
        return content_digest(self.samples, repr((self.rate, self.start)))

    def array(self) -> NDArray[np.float32]:
        """The samples of a recording that is not in a file, (sample,) or (sample, channel).

        Raises
        ------
        DataError
            If the recording is in a file.
        """
        if self.samples is None:
            raise DataError(f"{self.path}: this recording is in a file, not in memory")
        if isinstance(self.samples, GeneratedSound):
            return self.samples.generate()
        return self.samples

    def pieces(self, size: int) -> Iterator[NDArray[np.float32]]:
        """The recording at its native rate, a piece at a time; channels are averaged.

        Parameters
        ----------
        size : int
            Samples of a piece; the last may be shorter.

        Yields
        ------
        ndarray of float32
            (sample,).

        Raises
        ------
        DataError
            If the sound is empty, not finite, or shorter than the file says.
        """
        where = self.path or "audio in memory"
        done = 0
        for sound in self._raw_pieces(size):
            mono = sound if sound.ndim == 1 else sound.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                first = done + int(np.flatnonzero(~np.isfinite(mono))[0])
                raise DataError(
                    f"{where}: sample {first} ({first / self.native_rate:.3f} s) is not a finite "
                    "number"
                )
            done += len(mono)
            yield mono
        if not done:
            raise DataError(f"{where}: no samples")
        if done != self.n_samples:
            raise DataError(
                f"{where}: ends after {done} samples of {self.n_samples}; the file is cut short"
            )

    def _raw_pieces(self, size: int) -> Iterator[NDArray[np.float32]]:
        n_samples, _ = self._header  # reports a damaged file
        if self.samples is not None:
            samples = self.array()
            for part in blocks(n_samples, size):
                yield np.asarray(samples[part], dtype=np.float32)
            return
        import soundfile

        try:
            with soundfile.SoundFile(str(self.path)) as file:
                while len(sound := file.read(size, dtype="float32", always_2d=True)):
                    yield sound
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{self.path}: not readable as audio ({error})") from error

    def read(self, rate: int) -> NDArray[np.float32]:
        """The whole recording, channels averaged, resampled by torchaudio if necessary.

        Parameters
        ----------
        rate : int
            Sampling rate of the result, in Hz.

        Returns
        -------
        ndarray of float32
            (sample,).

        Raises
        ------
        DataError
            As :meth:`pieces`.
        """
        sound = np.concatenate(list(self.pieces(_PIECE)))
        if rate != self.native_rate:
            import torch
            from torchaudio.transforms import Resample  # its kernel is computed in float64

            sound = Resample(self.native_rate, rate)(torch.from_numpy(sound)).numpy()
        return np.ascontiguousarray(sound, dtype=np.float32)

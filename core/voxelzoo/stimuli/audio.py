"""A story's sound: in a file, or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.blocks import blocks
from voxelzoo.errors import DataError
from voxelzoo.stimuli.files import content_digest, require_downloaded

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Audio:
    """A recording, in a file that soundfile reads (wav, flac, ogg, mp3) or in memory.

    ``samples`` (sample,) or (sample, channel), float32, go with ``rate``; or ``path`` names a file.
    ``start`` is the story-clock time of the first sample, in seconds.
    """

    path: Path | None = None
    samples: NDArray[np.float32] | None = None
    rate: int | None = None
    start: float = 0.0

    def __post_init__(self) -> None:
        if (self.path is None) == (self.samples is None):
            raise DataError("audio is either a file or samples in memory")
        if self.samples is not None and not self.rate:
            raise DataError("samples in memory need their rate in Hz")

    @cached_property
    def _header(self) -> tuple[int, int]:
        """(samples, rate) without reading the sound."""
        if self.samples is not None:
            assert self.rate is not None
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
        """Samples per second as recorded."""
        return self._header[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        frames, rate = self._header
        return frames / rate

    @cached_property
    def digest(self) -> str:
        """Digest of the sound."""
        if self.path is not None:
            return content_digest(self.path, repr(self.start))
        assert self.samples is not None
        return content_digest(self.samples, repr((self.rate, self.start)))

    @property
    def n_samples(self) -> int:
        """Samples of each channel, as recorded."""
        return self._header[0]

    def pieces(self, size: int) -> Iterator[NDArray[np.float32]]:
        """The recording as it is, mono, ``size`` samples at a time: (sample,) float32 each.

        Channels are averaged. Raises :class:`DataError` for sound that is empty, not finite, or
        shorter than the file says.
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
        n_samples, _ = self._header  # a damaged file is named here
        if self.samples is not None:
            for part in blocks(n_samples, size):
                yield np.asarray(self.samples[part], dtype=np.float32)
            return
        import soundfile

        try:
            with soundfile.SoundFile(str(self.path)) as file:
                while len(sound := file.read(size, dtype="float32", always_2d=True)):
                    yield sound
        except (soundfile.SoundFileError, OSError) as error:
            raise DataError(f"{self.path}: not readable as audio ({error})") from error

    def read(self, rate: int) -> NDArray[np.float32]:
        """The whole recording, mono, at ``rate`` Hz: (sample,) float32.

        Resampling is torchaudio's. Raises :class:`DataError` as :meth:`pieces` does.
        """
        sound = np.concatenate(list(self.pieces(1 << 22)))
        if rate != self.native_rate:
            import torch
            from torchaudio.transforms import Resample  # its kernel is worked out in float64

            sound = Resample(self.native_rate, rate)(torch.from_numpy(sound)).numpy()
        return np.ascontiguousarray(sound, dtype=np.float32)

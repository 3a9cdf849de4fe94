"""The podcast ECoG dataset (Zada et al. 2025), OpenNeuro ds005574: one story, 30 minutes.

::

    stimuli/podcast_transcript.csv                                       word, start, end
    stimuli/podcast.wav
    derivatives/ecogprep/sub-01/ieeg/sub-01_task-podcast_desc-highgamma_ieeg.fif

What is read: the published high-gamma power, averaged in bins (a bin takes the place of a TR, an
electrode that of a voxel), and the words of the transcript; both from the recording's time 0. What
is not: raw voltages (``sub-*/ieeg/*.edf`` and the derivative without ``desc-highgamma``), whose
filtering is the lab's. Reading is mne's: ``pip install 'voxelzoo[ecog]'``.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    MissingError,
    ScanClock,
    Story,
    content_digest,
    require_downloaded,
)
from voxelzoo_datasets.declared import PODCAST
from voxelzoo_datasets.names import check_name, listed
from voxelzoo_datasets.options import check_options, choice, seconds
from voxelzoo_datasets.plugin import PODCAST_ECOG
from voxelzoo_datasets.tables import Row, Untimed, make_words, place_untimed, read_table

NAME = "podcast-ecog"
STORY = "podcast"

_PREPARATION = 1
"""Raised whenever the same files and options would give other responses."""

_OPTIONS = {
    "subjects": "comma-separated, such as sub-03 (default: all there are)",
    "bin": "seconds that are averaged into one row (default 0.1)",
    "untimed": "words without a time: spread (default) between neighbours, or drop",
}


class PodcastDataset:
    """Patients who heard the podcast; the one story is evaluated by contiguous folds.

    Raises :class:`DataError` naming the file and the fault.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options(NAME, options, _OPTIONS)
        self._stimuli = path / "stimuli"
        self._bin = seconds("bin", options.get("bin", "0.1"), least=1e-3)
        self._untimed = choice("untimed", options.get("untimed", "spread"), ("spread", "drop"))
        folder = path / "derivatives" / "ecogprep"
        self._files = {
            file.name.partition("_")[0]: file
            for file in sorted(
                folder.glob(f"sub-*/ieeg/sub-*_task-{STORY}_desc-highgamma_ieeg.fif")
            )
        }
        if not self._files:
            raise DataError(
                f"{folder}: no sub-*/ieeg/*_task-{STORY}_desc-highgamma_ieeg.fif; of this dataset "
                "the high-gamma derivative is read, and no raw voltage"
            )
        asked = listed(options.get("subjects", ""))
        for subject in asked:
            check_name("subject", subject, self._files, NAME)
        self._subjects = asked or tuple(self._files)
        self._recording = cache(_open)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            PODCAST_ECOG, "High-gamma power of electrodes during a podcast, OpenNeuro ds005574."
        )

    def subjects(self) -> tuple[str, ...]:
        """The chosen patients."""
        return self._subjects

    def train_stories(self) -> tuple[str, ...]:
        """The one story."""
        return (STORY,)

    def test_stories(self) -> tuple[str, ...]:
        """None: evaluation is by contiguous folds."""
        return ()

    def story(self, name: str) -> Story:
        """Words and sound of the podcast."""
        check_name("story", name, (STORY,), NAME)
        table = self._stimuli / "podcast_transcript.csv"
        rows = read_table(table, need=("word", "start", "end"))
        timed = place_untimed(table, map(_timed, rows), spread=self._untimed == "spread")
        sound = self._stimuli / "podcast.wav"
        return Story(
            STORY,
            words=make_words(table, timed),
            audio=Audio(path=sound) if sound.is_symlink() or sound.exists() else None,
        )

    def clock(self, story: str) -> ScanClock:
        """Bins from the recording's first sample on, the same for every patient."""
        check_name("story", story, (STORY,), NAME)
        clocks = {subject: self._clock(self._files[subject]) for subject in self._subjects}
        first = clocks[self._subjects[0]]
        for subject, clock in clocks.items():
            if clock != first:
                raise DataError(
                    f"{self._files[subject]}: {clock.n_trs} bins from {clock.start:g} s, "
                    f"{self._subjects[0]} has {first.n_trs} from {first.start:g} s; choose with "
                    "--dataset-option subjects=..."
                )
        return first

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(bin, electrode): mean high-gamma power, standardised by electrode.

        Electrodes that the publishers marked as bad are left out.
        """
        check_name("subject", subject, self._subjects, NAME)
        clock = self.clock(story)
        file = self._files[subject]
        recording = self._recording(file)
        good = [name for name in recording.ch_names if name not in recording.info["bads"]]
        if not good:
            raise DataError(f"{file}: every electrode is marked as bad")
        edges = self._edges(file, clock.n_trs)
        try:
            power = recording.get_data(picks=good, stop=int(edges[-1]))
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{file}: cannot be read ({_line(error)})") from error
        bins = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
        rows = bins.T
        spread = rows.std(axis=0)
        centred = rows - rows.mean(axis=0)
        return np.asarray(centred / np.where(spread > 0, spread, 1), dtype=np.float32)

    def voxel_labels(self, subject: str) -> None:
        """None: the recordings name electrodes, not regions."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the recording and of how it is binned."""
        check_name("subject", subject, self._subjects, NAME)
        check_name("story", story, (STORY,), NAME)
        return content_digest(f"{NAME} {_PREPARATION} {self._bin!r}", self._files[subject])

    def disagreements(self) -> list[str]:
        """A line for each recording that is not sampled as published."""
        rates = {s: float(self._recording(self._files[s]).info["sfreq"]) for s in self._subjects}
        return [
            f"{subject}: {rate:g} Hz, published with {1 / PODCAST.tr:g} Hz"
            for subject, rate in rates.items()
            if abs(rate * PODCAST.tr - 1) > 1e-6
        ]

    def _clock(self, file: Path) -> ScanClock:
        recording = self._recording(file)
        rate = float(recording.info["sfreq"])
        if self._bin * rate < 1:
            raise DataError(f"{file}: {rate:g} Hz, so a bin of {self._bin:g} s has no sample")
        n_bins = int(recording.n_times / rate / self._bin + 1e-9)
        if n_bins < 2:
            raise DataError(f"{file}: {recording.n_times / rate:g} s are {n_bins} bins")
        return ScanClock(tr=self._bin, start=recording.first_samp / rate, n_trs=n_bins)

    def _edges(self, file: Path, n_bins: int) -> NDArray[np.intp]:
        """First sample of each bin, and the sample after the last."""
        rate = float(self._recording(file).info["sfreq"])
        edges: NDArray[np.intp] = np.round(np.arange(n_bins + 1) * self._bin * rate).astype(np.intp)
        return edges


def _timed(row: Row) -> Untimed:
    return row.text("word"), row.number_or_none("start"), row.number_or_none("end")


def _open(file: Path) -> Any:
    """The recording, its samples not read yet."""
    try:
        import mne
    except ImportError:
        raise MissingError("ECoG recordings need mne; run: pip install 'voxelzoo[ecog]'") from None
    require_downloaded(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's name, which is BIDS's and not mne's
            return mne.io.read_raw_fif(file, verbose="ERROR")
    except FileNotFoundError:
        raise DataError(f"{file}: missing") from None
    except Exception as error:
        # The reader raises whatever its parser meets in a damaged file.
        raise DataError(f"{file}: not a FIF recording ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]

"""The podcast ECoG dataset (Zada et al. 2025), OpenNeuro ds005574: one story, 30 minutes.

::

    stimuli/podcast_transcript.csv                                       word, start, end
    stimuli/podcast.wav
    derivatives/ecogprep/sub-01/ieeg/sub-01_task-podcast_desc-highgamma_ieeg.fif

Responses are the published high-gamma power, averaged in time bins: a bin takes the place of a TR
and an electrode that of a voxel. Words come from the transcript, timed from the start of the
recording. Raw voltages (``sub-*/ieeg/*.edf`` and the derivative without ``desc-highgamma``) are not
used. Recordings are read with mne: ``pip install 'voxelzoo[ecog]'``.
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
from voxelzoo_datasets.tables import UNTIMED, Row, Untimed, make_words, place_untimed, read_table

NAME = "podcast-ecog"
STORY = "podcast"

_PREPARATION = 1
"""Increase whenever the same files and options give different responses."""

_OPTIONS = {
    "subjects": "comma-separated, such as sub-03 (default: all)",
    "bin": "width of a time bin in seconds (default 0.1)",
    "untimed": "words without times: keep (default) in the text without a state, spread between "
    "their neighbours, or drop",
}


class PodcastDataset:
    """Patients who heard the podcast; the one story is evaluated by contiguous folds.

    Parameters
    ----------
    path : Path
        Root of ds005574.
    **options : str
        - ``subjects``: comma-separated, such as sub-03 (default: all).
        - ``bin``: width of a time bin, in seconds (default 0.1).
        - ``untimed``: words without times: ``keep`` (default), in the text without a state;
          ``spread`` between their neighbours; or ``drop``.

    Raises
    ------
    UsageError
        If an option is unknown or invalid.
    DataError
        If a file is missing or damaged; the message names it.
    """

    def __init__(self, path: Path, **options: str) -> None:
        check_options(NAME, options, _OPTIONS)
        self._stimuli = path / "stimuli"
        self._bin = seconds("bin", options.get("bin", "0.1"), least=1e-3)
        self._untimed = choice("untimed", options.get("untimed", "keep"), UNTIMED)
        folder = path / "derivatives" / "ecogprep"
        self._files = {
            file.name.partition("_")[0]: file
            for file in sorted(
                folder.glob(f"sub-*/ieeg/sub-*_task-{STORY}_desc-highgamma_ieeg.fif")
            )
        }
        if not self._files:
            raise DataError(
                f"{folder}: no sub-*/ieeg/*_task-{STORY}_desc-highgamma_ieeg.fif; only the "
                "high-gamma derivative is supported, not raw voltages"
            )
        requested = listed(options.get("subjects", ""))
        for subject in requested:
            check_name("subject", subject, self._files, NAME)
        self._subjects = requested or tuple(self._files)
        self._recording = cache(_open)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            PODCAST_ECOG,
            "High-gamma power of electrodes during a podcast, OpenNeuro ds005574.",
            delays="1,2,3,4",
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
        timed = place_untimed(table, map(_timed, rows), self._untimed)
        sound = self._stimuli / "podcast.wav"
        return Story(
            STORY,
            words=make_words(table, timed),
            audio=Audio(path=sound) if sound.is_symlink() or sound.exists() else None,
        )

    def clock(self, story: str) -> ScanClock:
        """Time bins from the first sample of the recording, the same for every patient."""
        check_name("story", story, (STORY,), NAME)
        clocks = {subject: self._clock(self._files[subject]) for subject in self._subjects}
        first = clocks[self._subjects[0]]
        for subject, clock in clocks.items():
            if clock != first:
                raise DataError(
                    f"{self._files[subject]}: {clock.n_trs} bins from {clock.start:g} s, but "
                    f"{self._subjects[0]} has {first.n_trs} from {first.start:g} s; choose with "
                    "--dataset-option subjects=..."
                )
        return first

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Mean high-gamma power, (bin, electrode), z-scored per electrode.

        Electrodes marked as bad by the publishers are excluded.
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
        scale = rows.std(axis=0)
        centred = rows - rows.mean(axis=0)
        return np.asarray(centred / np.where(scale > 0, scale, 1), dtype=np.float32)

    def voxel_labels(self, subject: str) -> None:
        """None; no region labels are published."""

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the recording and the bin width."""
        check_name("subject", subject, self._subjects, NAME)
        check_name("story", story, (STORY,), NAME)
        return content_digest(f"{NAME} {_PREPARATION} {self._bin!r}", self._files[subject])

    def disagreements(self) -> list[str]:
        """One line for each recording whose sampling rate differs from the published one."""
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
            raise DataError(
                f"{file}: {recording.n_times / rate:g} s are {n_bins} bins; at least 2 are needed"
            )
        return ScanClock(tr=self._bin, start=recording.first_samp / rate, n_trs=n_bins)

    def _edges(self, file: Path, n_bins: int) -> NDArray[np.intp]:
        """First sample of each bin, and the sample after the last."""
        rate = float(self._recording(file).info["sfreq"])
        edges: NDArray[np.intp] = np.round(np.arange(n_bins + 1) * self._bin * rate).astype(np.intp)
        return edges


def _timed(row: Row) -> Untimed:
    return row.text("word"), row.number_or_none("start"), row.number_or_none("end")


def _open(file: Path) -> Any:
    """Open a recording; samples are read later."""
    try:
        import mne
    except ImportError:
        raise MissingError("ECoG recordings need mne; run: pip install 'voxelzoo[ecog]'") from None
    require_downloaded(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the file is named as BIDS requires, not as mne expects
            return mne.io.read_raw_fif(file, verbose="ERROR")
    except FileNotFoundError:
        raise DataError(f"{file}: missing") from None
    except Exception as error:
        # A damaged file can raise almost any exception in mne's parser.
        raise DataError(f"{file}: not a FIF recording ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]

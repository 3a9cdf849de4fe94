"""Any other output of fMRIPrep, or data in the same layout (BIDS derivatives).

::

    sub-01/func/sub-01_task-story_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz    or
    sub-01/func/sub-01_task-story_hemi-L_space-fsaverage5_bold.func.gii, and hemi-R     or
    sub-01/func/sub-01_task-story_space-fsLR_den-91k_bold.dtseries.nii
    sub-01/func/..._desc-brain_mask.nii.gz, ..._desc-confounds_timeseries.tsv, ....json

A story is a task, or one run of a task; sessions are repeats. Words come from the run's
``events.tsv`` (``trial_type`` ``word``), or from a folder of TextGrids or CSV files timed from the
start of the sound; the onset of the sound then places them in the scan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    NotFoundError,
    Story,
    UsageError,
    Words,
    read_textgrid,
    read_words_csv,
)
from voxelzoo_datasets.imaging import (
    OPTIONS,
    ImagingDataset,
    Run,
    entities,
    join_hemispheres,
    read_json,
)
from voxelzoo_datasets.options import seconds
from voxelzoo_datasets.tables import make_words, read_table

_ENDINGS = (
    "_bold.nii.gz",
    "_bold.nii",
    "_bold.func.gii",
    "_bold.dtseries.nii",
    "_bold.ptseries.nii",
)


class BidsDataset(ImagingDataset):
    """A folder of BIDS derivatives. With several stories, ``test`` names those held out.

    Parameters
    ----------
    path : Path
        The folder of derivatives.
    **options : str
        The options of :data:`voxelzoo_datasets.imaging.OPTIONS`, and

        - ``space``: such as MNI152NLin2009cAsym (default: the only one).
        - ``raw``: the BIDS folder with ``events.tsv`` (default: next to or above the derivatives).
        - ``words``: folder of ``<story>.TextGrid`` or ``<story>.csv`` (default: ``events.tsv``).
        - ``word_column``: column of ``events.tsv`` with the words (default ``word``).
        - ``audio``: folder of ``<story>.wav`` or ``.flac``.
        - ``sound_start``: onset of the sound in seconds (default: the run's first event).

    Raises
    ------
    UsageError
        If an option is unknown or invalid, or runs in several spaces need ``space``.
    DataError
        If a file is missing or damaged; the message names it.
    """

    name = "bids"
    allowed_options = OPTIONS | {
        "space": "such as MNI152NLin2009cAsym, fsaverage5 or fsLR (default: the only one)",
        "raw": "BIDS folder with events.tsv (default: next to or above the derivatives)",
        "words": "folder of <story>.TextGrid or <story>.csv, timed from the start of the sound",
        "word_column": "column of events.tsv with the words (default word)",
        "audio": "folder of <story>.wav or .flac",
        "sound_start": "onset of the sound in seconds after the first acquired volume "
        "(default: the run's first event)",
    }

    def __init__(self, path: Path, **options: str) -> None:
        self._words_folder = _folder(options.get("words"), "words")
        self._audio_folder = _folder(options.get("audio"), "audio")
        raw = _folder(options.get("raw"), "raw")
        above = path.parent.parent if path.parent.name == "derivatives" else path
        self._raw_folder = raw or above
        super().__init__(path, options)

    def info(self) -> DatasetInfo:
        """Name, licence and citation, from ``dataset_description.json``."""
        file = self.root / "dataset_description.json"
        description = read_json(file) if file.exists() else {}
        licence, citation = description.get("License"), description.get("HowToAcknowledge")
        return DatasetInfo(
            name=self.name,
            summary=str(description.get("Name", "BIDS derivatives.")),
            licence=licence if isinstance(licence, str) else None,
            citation=citation if isinstance(citation, str) else None,
            preparation=self.cleaning.describe(),
        )

    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """The runs in one space, by subject and story."""
        files = [
            file
            for ending in _ENDINGS
            for file in self.root.glob(f"sub-*/**/*{ending}")
            if {"sub", "task"} <= entities(file.name).keys()
        ]
        spaces = sorted({entities(file.name).get("space", "native") for file in files})
        if not spaces:
            raise DataError(f"{self.root}: no sub-*/func/sub-*_task-*_bold.nii.gz, .gii or CIFTI")
        space = self.options.get("space", spaces[0])
        if "space" not in self.options and len(spaces) > 1:
            raise UsageError(
                f"{self.root}: runs in {', '.join(spaces)}; choose with --dataset-option space=..."
            )
        if space not in spaces:
            raise NotFoundError(f"{self.root}: no space {space!r}; it has {', '.join(spaces)}")
        runs: dict[str, dict[str, tuple[Run, ...]]] = {}
        for images in join_hemispheres(
            [f for f in files if entities(f.name).get("space", "native") == space]
        ):
            labels = entities(images[0].name)
            story = labels["task"] + (f"_run-{labels['run']}" if "run" in labels else "")
            stories = runs.setdefault(f"sub-{labels['sub']}", {})
            stories[story] = (*stories.get(story, ()), Run(images))
        for subject, stories in runs.items():
            for story, repeats in stories.items():
                sessions = {entities(run.first.name).get("ses") for run in repeats}
                if len(sessions) != len(repeats):
                    raise DataError(
                        f"{repeats[1].first}: a second image of {subject}, {story}, in the "
                        "same session; keep one"
                    )
        return runs

    def sidecar(self, run: Run) -> dict[str, Any]:
        """The derivative's sidecar, otherwise the raw run's or the task's."""
        sidecar = super().sidecar(run)
        if sidecar:
            return sidecar
        for file in self._raw_files(run, "bold.json"):
            return read_json(file)
        return {}

    def story(self, name: str) -> Story:
        """Words and sound, in scan time."""
        self.check_story(name)
        sound = _first(self._audio_folder, name, (".wav", ".flac", ".mp3", ".ogg"))
        words = _first(self._words_folder, name, (".TextGrid", ".csv"))
        if self._words_folder is not None and words is None:
            raise DataError(f"{self._words_folder}: no {name}.TextGrid or {name}.csv")
        timed = self._read_words(words, name) if words is not None else self._event_words(name)
        audio = None
        if sound is not None:
            audio = Audio(path=sound, start=self._sound_start(name))
        return Story(name, words=timed, audio=audio)

    # ------------------------------------------------------------------------------------ details

    def _read_words(self, path: Path, story: str) -> Words:
        words = read_words_csv(path) if path.suffix == ".csv" else read_textgrid(path)
        return words.shifted(self._sound_start(story))

    def _sound_start(self, story: str) -> float:
        """Onset of the sound, in seconds after the start of the first acquired volume."""
        if "sound_start" in self.options:
            return seconds("sound_start", self.options["sound_start"])
        onsets: dict[Path, float] = {}
        for file in self._events(story):
            rows = read_table(file, need=("onset",))
            if not rows:
                raise DataError(f"{file}: no events")
            onsets[file] = min(row.number("onset") for row in rows)
        if not onsets:
            raise UsageError(
                f"{self.name}: {story!r} has no events.tsv; pass the onset of its sound: "
                "--dataset-option sound_start=SECONDS"
            )
        self._require_same(onsets, "its first event is at {} s, but at {} s")
        return next(iter(onsets.values()))

    def _event_words(self, story: str) -> Words | None:
        """Rows with ``trial_type`` word, which must be the same for every subject."""
        column = self.options.get("word_column", "word")
        words_of: dict[Path, Words] = {}
        for file in self._events(story):
            rows = read_table(file, need=("onset", "duration", "trial_type"))
            rows = [row for row in rows if row.text("trial_type").lower() == "word"]
            if not rows:
                continue
            if column not in rows[0].values:
                raise DataError(
                    f"{file}: no column {column!r} with the words; it has "
                    f"{', '.join(rows[0].values)}; choose with --dataset-option word_column=..."
                )
            begins = [row.number("onset") for row in rows]
            lasts = [row.number_or_none("duration") or 0.0 for row in rows]
            items = zip(rows, begins, lasts, strict=True)
            words_of[file] = make_words(file, ((r.text(column), a, a + d) for r, a, d in items))
        if not words_of:
            return None
        self._require_same(
            {file: words.digest for file, words in words_of.items()}, "its words differ from those"
        )
        return next(iter(words_of.values()))

    def _require_same(self, values: dict[Path, Any], difference: str) -> None:
        (first, expected), *others = values.items()
        for file, value in others:
            if value != expected:
                raise DataError(
                    f"{file}: {difference.format(value, expected)} in {first.name}; choose "
                    "subjects with the same timing: --dataset-option subjects=..."
                )

    def _events(self, story: str) -> list[Path]:
        """Event tables of the chosen subjects' runs, without duplicates."""
        tables: dict[Path, None] = {}
        for subject in self.subjects():
            for run in self.runs[subject][story]:
                tables.update(dict.fromkeys(self._raw_files(run, "events.tsv")[:1]))
        return list(tables)

    def _raw_files(self, run: Run, ending: str) -> list[Path]:
        """Files of the raw run with this ending, nearest first (BIDS inheritance)."""
        labels = entities(run.first.name)
        stem = "_".join(f"{k}-{labels[k]}" for k in ("sub", "ses", "task", "run") if k in labels)
        folder = self._raw_folder / f"sub-{labels['sub']}"
        folder = folder / f"ses-{labels['ses']}" if "ses" in labels else folder
        candidates = (
            folder / "func" / f"{stem}_{ending}",
            run.first.with_name(f"{stem}_{ending}"),
            self._raw_folder / f"task-{labels['task']}_{ending}",
        )
        return [path for path in candidates if path.is_symlink() or path.exists()]


def _folder(text: str | None, option: str) -> Path | None:
    if text is None:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise UsageError(f"dataset option {option}={text!r}: no such folder")
    return path.resolve()


def _first(folder: Path | None, story: str, suffixes: tuple[str, ...]) -> Path | None:
    for suffix in suffixes if folder is not None else ():
        assert folder is not None
        path = folder / f"{story}{suffix}"
        if path.is_symlink() or path.exists():
            return path
    return None

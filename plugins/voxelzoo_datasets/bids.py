"""Anything else from fMRIPrep, or in its layout (BIDS derivatives).

::

    sub-01/func/sub-01_task-story_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz    or
    sub-01/func/sub-01_task-story_hemi-L_space-fsaverage5_bold.func.gii, and hemi-R     or
    sub-01/func/sub-01_task-story_space-fsLR_den-91k_bold.dtseries.nii
    sub-01/func/..._desc-brain_mask.nii.gz, ..._desc-confounds_timeseries.tsv, ....json

A story is a task, or one run of it; sessions repeat it. Words are in the run's ``events.tsv``
(``trial_type`` ``word``), or in a folder of TextGrids or CSV files on the sound's clock, with the
onset of the sound in the scan.
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
    """Subjects of a folder of derivatives; several stories need ``test``, one needs none."""

    name = "bids"
    known_options = OPTIONS | {
        "space": "such as MNI152NLin2009cAsym, fsaverage5 or fsLR (default: the only one)",
        "raw": "the BIDS folder with events.tsv (default: where the derivatives are, or above)",
        "words": "folder of <story>.TextGrid or <story>.csv, timed from the sound's start",
        "word_column": "column of events.tsv that has the word (default word)",
        "audio": "folder of <story>.wav or .flac",
        "sound_start": "seconds from the first acquired volume to the sound "
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
        """Name, licence and citation, as ``dataset_description.json`` has them."""
        file = self.root / "dataset_description.json"
        said = read_json(file) if file.exists() else {}
        cite = said.get("HowToAcknowledge")
        return DatasetInfo(
            name=self.name,
            summary=str(said.get("Name", "BIDS derivatives.")),
            licence=said["License"] if isinstance(said.get("License"), str) else None,
            citation=cite if isinstance(cite, str) else None,
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
                f"{self.root}: runs in {', '.join(spaces)}; choose: --dataset-option space=..."
            )
        if space not in spaces:
            raise NotFoundError(f"{self.root}: no space {space!r}; it has {', '.join(spaces)}")
        runs: dict[str, dict[str, tuple[Run, ...]]] = {}
        for found in join_hemispheres(
            [f for f in files if entities(f.name).get("space", "native") == space]
        ):
            said = entities(found[0].name)
            story = said["task"] + (f"_run-{said['run']}" if "run" in said else "")
            stories = runs.setdefault(f"sub-{said['sub']}", {})
            stories[story] = (*stories.get(story, ()), Run(found))
        for subject, stories in runs.items():
            for story, repeats in stories.items():
                sessions = {entities(run.first.name).get("ses") for run in repeats}
                if len(sessions) != len(repeats):
                    raise DataError(
                        f"{repeats[1].first}: a second image of {subject}, {story}, in one "
                        "session; keep one"
                    )
        return runs

    def sidecar(self, run: Run) -> dict[str, Any]:
        """The derivative's sidecar, else the raw run's or the task's."""
        said = super().sidecar(run)
        if said:
            return said
        for file in self._raw_files(run, "bold.json"):
            return read_json(file)
        return {}

    def story(self, name: str) -> Story:
        """Words and sound on the scan's clock."""
        self.known_story(name)
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
        """When the sound began, in seconds from the first acquired volume."""
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
                f"{self.name}: {story!r} has no events.tsv; say when its sound began after the "
                "first volume: --dataset-option sound_start=SECONDS"
            )
        self._agree(onsets, "its first event is at")
        return next(iter(onsets.values()))

    def _event_words(self, story: str) -> Words | None:
        """Rows of ``trial_type`` word, which every subject must have alike."""
        column = self.options.get("word_column", "word")
        heard: dict[Path, Words] = {}
        for file in self._events(story):
            rows = read_table(file, need=("onset", "duration", "trial_type"))
            rows = [row for row in rows if row.text("trial_type").lower() == "word"]
            if not rows:
                continue
            if column not in rows[0].values:
                raise DataError(
                    f"{file}: words, but no column {column!r} with their text; it has "
                    f"{', '.join(rows[0].values)}; choose: --dataset-option word_column=..."
                )
            begins = [row.number("onset") for row in rows]
            lasts = [row.number_or_none("duration") or 0.0 for row in rows]
            items = zip(rows, begins, lasts, strict=True)
            heard[file] = make_words(file, ((r.text(column), a, a + d) for r, a, d in items))
        if not heard:
            return None
        self._agree({file: words.digest for file, words in heard.items()}, "its words are")
        return next(iter(heard.values()))

    def _agree(self, said: dict[Path, Any], what: str) -> None:
        (first, value), *others = said.items()
        for file, other in others:
            if other != value:
                found = f"{other} and there {value}" if isinstance(value, float) else "others"
                raise DataError(
                    f"{file}: {what} {found}, unlike {first.name}; a story has one clock: choose "
                    "subjects who heard it alike: --dataset-option subjects=..."
                )

    def _events(self, story: str) -> list[Path]:
        """Tables of events of every chosen subject's runs, each once."""
        found: dict[Path, None] = {}
        for subject in self.subjects():
            for run in self.runs[subject][story]:
                found.update(dict.fromkeys(self._raw_files(run, "events.tsv")[:1]))
        return list(found)

    def _raw_files(self, run: Run, ending: str) -> list[Path]:
        """Files of the raw run with this ending, the nearest first, as BIDS inherits."""
        said = entities(run.first.name)
        stem = "_".join(f"{k}-{said[k]}" for k in ("sub", "ses", "task", "run") if k in said)
        folder = self._raw_folder / f"sub-{said['sub']}"
        folder = folder / f"ses-{said['ses']}" if "ses" in said else folder
        places = (
            folder / "func" / f"{stem}_{ending}",
            run.first.with_name(f"{stem}_{ending}"),
            self._raw_folder / f"task-{said['task']}_{ending}",
        )
        return [path for path in places if path.is_symlink() or path.exists()]


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

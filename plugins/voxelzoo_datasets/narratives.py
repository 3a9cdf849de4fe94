"""Narratives (Nastase et al. 2021), OpenNeuro ds002345: many listeners, a story or a few each.

::

    stimuli/<story>_audio.wav
    stimuli/gentle/<story>/align.csv or align.json     words, timed from the sound's first sample
    sub-001/func/sub-001_task-pieman_events.tsv         onset, duration, trial_type, stim_file
    sub-001/func/sub-001_task-pieman_bold.json          RepetitionTime 1.5
    derivatives/afni-smooth/sub-001/func/sub-001_task-pieman_space-*_desc-clean_bold.nii.gz
    derivatives/afni-smooth/tpl-*/tpl-*_res-pieman_desc-brain_mask.nii.gz

Sound, with the music before the story, began at the onset of the run's first event: a word's scan
time is that onset plus its time in the sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from voxelzoo.api import Audio, DataError, DatasetInfo, NotFoundError, Story, UsageError, Words
from voxelzoo_datasets import plugin
from voxelzoo_datasets.declared import NARRATIVES
from voxelzoo_datasets.imaging import (
    OPTIONS,
    ImagingDataset,
    Run,
    entities,
    join_hemispheres,
    read_json,
)
from voxelzoo_datasets.options import choice
from voxelzoo_datasets.tables import Row, Untimed, make_words, place_untimed, read_table

_COLUMNS = ("word", "aligned", "onset", "offset")
"""Of align.csv, which has no header."""


class NarrativesDataset(ImagingDataset):
    """Listeners of ds002345 who heard the chosen stories; a story is a task, or one run of it."""

    name = "narratives"
    declared = NARRATIVES
    known_options = OPTIONS | {
        "derivative": "folder of derivatives (default afni-smooth, else afni-nosmooth, fmriprep)",
        "space": "such as MNI152NLin2009cAsym or fsaverage6 (default: the volume, where there is)",
        "gentle": "folder of stimuli/gentle that has the words (default: by the events' stim_file)",
        "untimed": "words the aligner did not find: spread (default) between neighbours, or drop",
    }

    def __init__(self, path: Path, **options: str) -> None:
        self._untimed = choice("untimed", options.get("untimed", "spread"), ("spread", "drop"))
        super().__init__(path, options)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            plugin.NARRATIVES, "Spoken stories in the scanner, OpenNeuro ds002345."
        )

    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """The cleaned runs of one derivative, in one space."""
        derivatives = self.root / "derivatives"
        asked = self.options.get("derivative")
        names = (asked,) if asked else ("afni-smooth", "afni-nosmooth", "fmriprep")
        self._folder = next((derivatives / n for n in names if (derivatives / n).is_dir()), None)
        if self._folder is None:
            raise NotFoundError(f"{derivatives}: no folder {' or '.join(names)}")
        desc = "preproc" if self._folder.name == "fmriprep" else "clean"
        files = [
            file
            for pattern in (
                f"*_desc-{desc}_bold.nii.gz",
                f"*_desc-{desc}.func.gii",
                "*_bold.func.gii",
            )
            for file in self._folder.glob(f"sub-*/**/func/{pattern}")
        ]
        files = _in_one_space(self._folder, files, self.options.get("space"))
        runs: dict[str, dict[str, tuple[Run, ...]]] = {}
        for found in join_hemispheres(files):
            said = entities(found[0].name)
            if "task" not in said or "sub" not in said:
                continue
            story = said["task"] + (f"_run-{said['run']}" if "run" in said else "")
            runs.setdefault(f"sub-{said['sub']}", {})[story] = (Run(found),)
        return runs

    def story(self, name: str) -> Story:
        """Words and sound, placed by the onset of the run's first event."""
        self.known_story(name)
        stimulus, onset = self._sound(name)
        folder = self.root / "stimuli" / "gentle" / self.options.get("gentle", stimulus)
        sound = self.root / "stimuli" / f"{stimulus}_audio.wav"
        return Story(
            name,
            words=self._read_words(folder).shifted(onset),
            audio=Audio(path=sound, start=onset) if sound.is_symlink() or sound.exists() else None,
        )

    def masks_of(self, run: Run) -> Path | None:
        """The derivative's mask for the task, which is in its template's folder."""
        said = entities(run.first.name)
        assert self._folder is not None
        found = sorted(
            self._folder.glob(
                f"tpl-{said.get('space', '*')}/*_res-{said['task']}_desc-brain_mask.nii.gz"
            )
        )
        return found[0] if found else super().masks_of(run)

    def sidecar(self, run: Run) -> dict[str, object]:
        """The derivative's own sidecar, else the one of the raw run, else the task's."""
        said = super().sidecar(run)
        if said:
            return said
        file = self._raw(run, "bold.json")
        return read_json(file) if file is not None else {}

    # ------------------------------------------------------------------------------------ details

    def _raw(self, run: Run, ending: str) -> Path | None:
        """The file of the raw run with this ending; the nearest, as BIDS inherits."""
        said = entities(run.first.name)
        keys = [key for key in ("sub", "ses", "task", "run") if key in said]
        stem = "_".join(f"{key}-{said[key]}" for key in keys)
        subject = self.root / f"sub-{said['sub']}"
        session = subject / f"ses-{said['ses']}" if "ses" in said else subject
        for path in (
            session / "func" / f"{stem}_{ending}",
            self.root / f"task-{said['task']}_{ending}",
        ):
            if path.is_symlink() or path.exists():
                return path
        return None

    def _sound(self, story: str) -> tuple[str, float]:
        """Which stimulus a story's runs played, and the onset of its first event, in seconds."""
        seen: dict[Path, tuple[str, float]] = {}
        for subject in self.subjects():
            for run in self.runs[subject][story]:
                file = self._raw(run, "events.tsv")
                if file is None:
                    raise DataError(
                        f"{self.root / subject}: no events.tsv for {run.first.name}, so nobody "
                        "knows when its sound began"
                    )
                seen[file] = _first_event(file)
        (first, found), *others = seen.items()
        for file, said in others:
            if said != found:
                raise DataError(
                    f"{file}: {said[0]} from {said[1]:g} s, but {first.name} has {found[0]} from "
                    f"{found[1]:g} s; choose subjects who heard the same: --dataset-option "
                    "subjects=..."
                )
        return found

    def _read_words(self, folder: Path) -> Words:
        table, document = folder / "align.csv", folder / "align.json"
        if document.is_symlink() or document.exists():
            return self._timed(document, _from_json(document))
        if table.is_symlink() or table.exists():
            return self._timed(table, _from_csv(table))
        there = sorted(p.name for p in folder.parent.glob("*") if p.is_dir())
        raise DataError(
            f"{folder}: no align.json or align.csv; say which has the words: --dataset-option "
            f"gentle=..., one of {', '.join(there) or 'none'}"
        )

    def _timed(self, path: Path, items: Iterator[Untimed]) -> Words:
        return make_words(path, place_untimed(path, items, spread=self._untimed == "spread"))


def _in_one_space(folder: Path, files: list[Path], asked: str | None) -> list[Path]:
    spaces = {entities(file.name).get("space", "native") for file in files}
    if not spaces:
        raise DataError(f"{folder}: no sub-*/func/*_bold.nii.gz or *.func.gii")
    volumes = {entities(f.name).get("space", "native") for f in files if f.name.endswith(".nii.gz")}
    candidates = volumes or spaces
    if asked is not None and asked not in spaces:
        raise NotFoundError(f"{folder}: no space {asked!r}; it has {', '.join(sorted(spaces))}")
    if asked is None and len(candidates) > 1:
        raise UsageError(
            f"{folder}: runs in {', '.join(sorted(spaces))}; choose: --dataset-option space=..."
        )
    space = asked or next(iter(candidates))
    return [file for file in files if entities(file.name).get("space", "native") == space]


def _first_event(path: Path) -> tuple[str, float]:
    """The stimulus of a run, and when its first event began, in seconds."""
    events = read_table(path, need=("onset", "trial_type", "stim_file"))
    played: list[Row] = [row for row in events if row.text("stim_file").endswith("_audio.wav")]
    if not played:
        raise DataError(f"{path}: no event with a stim_file such as pieman_audio.wav")
    stimuli = {row.text("stim_file") for row in played}
    if len(stimuli) > 1:
        raise DataError(
            f"{path}: {' and '.join(sorted(stimuli))} in one run; only runs of one story are read"
        )
    first = min(played, key=lambda row: row.number("onset"))
    return first.text("stim_file").removesuffix("_audio.wav"), first.number("onset")


def _from_csv(path: Path) -> Iterator[Untimed]:
    for row in read_table(path, names=_COLUMNS):
        onset, offset = row.number_or_none("onset"), row.number_or_none("offset")
        if (onset is None) != (offset is None):
            raise DataError(f"{row.where}: {row.text('word')!r} has one time of two")
        yield row.text("word"), onset, offset


def _from_json(path: Path) -> Iterator[Untimed]:
    words = read_json(path).get("words")
    if not isinstance(words, list):
        raise DataError(f"{path}: has no list 'words', as gentle writes it")
    for i, word in enumerate(words, start=1):
        text = word.get("word") if isinstance(word, dict) else None
        if not isinstance(text, str):
            raise DataError(f"{path}: word {i} has no text")
        if word.get("case") == "not-found-in-transcript":
            continue
        start, end = word.get("start"), word.get("end")
        if word.get("case") != "success":
            yield text, None, None
        elif isinstance(start, int | float) and isinstance(end, int | float):
            yield text, float(start), float(end)
        else:
            raise DataError(f"{path}: word {i} ({text[:20]!r}) was found but has no start and end")

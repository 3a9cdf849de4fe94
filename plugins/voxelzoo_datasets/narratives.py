"""Narratives (Nastase et al. 2021), OpenNeuro ds002345: each listener heard a few stories.

::

    stimuli/<story>_audio.wav
    stimuli/gentle/<story>/align.csv or align.json     words, timed from the sound's first sample
    sub-001/func/sub-001_task-pieman_events.tsv         onset, duration, trial_type, stim_file
    sub-001/func/sub-001_task-pieman_bold.json          RepetitionTime 1.5
    derivatives/afni-smooth/sub-001/func/sub-001_task-pieman_space-*_desc-clean_bold.nii.gz
    derivatives/afni-smooth/tpl-*/tpl-*_res-pieman_desc-brain_mask.nii.gz

The sound file starts with music and began at the onset of the run's first event. A word's scan time
is that onset plus its time in the sound file.
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
from voxelzoo_datasets.tables import UNTIMED, Row, Untimed, make_words, place_untimed, read_table

_COLUMNS = ("word", "aligned", "onset", "offset")
"""Columns of align.csv, which has no header."""


class NarrativesDataset(ImagingDataset):
    """The Narratives dataset. A story is a task, or one run of a task.

    Parameters
    ----------
    path : Path
        Root of ds002345.
    **options : str
        The options of :data:`voxelzoo_datasets.imaging.OPTIONS`, and

        - ``derivative``: folder of ``derivatives`` (default: the first present of ``afni-smooth``,
          ``afni-nosmooth``, ``fmriprep``).
        - ``space``: such as MNI152NLin2009cAsym or fsaverage6 (default: the volume, if present).
        - ``gentle``: folder of ``stimuli/gentle`` with the words (default: from ``stim_file``).
        - ``untimed``: words that the aligner did not find: ``keep`` (default), in the text
          without a state; ``spread`` between their neighbours; or ``drop``.

    Raises
    ------
    UsageError
        If an option is unknown or invalid.
    NotFoundError
        If the derivative or space does not exist.
    DataError
        If a file is missing or damaged; the message names it.
    """

    name = "narratives"
    declared = NARRATIVES
    allowed_options = OPTIONS | {
        "derivative": "folder of derivatives (default: afni-smooth, afni-nosmooth or fmriprep)",
        "space": "such as MNI152NLin2009cAsym or fsaverage6 (default: the volume, if present)",
        "gentle": "folder of stimuli/gentle with the words (default: from the events' stim_file)",
        "untimed": "words without times: keep (default) in the text without a state, spread "
        "between their neighbours, or drop",
    }

    def __init__(self, path: Path, **options: str) -> None:
        self._untimed = choice("untimed", options.get("untimed", "keep"), UNTIMED)
        super().__init__(path, options)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            plugin.NARRATIVES,
            "Spoken stories in the scanner, OpenNeuro ds002345.",
            preparation=self.cleaning.describe(),
        )

    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """The preprocessed runs of one derivative, in one space."""
        derivatives = self.root / "derivatives"
        requested = self.options.get("derivative")
        names = (requested,) if requested else ("afni-smooth", "afni-nosmooth", "fmriprep")
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
        for images in join_hemispheres(files):
            labels = entities(images[0].name)
            if "task" not in labels or "sub" not in labels:
                continue
            story = labels["task"] + (f"_run-{labels['run']}" if "run" in labels else "")
            runs.setdefault(f"sub-{labels['sub']}", {})[story] = (Run(images),)
        return runs

    def story(self, name: str) -> Story:
        """Words and sound, in scan time."""
        self.check_story(name)
        stimulus, onset = self._sound(name)
        folder = self.root / "stimuli" / "gentle" / self.options.get("gentle", stimulus)
        sound = self.root / "stimuli" / f"{stimulus}_audio.wav"
        return Story(
            name,
            words=self._read_words(folder).shifted(onset),
            audio=Audio(path=sound, start=onset) if sound.is_symlink() or sound.exists() else None,
        )

    def masks_of(self, run: Run) -> Path | None:
        """The derivative's mask for the task, from its template folder."""
        labels = entities(run.first.name)
        assert self._folder is not None
        masks = sorted(
            self._folder.glob(
                f"tpl-{labels.get('space', '*')}/*_res-{labels['task']}_desc-brain_mask.nii.gz"
            )
        )
        return masks[0] if masks else super().masks_of(run)

    def sidecar(self, run: Run) -> dict[str, object]:
        """The derivative's sidecar, otherwise the raw run's, otherwise the task's."""
        sidecar = super().sidecar(run)
        if sidecar:
            return sidecar
        file = self._raw(run, "bold.json")
        return read_json(file) if file is not None else {}

    # ------------------------------------------------------------------------------------ details

    def _raw(self, run: Run, ending: str) -> Path | None:
        """The nearest file of the raw run with this ending (BIDS inheritance)."""
        labels = entities(run.first.name)
        keys = [key for key in ("sub", "ses", "task", "run") if key in labels]
        stem = "_".join(f"{key}-{labels[key]}" for key in keys)
        subject = self.root / f"sub-{labels['sub']}"
        session = subject / f"ses-{labels['ses']}" if "ses" in labels else subject
        for path in (
            session / "func" / f"{stem}_{ending}",
            self.root / f"task-{labels['task']}_{ending}",
        ):
            if path.is_symlink() or path.exists():
                return path
        return None

    def _sound(self, story: str) -> tuple[str, float]:
        """Stimulus of a story, and the onset of its first event, in seconds."""
        stimuli: dict[Path, tuple[str, float]] = {}
        for subject in self.subjects():
            for run in self.runs[subject][story]:
                file = self._raw(run, "events.tsv")
                if file is None:
                    raise DataError(
                        f"{self.root / subject}: no events.tsv for {run.first.name}, so the "
                        "onset of its sound is unknown"
                    )
                stimuli[file] = _first_event(file)
        (first, expected), *others = stimuli.items()
        for file, stimulus in others:
            if stimulus != expected:
                raise DataError(
                    f"{file}: {stimulus[0]} from {stimulus[1]:g} s, but {first.name} has "
                    f"{expected[0]} from {expected[1]:g} s; choose subjects who heard the same: "
                    "--dataset-option subjects=..."
                )
        return expected

    def _read_words(self, folder: Path) -> Words:
        table, document = folder / "align.csv", folder / "align.json"
        if document.is_symlink() or document.exists():
            return self._timed(document, _from_json(document))
        if table.is_symlink() or table.exists():
            return self._timed(table, _from_csv(table))
        folders = sorted(p.name for p in folder.parent.glob("*") if p.is_dir())
        raise DataError(
            f"{folder}: no align.json or align.csv; choose the folder with the words: "
            f"--dataset-option gentle=..., one of {', '.join(folders) or 'none'}"
        )

    def _timed(self, path: Path, items: Iterator[Untimed]) -> Words:
        return make_words(path, place_untimed(path, items, self._untimed))


def _in_one_space(folder: Path, files: list[Path], requested: str | None) -> list[Path]:
    spaces = {entities(file.name).get("space", "native") for file in files}
    if not spaces:
        raise DataError(f"{folder}: no sub-*/func/*_bold.nii.gz or *.func.gii")
    volumes = {entities(f.name).get("space", "native") for f in files if f.name.endswith(".nii.gz")}
    candidates = volumes or spaces
    if requested is not None and requested not in spaces:
        raise NotFoundError(f"{folder}: no space {requested!r}; it has {', '.join(sorted(spaces))}")
    if requested is None and len(candidates) > 1:
        raise UsageError(
            f"{folder}: runs in {', '.join(sorted(spaces))}; choose with --dataset-option space=..."
        )
    space = requested or next(iter(candidates))
    return [file for file in files if entities(file.name).get("space", "native") == space]


def _first_event(path: Path) -> tuple[str, float]:
    """The stimulus of a run, and the onset of its first event, in seconds."""
    events = read_table(path, need=("onset", "trial_type", "stim_file"))
    played: list[Row] = [row for row in events if row.text("stim_file").endswith("_audio.wav")]
    if not played:
        raise DataError(f"{path}: no event with a stim_file such as pieman_audio.wav")
    stimuli = {row.text("stim_file") for row in played}
    if len(stimuli) > 1:
        raise DataError(
            f"{path}: {' and '.join(sorted(stimuli))} in one run; a run must have one story"
        )
    first = min(played, key=lambda row: row.number("onset"))
    return first.text("stim_file").removesuffix("_audio.wav"), first.number("onset")


def _from_csv(path: Path) -> Iterator[Untimed]:
    for row in read_table(path, names=_COLUMNS):
        onset, offset = row.number_or_none("onset"), row.number_or_none("offset")
        if (onset is None) != (offset is None):
            raise DataError(f"{row.where}: {row.text('word')!r} has only one of onset and offset")
        yield row.text("word"), onset, offset


def _from_json(path: Path) -> Iterator[Untimed]:
    words = read_json(path).get("words")
    if not isinstance(words, list):
        raise DataError(f"{path}: no list 'words', as written by gentle")
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
            raise DataError(
                f"{path}: word {i} ({text[:20]!r}) is marked as aligned but has no start and end"
            )

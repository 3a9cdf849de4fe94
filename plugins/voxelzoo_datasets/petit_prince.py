"""Le Petit Prince (Li et al. 2022), OpenNeuro ds003643: an audiobook in English, Chinese or French.

::

    annotation/EN/lppEN_word_information.csv         word, onset, offset, section, ...
    stimuli/task-lppEN_section-1.wav                 where fetched
    derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz

Nine runs, one a section; their labels do not count from 1, and sorted they are the sections. Words
are timed from the start of their section. The preprocessed runs begin when the sound does, in each
language (the eight seconds before it are not in them), with TR 2.0 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from voxelzoo.api import Audio, DataError, DatasetInfo, Story, UsageError, Words
from voxelzoo_datasets import plugin
from voxelzoo_datasets.declared import PETIT_PRINCE
from voxelzoo_datasets.imaging import OPTIONS, ImagingDataset, Run, entities
from voxelzoo_datasets.options import choice
from voxelzoo_datasets.tables import make_words, read_table

SECTIONS = 9


class PetitPrinceDataset(ImagingDataset):
    """Listeners of one language; stories are ``section1`` to ``section9``, the last held out."""

    name = "petit-prince"
    known_options = OPTIONS | {"language": "EN, CN or FR (default: the only one there)"}
    default_mask = "auto"

    def __init__(self, path: Path, **options: str) -> None:
        there = [code for code in PETIT_PRINCE if any(path.glob(f"derivatives/sub-{code}*"))]
        if "language" not in options and len(there) != 1:
            raise UsageError(
                f"{path}: listeners of {', '.join(there) or 'no language'}; choose one: "
                "--dataset-option language=EN"
            )
        self.language = choice("language", options.get("language", *there[:1]), tuple(PETIT_PRINCE))
        self.declared = PETIT_PRINCE[self.language]
        super().__init__(path, options)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            plugin.PETIT_PRINCE,
            f"The Little Prince, heard in the scanner ({self.language}); ds003643.",
        )

    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """The preprocessed runs of each listener, in the order they were acquired."""
        runs: dict[str, dict[str, tuple[Run, ...]]] = {}
        for folder in sorted((self.root / "derivatives").glob(f"sub-{self.language}*")):
            files = sorted(folder.glob("**/func/*_desc-preproc_bold.nii.gz"), key=_order)
            spaces = {entities(file.name).get("space") for file in files}
            if len(spaces) > 1:
                raise DataError(f"{folder}: runs in more than one space; keep one")
            if len(files) != SECTIONS:
                # Which section a run is, its rank among nine says; with fewer, nothing does.
                self._incomplete[folder.name] = f"has {len(files)} runs, not {SECTIONS}"
                continue
            runs[folder.name] = {f"section{i}": (Run((f,)),) for i, f in enumerate(files, start=1)}
        if not runs:
            raise DataError(
                f"{self.root / 'derivatives'}: no sub-{self.language}* with {SECTIONS} "
                "*_desc-preproc_bold.nii.gz"
            )
        return runs

    @cached_property
    def _incomplete(self) -> dict[str, str]:
        return {}

    def unusable_subjects(self) -> dict[str, str]:
        """Listeners left out, with the reason."""
        return self._incomplete | super().unusable_subjects()

    def default_tests(self, stories: Sequence[str]) -> tuple[str, ...]:
        """The last section."""
        return (stories[-1],)

    def story(self, name: str) -> Story:
        """Words and sound of a section; both begin with the scan."""
        self.known_story(name)
        section = int(name.removeprefix("section"))
        sounds = sorted((self.root / "stimuli").glob(f"*{self.language}*section?{section}.wav"))
        return Story(
            name,
            words=self._words(section),
            audio=Audio(path=sounds[0]) if sounds else None,
        )

    def _words(self, section: int) -> Words:
        code = self.language
        path = self.root / "annotation" / code / f"lpp{code}_word_information.csv"
        rows = [
            row
            for row in read_table(path, need=("word", "onset", "offset", "section"))
            if row.number("section") == section
        ]
        spoken = [row for row in rows if row.text("word")]
        if not spoken:
            raise DataError(f"{path}: no words of section {section}")
        return make_words(
            path, ((r.text("word"), r.number("onset"), r.number("offset")) for r in spoken)
        )


def _order(file: Path) -> tuple[int, int, str]:
    """Session, then run, as numbers: run-9 comes before run-10."""
    said = entities(file.name)
    numbers = (said.get(key, "0") for key in ("ses", "run"))
    session, run = (int(n) if n.isdigit() else 0 for n in numbers)
    return session, run, file.name

"""Le Petit Prince (Li et al. 2022), OpenNeuro ds003643: an audiobook in English, Chinese or French.

::

    annotation/EN/lppEN_word_information.csv         word, onset, offset, section, ...
    stimuli/task-lppEN_section-1.wav                 optional
    derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz

Each of the nine runs is one section. Run labels do not start at 1, but their order is the order of
the sections. Words are timed from the start of their section. The TR is 2.0 s. In every language
the preprocessed runs begin with the sound; the eight seconds before it were removed.
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
    """Listeners of one language. Stories are ``section1`` to ``section9``.

    Parameters
    ----------
    path : Path
        Root of ds003643.
    **options : str
        The options of :data:`voxelzoo_datasets.imaging.OPTIONS`, and

        - ``language``: EN, CN or FR (default: the only one present).

        By default ``mask`` is ``auto`` and ``test`` is ``section9``.

    Raises
    ------
    UsageError
        If an option is unknown or invalid, or several languages need ``language``.
    DataError
        If a file is missing or damaged; the message names it.
    """

    name = "petit-prince"
    allowed_options = OPTIONS | {"language": "EN, CN or FR (default: the only one present)"}
    default_mask = "auto"

    def __init__(self, path: Path, **options: str) -> None:
        languages = [code for code in PETIT_PRINCE if any(path.glob(f"derivatives/sub-{code}*"))]
        if "language" not in options and len(languages) != 1:
            raise UsageError(
                f"{path}: listeners of {', '.join(languages) or 'no language'}; choose one: "
                "--dataset-option language=EN"
            )
        self.language = choice(
            "language", options.get("language", *languages[:1]), tuple(PETIT_PRINCE)
        )
        self.declared = PETIT_PRINCE[self.language]
        super().__init__(path, options)

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        return DatasetInfo.of(
            plugin.PETIT_PRINCE,
            f"The Little Prince, heard in the scanner ({self.language}); ds003643.",
            preparation=self.cleaning.describe(),
        )

    def find_runs(self) -> dict[str, dict[str, tuple[Run, ...]]]:
        """The preprocessed runs of each listener, in order of acquisition."""
        runs: dict[str, dict[str, tuple[Run, ...]]] = {}
        for folder in sorted((self.root / "derivatives").glob(f"sub-{self.language}*")):
            files = sorted(folder.glob("**/func/*_desc-preproc_bold.nii.gz"), key=_order)
            spaces = {entities(file.name).get("space") for file in files}
            if len(spaces) > 1:
                raise DataError(f"{folder}: runs in more than one space; keep one")
            if len(files) != SECTIONS:
                # A run's section follows from its rank among nine; with fewer runs it is unknown.
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
        """Excluded listeners, with the reason."""
        return self._incomplete | super().unusable_subjects()

    def default_tests(self, stories: Sequence[str]) -> tuple[str, ...]:
        """The last section."""
        return (stories[-1],)

    def story(self, name: str) -> Story:
        """Words and sound of a section; both start at time 0."""
        self.check_story(name)
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
    """Sort key: session and run as numbers, so that run-9 comes before run-10."""
    labels = entities(file.name)
    numbers = (labels.get(key, "0") for key in ("ses", "run"))
    session, run = (int(n) if n.isdigit() else 0 for n in numbers)
    return session, run, file.name

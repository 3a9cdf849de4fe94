"""What the publishers of each dataset say is in it, to be held against what is read.

Numbers are from the papers and the datasets' own documentation; what those do not say is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Declared:
    """A dataset as published: stories, TRs of each, voxels of each subject."""

    tr: float
    """Repetition time, in seconds."""
    n_subjects: int
    n_trs: Mapping[str, int] = field(default_factory=dict)
    """Rows of each story's responses, where they are documented."""
    n_voxels: Mapping[str, int] = field(default_factory=dict)
    """Voxels of each subject, where they are documented."""
    n_stories: Mapping[str, int] = field(default_factory=dict)
    """Stories of each subject, where they are documented."""


@dataclass(frozen=True)
class Read:
    """The same of what was read: :meth:`disagreements` compares the two."""

    n_trs: Mapping[str, int] = field(default_factory=dict)
    n_voxels: Mapping[str, int] = field(default_factory=dict)
    n_stories: Mapping[str, int] = field(default_factory=dict)


def disagreements(declared: Declared, read: Read) -> list[str]:
    """A line for each number read that is not the one declared."""
    return [
        f"{name}: {found} {what}, published with {said[name]}"
        for what, said, there in (
            ("TRs", declared.n_trs, read.n_trs),
            ("voxels", declared.n_voxels, read.n_voxels),
            ("stories", declared.n_stories, read.n_stories),
        )
        for name, found in there.items()
        if name in said and said[name] != found
    ]


_LEBEL_VOXELS = {
    "UTS01": 81_126,
    "UTS02": 94_251,
    "UTS03": 95_556,
    "UTS04": 109_470,
    "UTS05": 99_323,
    "UTS06": 92_199,
    "UTS07": 94_396,
    "UTS08": 97_024,
    "UTS09": 98_336,
}

LEBEL = Declared(
    tr=2.0,
    n_subjects=9,
    n_trs={"wheretheressmoke": 291, "fromboyhoodtofatherhood": 348},
    n_voxels=_LEBEL_VOXELS,
    n_stories={"UTS01": 84, "UTS02": 84, "UTS03": 84, "UTS09": 54},
)

ANTONELLO_BOX = Declared(
    tr=2.0,
    n_subjects=3,
    n_trs={"wheretheressmoke": 291, "fromboyhoodtofatherhood": 348, "onapproachtopluto": 271},
    n_voxels={subject: _LEBEL_VOXELS[subject] for subject in ("UTS01", "UTS02", "UTS03")},
    n_stories={"UTS01": 96, "UTS02": 101, "UTS03": 101},
)

NARRATIVES = Declared(
    tr=1.5,
    n_subjects=345,
)

PETIT_PRINCE = {
    language: Declared(
        tr=2.0,
        n_subjects=n_subjects,
        n_trs={f"section{i}": n for i, n in enumerate(n_trs, start=1)},
    )
    for language, n_subjects, n_trs in (
        ("CN", 35, (283, 322, 322, 307, 293, 392, 364, 293, 401)),
        ("EN", 49, (282, 298, 340, 303, 265, 343, 325, 292, 368)),
        ("FR", 28, (309, 326, 354, 315, 293, 378, 332, 294, 336)),
    )
}

PODCAST = Declared(
    tr=1 / 512,
    n_subjects=9,
)

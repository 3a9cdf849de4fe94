"""Published sizes of each dataset, to compare with the data on disk.

Numbers are from the papers and the datasets' documentation; undocumented ones are omitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Declared:
    """Published sizes of a dataset."""

    tr: float
    """Repetition time, in seconds."""
    n_subjects: int
    n_trs: Mapping[str, int] = field(default_factory=dict)
    """TRs of each story, where documented."""
    n_voxels: Mapping[str, int] = field(default_factory=dict)
    """Voxels of each subject, where documented."""
    n_stories: Mapping[str, int] = field(default_factory=dict)
    """Stories of each subject, where documented."""


@dataclass(frozen=True)
class Read:
    """Sizes of the data on disk, for :func:`disagreements`."""

    n_trs: Mapping[str, int] = field(default_factory=dict)
    n_voxels: Mapping[str, int] = field(default_factory=dict)
    n_stories: Mapping[str, int] = field(default_factory=dict)


def disagreements(declared: Declared, read: Read) -> list[str]:
    """One line for each size that differs from the published one."""
    return [
        f"{name}: {size} {unit}, published with {published[name]}"
        for unit, published, sizes in (
            ("TRs", declared.n_trs, read.n_trs),
            ("voxels", declared.n_voxels, read.n_voxels),
            ("stories", declared.n_stories, read.n_stories),
        )
        for name, size in sizes.items()
        if name in published and published[name] != size
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

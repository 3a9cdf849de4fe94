"""The two protocols: what the paper means, and what its released code does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from voxelzoo.api import NotFoundError

N_FOLDS = 6
"""Contiguous folds of a dataset's only story, unless another number is asked for."""

GAP = "10s"
"""Time on each side of a held-out fold that trains nothing, unless another is asked for."""

BLOCK = "20s"
"""Length of the blocks of bootstrap and permutations, unless another is asked for: longer than the
haemodynamic response."""

TRS_PER_BLOCK = 10
"""The same in TRs, where no TR is known."""


@dataclass(frozen=True)
class FitProtocol:
    """Every choice between states and scores that a protocol makes, as data.

    Which aligner and regressor a protocol uses is theirs to declare (``default_for`` of their
    specs).
    """

    name: str
    """``clean`` or ``antonello2023``."""
    summary: str
    """What it does, in a clause."""
    delays: str = "2s-8s"
    """FIR delays in seconds or TRs (paper, section 2.3: 2 to 8 s), read by
    :class:`voxelzoo.science.durations.Delays`."""
    delays_cross_stories: bool = False
    """Delay after stories are joined: a story's first rows then see the one before it."""
    standardise_responses: bool = True
    """z-score each story's responses (each repeat's) here; else take them as they come."""
    skip_test_trs: int = 0
    """Rows dropped from the start of each test story (paper, section 3.5: 40, the first 100 s)."""
    floors_ceilings: bool = True
    """Raise noise ceilings to the floor of their method (paper, section 2.5: 0.25)."""
    unit_total_power: bool = False
    """Take the total power of responses to be 1 in the noise ceiling, else measure it."""

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that changes a value: all but :attr:`summary`."""
        fields = asdict(self)
        del fields["summary"]
        return fields


CLEAN = FitProtocol(
    name="clean",
    summary="what the paper means, its leaks removed",
)


ANTONELLO2023 = FitProtocol(
    name="antonello2023",
    summary="what the released code of Antonello, Vaidya and Huth (2023) does, to the letter",
    delays="1,2,3,4",
    delays_cross_stories=True,
    standardise_responses=False,
    skip_test_trs=40,
    floors_ceilings=False,
    unit_total_power=True,
)


PROTOCOLS = {protocol.name: protocol for protocol in (CLEAN, ANTONELLO2023)}


def find_protocol(name: str) -> FitProtocol:
    """The protocol of this name.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    FitProtocol

    Raises
    ------
    NotFoundError
        There is no such protocol.
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise NotFoundError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}") from None

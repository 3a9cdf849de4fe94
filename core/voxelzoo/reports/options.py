"""Options of ``zoo scaling`` and ``zoo test``, with every default: the one place that states them.

Light: numpy is not imported, so that the command line can show the defaults at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from voxelzoo.errors import UsageError
from voxelzoo.science.durations import Duration, in_trs
from voxelzoo.science.protocols import BLOCK, TRS_PER_BLOCK
from voxelzoo.text import listed

Chooser = Literal["auto", "cv_r", "r"]


Metric = Literal["r", "signed_r2"]


Amount = Literal["stories", "hours"]


Null = Literal["circular-shift", "blocks"]


Over = Literal["time", "stories"]


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """Options of :func:`voxelzoo.reports.scaling.scaling`.

    Parameters
    ----------
    family : str, optional
        Only models of this family.
    models : sequence of str, default ()
        Only these models, by short or canonical name; all if empty.
    dataset : str, optional
        Only results on this dataset.
    subjects : sequence of str, default ()
        Only these subjects; all if empty.
    protocol : str, optional
        Only results of this protocol.
    untrained : bool, default False
        Use models with random weights instead of trained ones.
    layer : int, optional
        Use this layer of every model instead of each model's best.
    by : {"auto", "cv_r", "r"}, default "auto"
        Score that chooses the best layer: ``cv_r``, the out-of-fold correlation within the training
        data; ``r``, the correlation on held-out data, which is optimistic; or ``auto``, ``cv_r`` if
        every layer has one, else ``r``.
    metric : {"r", "signed_r2"}, default "r"
        Performance: correlation r, or ``|r| r``.
    against : {"stories", "hours"}, default "stories"
        How the amount of training data is measured, for ``data`` and ``grid``.
    n_draws : int, default 1000
        Bootstrap draws.
    seed : int, default 0
        Seed of the draws.

    Raises
    ------
    UsageError
        For a value that is not one of those.
    """

    family: str | None = None
    models: Sequence[str] = ()
    dataset: str | None = None
    subjects: Sequence[str] = ()
    protocol: str | None = None
    untrained: bool = False
    layer: int | None = None
    by: Chooser = "auto"
    metric: Metric = "r"
    against: Amount = "stories"
    n_draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_lists(self, "models", "subjects")
        _check_choice(self, "by", get_args(Chooser))
        _check_choice(self, "metric", get_args(Metric))
        _check_choice(self, "against", get_args(Amount))
        _check_least(self, "n_draws", 1, "draws")
        _check_least(self, "seed", 0)


@dataclass(frozen=True, kw_only=True)
class SignificanceOptions:
    """Options of :func:`voxelzoo.reports.significance.test`.

    Parameters
    ----------
    null : {"circular-shift", "blocks"}, default "circular-shift"
        Null distribution when one result is tested against chance: responses shifted in time
        against predictions, or their blocks in random order.
    over : {"time", "stories"}, default "time"
        Resampling unit of confidence intervals: blocks of time, or whole held-out stories.
    block : int or str, default "20s"
        Length of a block, of the bootstrap and of permutations: TRs (``10``) or seconds
        (``"20s"``).
    ceiling : str, default "schoppe"
        Noise ceiling: ``schoppe``, ``split-half`` or ``explainable-variance``, from repeats; or
        ``inter-subject``, from results of the other subjects.
    n_permutations : int, default 1000
        Permutations: the smallest possible p is ``1 / (1 + n_permutations)``. Circular shifts of
        only one held-out story or fold are few, so that all of them are used instead.
    n_draws : int, optional
        Bootstrap draws; as many as permutations by default.
    level : float, default 0.95
        Level of confidence intervals.
    alpha : float, default 0.05
        Level of significance of voxels: false discovery rate for ``share_significant``, familywise
        error for ``share_fwer``.
    seed : int, default 0
        Seed of permutations and draws.

    Raises
    ------
    UsageError
        For a value that is not one of those.
    """

    null: Null = "circular-shift"
    over: Over = "time"
    block: Duration = BLOCK
    ceiling: str = "schoppe"
    n_permutations: int = 1000
    n_draws: int | None = None
    level: float = 0.95
    alpha: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choice(self, "null", get_args(Null))
        _check_choice(self, "over", get_args(Over))
        if in_trs(self.block, 1.0, "block") < 1:
            raise UsageError(f"block {self.block}: use 1 or more")
        _check_least(self, "n_permutations", 20, "permutations")
        _check_least(self, "seed", 0)

    def at_tr(self, tr: float | None) -> SignificanceOptions:
        """The same with the block in TRs.

        Parameters
        ----------
        tr : float or None
            Seconds per TR; ``None`` if it is not the same in all stories. The default block is then
            10 TRs.
        """
        if tr is None and self.block == BLOCK:
            return replace(self, block=TRS_PER_BLOCK)
        return replace(self, block=max(1, in_trs(self.block, tr, "block")))

    @property
    def block_trs(self) -> int:
        """TRs in a block, after :meth:`at_tr`."""
        return int(self.at_tr(None).block)

    @property
    def draws(self) -> int:
        """Bootstrap draws."""
        return self.n_permutations if self.n_draws is None else self.n_draws


def _check_lists(options: object, *names: str) -> None:
    for name in names:
        if isinstance(value := getattr(options, name), str):
            raise UsageError(f"{name} takes a list, not the string {value!r}")


def _check_choice(options: object, name: str, choices: Sequence[str]) -> None:
    if (value := getattr(options, name)) not in choices:
        raise UsageError(f"{name} {value!r}: use {listed(choices, 'or')}")


def _check_least(options: object, name: str, least: int, shown: str = "") -> None:
    if (value := getattr(options, name)) < least:
        raise UsageError(f"{shown or name} {value}: use {least} or more")

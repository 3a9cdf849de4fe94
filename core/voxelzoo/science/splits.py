"""What is held out: whole test stories, or folds of one story.

Both kinds have the same interface (``stories``, ``own``, ``train_for``, ``held_out``, ``joined``,
``n_fits``, ``of``, ``fingerprint``), so that few other modules ask which one it is; ``kind`` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError

EvaluationKind = Literal["stories", "folds"]
"""Whole test stories were held out, or folds of one story."""

FOLD = "fold"
"""Folds are called ``fold1``, ``fold2``, ... beside the names of stories."""


@dataclass(frozen=True)
class HeldOutStories:
    """Test stories are predicted whole by a fit on all training stories."""

    train: tuple[str, ...]
    """Of every subject."""
    test: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further training stories of each subject; empty if no subject has any."""
    kind: ClassVar[Literal["stories"]] = "stories"
    joined: ClassVar[bool] = True
    """A voxel's score is over the concatenated held-out stories."""
    n_fits: ClassVar[int] = 1
    """Fits of each model, layer and subject."""

    def __str__(self) -> str:
        return f"held-out stories ({', '.join(self.test)})"

    def fingerprint(self) -> Mapping[str, Any]:
        """What affects a value, as JSON. Training stories are named elsewhere in a key."""
        return {"kind": self.kind, "test": list(self.test)}

    @property
    def stories(self) -> tuple[str, ...]:
        """Every story that is read."""
        own = dict.fromkeys(story for stories in self.own.values() for story in stories)
        return (*self.train, *own, *self.test)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Stories whose responses are predicted, in whole or in part."""
        return self.test

    def train_for(self, subject: str) -> tuple[str, ...]:
        """Stories that a subject is fitted on."""
        return (*self.train, *self.own.get(subject, ()))

    def of(self, subject: str) -> HeldOutStories:
        """The same for one subject: its own training stories are among the others."""
        return HeldOutStories(self.train_for(subject), self.test)


@dataclass(frozen=True)
class ContiguousFolds:
    """One story cut into contiguous folds; each is predicted by a fit on the rest."""

    story: str
    """Name of the story."""
    n_folds: int
    """Number of folds."""
    gap: int
    """TRs on both sides of the held-out fold that train nothing: responses outlast their cause, and
    neighbouring TRs are no independent evidence."""
    kind: ClassVar[Literal["folds"]] = "folds"
    joined: ClassVar[bool] = False
    """A voxel's score is the mean over folds: each has a fit, so an offset, of its own."""

    def __str__(self) -> str:
        return f"{self.n_folds} contiguous folds, gap {self.gap} TRs"

    def fingerprint(self) -> Mapping[str, Any]:
        """What determines a value, as JSON."""
        return {"kind": self.kind, "n_folds": self.n_folds, "gap": self.gap}

    @property
    def n_fits(self) -> int:
        """Fits of each model, layer and subject."""
        return self.n_folds

    @property
    def stories(self) -> tuple[str, ...]:
        """Every story that is read."""
        return (self.story,)

    @property
    def own(self) -> Mapping[str, tuple[str, ...]]:
        """Further training stories of each subject: none."""
        return {}

    @property
    def held_out(self) -> tuple[str, ...]:
        """Stories whose responses are predicted, in whole or in part."""
        return (self.story,)

    def train_for(self, subject: str) -> tuple[str, ...]:
        """Stories that a subject is fitted on."""
        return (self.story,)

    def of(self, subject: str) -> ContiguousFolds:
        """The same for one subject."""
        return self

    def folds(self, n_trs: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows of each fold.

        Parameters
        ----------
        n_trs : int
            Rows (TRs) of the story.

        Returns
        -------
        list of (train rows, test rows)
            Each an ndarray of int. Rows in a gap are in neither.

        Raises
        ------
        DataError
            If the story is too short for the folds and gaps.
        """
        edges = np.linspace(0, n_trs, self.n_folds + 1).round().astype(np.intp)
        rows = np.arange(n_trs)
        folds = []
        for first, stop in pairwise(edges):
            train = rows[(rows < first - self.gap) | (rows >= stop + self.gap)]
            folds.append((train, rows[first:stop]))
        if min(len(test) for _, test in folds) < 3 or min(len(train) for train, _ in folds) < 10:
            raise DataError(
                f"story {self.story!r} has {n_trs} TRs, too few for {self.n_folds} folds "
                f"with a gap of {self.gap} TRs"
            )
        return folds

    def inner_groups(self, train: NDArray[np.intp], n_trs: int) -> NDArray[np.intp]:
        """Groups for the inner cross-validation that chooses alpha: the other folds.

        Parameters
        ----------
        train : ndarray of int, shape (row,)
            Training rows of one fold.
        n_trs : int
            Rows (TRs) of the story.

        Returns
        -------
        ndarray of int, shape (row,)
        """
        edges = np.linspace(0, n_trs, self.n_folds + 1).round().astype(np.intp)
        groups: NDArray[np.intp] = np.searchsorted(edges, train, side="right") - 1
        return groups


Evaluation = HeldOutStories | ContiguousFolds


def train_on_fewer(
    evaluation: Evaluation, n_stories: int, seed: int, subjects: Sequence[str] = ()
) -> HeldOutStories:
    """The same test stories, with fewer training stories.

    A smaller subset of one seed is part of every larger one. If subjects have training stories of
    their own, all draw from one random order, and each takes the first stories in it that it heard.

    Parameters
    ----------
    evaluation : Evaluation
        What is held out.
    n_stories : int
        Number of training stories of each subject.
    seed : int
        Seed of the random order.
    subjects : sequence of str, default all
        Subjects that must have that many training stories.

    Returns
    -------
    HeldOutStories

    Raises
    ------
    UsageError
        If folds of one story are held out, or a subject has fewer training stories.
    """
    if evaluation.kind != "stories":
        raise UsageError("--train-stories is for datasets with held-out test stories")
    heard = {subject: evaluation.train_for(subject) for subject in evaluation.own}
    needed = {subject: heard[subject] for subject in subjects if subject in heard} or heard
    for subject, stories in (needed or {"": evaluation.train}).items():
        if not 1 <= n_stories <= len(stories):
            there = f"subject {subject} has" if subject else "there are"
            many = "story" if len(stories) == 1 else "stories"
            raise UsageError(f"--train-stories {n_stories}: {there} {len(stories)} training {many}")
    every = [story for story in evaluation.stories if story not in evaluation.test]
    order = [every[i] for i in np.random.default_rng(seed).permutation(len(every))]

    def drawn(stories: Sequence[str]) -> tuple[str, ...]:
        chosen = [story for story in order if story in stories][:n_stories]
        return tuple(story for story in stories if story in chosen)

    if not heard:
        return HeldOutStories(drawn(evaluation.train), evaluation.test)
    draws = {subject: drawn(stories) for subject, stories in heard.items()}
    shared = set.intersection(*(set(draw) for draw in draws.values()))
    return HeldOutStories(
        tuple(story for story in evaluation.train if story in shared),
        evaluation.test,
        {s: tuple(story for story in draw if story not in shared) for s, draw in draws.items()},
    )

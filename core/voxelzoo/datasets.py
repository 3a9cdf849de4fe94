"""Opening a dataset by name or folder, checking what it says, and deciding what is held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset, DatasetSpec, NotFoundError, UsageError
from voxelzoo.host import Host, Registered, load_target

GROUP = "group"
"""What datasets name the mean over subjects: each is in it, so it is no other to them."""


def open_dataset(
    host: Host, text: str, options: Mapping[str, str] | None = None, allow_pickle: bool = False
) -> Dataset:
    """The dataset named ``NAME``, ``NAME:PATH``, or the bare path of a folder some plugin knows.

    ``allow_pickle`` is passed to one that may read pickles.

    Raises :class:`NotFoundError` for a name or folder nobody knows, :class:`DataError` for a folder
    that is damaged.
    """
    registered, path = _resolve(host, text)
    target = load_target(registered)
    given = dict(options or {})
    if allow_pickle and registered.spec.pickles:
        given["allow_pickle"] = "true"
    dataset: Dataset = target(path, **given)
    _check(dataset)
    return dataset


def _resolve(host: Host, text: str) -> tuple[Registered[DatasetSpec], Path | None]:
    names = {registered.spec.name for registered in host.datasets}
    name, colon, rest = text.partition(":")
    if colon and name in names:
        return host.dataset(name), _folder(rest)
    if text in names and not Path(text).is_dir():
        registered = host.dataset(text)
        if registered.spec.needs_path:
            raise UsageError(f"dataset {text!r} needs its folder: --dataset {text}:PATH")
        return registered, None
    if not Path(text).exists() and not any(mark in text for mark in "/.~\\"):
        return host.dataset(text), None  # says which names there are
    path = _folder(text)
    knowing = [r for r in host.datasets if r.spec.recognise is not None and r.spec.recognise(path)]
    if len(knowing) == 1:
        return knowing[0], path
    if knowing:
        found = " and ".join(f"{r.spec.name} ({r.distribution})" for r in knowing)
        raise NotFoundError(f"{path} is recognised by {found}; say --dataset NAME:{text}")
    raise DataError(
        f"{path}: no dataset plugin knows this layout (asked: {', '.join(sorted(names))}); "
        "a plain folder needs a dataset.yaml, see the README"
    )


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    return path.resolve()


def _check(dataset: Dataset) -> None:
    """What must hold of every dataset before anything is computed."""
    name = dataset.info().name
    train, test = list(dataset.train_stories()), list(dataset.test_stories())
    if both := sorted(set(train) & set(test)):
        raise DataError(f"dataset {name!r}: {', '.join(both)} in both train and test stories")
    if not train:
        raise DataError(f"dataset {name!r} has no training story")
    if not dataset.subjects():
        raise DataError(f"dataset {name!r} has no subject")


def choose_subjects(dataset: Dataset, asked: Sequence[str]) -> list[str]:
    """The subjects asked for, or all; an unknown one is the dataset's to explain."""
    known = list(dataset.subjects())
    for subject in asked:
        if subject not in known:
            dataset.responses(subject, dataset.train_stories()[0])
            raise NotFoundError(
                f"no subject {subject!r} in {dataset.info().name!r}; it has {', '.join(known)}"
            )
    return list(dict.fromkeys(asked)) or known


def unusable_subjects(dataset: Dataset) -> dict[str, str]:
    """Subjects that are there and cannot be fitted, with the reason, where the dataset says so.

    A dataset may have a method ``unusable_subjects()``; it need not.
    """
    said: Mapping[str, str] = getattr(dataset, "unusable_subjects", dict)()
    return dict(said)


def own_stories(dataset: Dataset, subject: str) -> tuple[str, ...]:
    """Training stories that a subject heard and not every other did.

    A dataset may have a method ``own_stories(subject)``; it need not.
    """
    own = getattr(dataset, "own_stories", None)
    return () if own is None else tuple(own(subject))


def own_stories_left(
    dataset: Dataset, evaluation: Evaluation, subjects: Sequence[str]
) -> str | None:
    """A line about stories that some of the subjects heard and do not train on, or ``None``."""
    if getattr(evaluation, "own", None):
        return None
    n_left = {subject: len(own_stories(dataset, subject)) for subject in subjects}
    left = ", ".join(f"{subject} {n}" for subject, n in n_left.items() if n)
    if not left:
        return None
    return f"training stories that not every subject heard are left out ({left}): --own-stories"


@contextmanager
def opened_responses(dataset: Dataset, subject: str, story: str) -> Iterator[Any]:
    """Responses to be sliced by voxel, ``opened[..., first:stop]``, with ``shape`` and ``dtype``.

    A dataset may have a method ``open_responses(subject, story)``, a context of an array that is
    on disk; of one without it, the responses are read whole.
    """
    opens = getattr(dataset, "open_responses", None)
    with (
        nullcontext(dataset.responses(subject, story))
        if opens is None
        else opens(subject, story) as opened
    ):
        yield opened


# --------------------------------------------------------------------------------- what is held out


@dataclass(frozen=True)
class HeldOutStories:
    """Test stories are predicted whole by a fit on all training stories."""

    train: tuple[str, ...]
    """Of every subject."""
    test: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Training stories that a subject has beside those; of all subjects, where any has some."""

    def __str__(self) -> str:
        return f"held-out stories ({', '.join(self.test)})"

    @property
    def stories(self) -> tuple[str, ...]:
        """Every story that is read."""
        own = dict.fromkeys(story for stories in self.own.values() for story in stories)
        return (*self.train, *own, *self.test)

    def of(self, subject: str) -> HeldOutStories:
        """What one subject is fitted on and tested on."""
        return HeldOutStories((*self.train, *self.own.get(subject, ())), self.test)


@dataclass(frozen=True)
class ContiguousFolds:
    """One story cut into contiguous folds; each is predicted by a fit on the rest.

    ``gap`` TRs on both sides of the held-out fold train nothing: responses outlast their cause, and
    neighbouring TRs are no independent evidence.
    """

    story: str
    n_folds: int
    gap: int

    def __str__(self) -> str:
        return f"{self.n_folds} contiguous folds, gap {self.gap} TRs"

    @property
    def stories(self) -> tuple[str, ...]:
        """Every story that is read."""
        return (self.story,)

    def folds(self, n_trs: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """(train rows, test rows) of each fold, for a story of ``n_trs`` rows."""
        edges = np.linspace(0, n_trs, self.n_folds + 1).round().astype(np.intp)
        rows = np.arange(n_trs)
        found = []
        for first, stop in pairwise(edges):
            train = rows[(rows < first - self.gap) | (rows >= stop + self.gap)]
            found.append((train, rows[first:stop]))
        if min(len(test) for _, test in found) < 3 or min(len(train) for train, _ in found) < 10:
            raise DataError(
                f"story {self.story!r} has {n_trs} TRs, too few for {self.n_folds} folds "
                f"with a gap of {self.gap} TRs"
            )
        return found

    def inner_groups(self, train: NDArray[np.intp], n_trs: int) -> NDArray[np.intp]:
        """Group of each training row for the inner choice of alpha: the other folds."""
        edges = np.linspace(0, n_trs, self.n_folds + 1).round().astype(np.intp)
        groups: NDArray[np.intp] = np.searchsorted(edges, train, side="right") - 1
        return groups


Evaluation = HeldOutStories | ContiguousFolds


def plan_evaluation(
    dataset: Dataset, n_folds: int = 6, gap: int = 5, own_for: Sequence[str] = ()
) -> Evaluation:
    """Whole test stories where there are some; contiguous folds of the only story otherwise.

    Training stories are those that every subject heard; the subjects of ``own_for``, all of the
    dataset's, train on those as well that others did not hear.
    """
    train, test = tuple(dataset.train_stories()), tuple(dataset.test_stories())
    if test:
        own = {subject: own_stories(dataset, subject) for subject in own_for}
        return HeldOutStories(train, test, own if any(own.values()) else {})
    if len(train) == 1:
        if n_folds < 2 or gap < 0:
            raise UsageError(
                f"{n_folds} folds with a gap of {gap} TRs: need 2 or more, and 0 or more"
            )
        return ContiguousFolds(train[0], n_folds, gap)
    raise DataError(
        f"dataset {dataset.info().name!r} has {len(train)} training stories and no test story; "
        "name at least one test story, so that it can be held out whole"
    )


def train_on_fewer(
    evaluation: Evaluation, n_stories: int, seed: int, subjects: Sequence[str] = ()
) -> HeldOutStories:
    """The same test stories, and ``n_stories`` of the training stories, drawn from ``seed``.

    A smaller subset of one seed is part of every larger one. Where subjects have stories of their
    own, each takes the first it heard of the same draw; ``subjects``, or all, must have so many.
    """
    if not isinstance(evaluation, HeldOutStories):
        raise UsageError("--train-stories is for datasets whose test stories are held out whole")
    heard = {subject: evaluation.of(subject).train for subject in evaluation.own}
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

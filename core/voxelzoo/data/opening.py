"""Opens a dataset by name or folder, and asks it what it may know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from voxelzoo.api import (
    DataError,
    Dataset,
    DatasetSpec,
    HasAverages,
    HasOwnStories,
    HasUnusableSubjects,
    NotFoundError,
    OpensResponses,
    StoredResponses,
    UsageError,
)
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import load_target
from voxelzoo.science.protocols import GAP_TRS, N_FOLDS
from voxelzoo.science.splits import ContiguousFolds, Evaluation, HeldOutStories


def open_dataset(
    host: Host,
    text: str | None,
    options: Mapping[str, str] | None = None,
    allow_pickle: bool = False,
) -> Dataset:
    """Opens a dataset.

    Parameters
    ----------
    host
        The plugins that read datasets.
    text
        ``NAME``, ``NAME:PATH``, or the path of a folder that some plugin recognises. ``None``: the
        default dataset.
    options
        The dataset's own settings.
    allow_pickle
        Passed to a dataset that may read pickles.

    Raises
    ------
    NotFoundError
        No plugin knows the name or the folder.
    DataError
        The folder is damaged.
    UsageError
        The dataset has no such option.
    """
    registered, path = (host.default_dataset(), None) if text is None else _resolve(host, text)
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
    """Subjects who cannot be fitted, each with the reason, if the dataset names them."""
    return dict(dataset.unusable_subjects()) if isinstance(dataset, HasUnusableSubjects) else {}


def averages(dataset: Dataset) -> frozenset[str]:
    """Subjects that are means over other subjects, if the dataset has any."""
    return frozenset(dataset.averages() if isinstance(dataset, HasAverages) else ())


def own_stories(dataset: Dataset, subject: str) -> tuple[str, ...]:
    """Training stories that a subject heard and not every other did, if the dataset has any."""
    return tuple(dataset.own_stories(subject) if isinstance(dataset, HasOwnStories) else ())


def own_stories_left(
    dataset: Dataset, evaluation: Evaluation, subjects: Sequence[str]
) -> str | None:
    """A line about stories that some of the subjects heard and do not train on, or ``None``."""
    if evaluation.own:
        return None
    n_left = {subject: len(own_stories(dataset, subject)) for subject in subjects}
    left = ", ".join(f"{subject} {n}" for subject, n in n_left.items() if n)
    if not left:
        return None
    return f"training stories that not every subject heard are left out ({left}): --own-stories"


@contextmanager
def opened_responses(dataset: Dataset, subject: str, story: str) -> Iterator[StoredResponses]:
    """Responses to be sliced by voxel, ``opened[..., first:stop]``.

    On disk if the dataset can open them there; else read whole.
    """
    with (
        dataset.open_responses(subject, story)
        if isinstance(dataset, OpensResponses)
        else nullcontext(dataset.responses(subject, story)) as opened
    ):
        yield opened


def plan_evaluation(
    dataset: Dataset,
    n_folds: int = N_FOLDS,
    gap: int = GAP_TRS,
    own_for: Sequence[str] = (),
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
        return ContiguousFolds(train[0], n_folds, gap)
    raise DataError(
        f"dataset {dataset.info().name!r} has {len(train)} training stories and no test story; "
        "name at least one test story, so that it can be held out whole"
    )

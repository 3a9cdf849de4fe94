"""Opens datasets by name or folder, and asks them what only some datasets can tell."""

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
    PluginError,
    StoredResponses,
    UsageError,
)
from voxelzoo.host.boundary import plugin_call, time_limit
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import load_target
from voxelzoo.science.durations import Duration, in_trs
from voxelzoo.science.protocols import GAP, N_FOLDS
from voxelzoo.science.splits import ContiguousFolds, Evaluation, HeldOutStories


def open_dataset(
    host: Host,
    text: str | None,
    options: Mapping[str, str] | None = None,
    allow_pickle: bool = False,
) -> Dataset:
    """Open a dataset.

    Parameters
    ----------
    host : Host
        The plugins that read datasets.
    text : str or None
        ``NAME``, ``NAME:PATH``, or the path of a folder that some plugin recognises; the default
        dataset if None.
    options : mapping of str to str, optional
        The dataset's own settings.
    allow_pickle : bool, default False
        Passed to a dataset that may read pickles.

    Returns
    -------
    Dataset

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
    settings = dict(options or {})
    if allow_pickle and registered.spec.pickles:
        settings["allow_pickle"] = "true"
    with plugin_call(f"{registered.id} of {registered.distribution} {registered.version}"):
        dataset: Dataset = target(path, **settings)
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
        return host.dataset(text), None  # raises an error that lists the names
    path = _folder(text)
    failed: list[str] = []
    matches = [registered for registered in host.datasets if _recognises(registered, path, failed)]
    if len(matches) == 1:
        return matches[0], path
    if matches:
        readers = " and ".join(f"{r.spec.name} ({r.distribution})" for r in matches)
        raise NotFoundError(f"{path} is recognised by {readers}; use --dataset NAME:{text}")
    raise DataError(
        f"{path}: no dataset plugin knows this layout (tried: {', '.join(sorted(names))}); "
        "a plain folder needs a dataset.yaml, see the README" + "".join(f"; {e}" for e in failed)
    )


def _recognises(registered: Registered[DatasetSpec], path: Path, failed: list[str]) -> bool:
    """Whether a plugin knows a folder. One that fails knows it not, and disturbs no other."""
    if registered.spec.recognise is None:
        return False
    who = f"{registered.id} of {registered.distribution} {registered.version}"
    try:
        with plugin_call(who, "while it looked at the folder"), time_limit():
            return bool(registered.spec.recognise(path))
    except PluginError as error:
        failed.append(str(error))
        return False


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
    """The subjects to fit.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    asked : sequence of str
        Subjects by name; all of the dataset's if empty.

    Returns
    -------
    list of str
        Each subject once.

    Raises
    ------
    NotFoundError
        For an unknown subject.
    DataError
        For a subject who cannot be fitted, with the dataset's reason.
    """
    known = list(dataset.subjects())
    for subject in asked:
        if subject not in known:
            dataset.responses(subject, dataset.train_stories()[0])  # may know why, and raise
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
    """One line about stories that some subjects heard and do not train on.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    evaluation : HeldOutStories or ContiguousFolds
        What is trained on.
    subjects : sequence of str
        The subjects to fit.

    Returns
    -------
    str or None
        How many such stories each subject has; None if there are none.
    """
    if evaluation.own:
        return None
    n_left = {subject: len(own_stories(dataset, subject)) for subject in subjects}
    left = ", ".join(f"{subject} {n}" for subject, n in n_left.items() if n)
    if not left:
        return None
    return (
        f"training stories that some subjects did not hear are skipped ({left}); "
        "--own-stories uses them"
    )


@contextmanager
def opened_responses(dataset: Dataset, subject: str, story: str) -> Iterator[StoredResponses]:
    """Open a subject's responses, to be read some voxels at a time.

    The array stays on disk if the dataset can open it there. Otherwise it is read whole.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    subject : str
        One of its subjects.
    story : str
        A story that this subject heard.

    Yields
    ------
    StoredResponses
        Sliced by voxel: ``opened[..., first:stop]``.
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
    gap: Duration = GAP,
    own_for: Sequence[str] = (),
) -> Evaluation:
    """What is trained on and what is held out: test stories if there are any, otherwise folds.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    n_folds : int, default 6
        Number of contiguous folds, if there is only one story.
    gap : int or str, default "10s"
        TRs, or seconds, on each side of a held-out fold that train nothing.
    own_for : sequence of str, default ()
        Subjects who also train on stories that some other subjects did not hear. All subjects of
        the dataset, or none.

    Returns
    -------
    HeldOutStories or ContiguousFolds

    Raises
    ------
    DataError
        If there are several training stories and no test story.
    """
    train, test = tuple(dataset.train_stories()), tuple(dataset.test_stories())
    if test:
        own = {subject: own_stories(dataset, subject) for subject in own_for}
        return HeldOutStories(train, test, own if any(own.values()) else {})
    if len(train) == 1:
        return ContiguousFolds(train[0], n_folds, in_trs(gap, dataset.clock(train[0]).tr, "gap"))
    raise DataError(
        f"dataset {dataset.info().name!r} has {len(train)} training stories and no test story; "
        "name at least one test story, to hold out"
    )

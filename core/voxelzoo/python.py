"""The functions of ``import voxelzoo``: each has the name, and does the work, of a command.

What the command line takes from its options, they take as arguments. They open plugins and
catalogue once for a process, show progress in a terminal and in a notebook, return objects, and
raise :class:`~voxelzoo.api.ZooError` for whatever is expected to go wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from voxelzoo.api import Dataset, ModelEntry, ZooError
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.progress import Progress, Silent
from voxelzoo.runs.options import DEFAULT_STORE, DEFAULTS, RunOptions

if TYPE_CHECKING:
    import pandas

    from voxelzoo.recipes.options import ReproduceOptions
    from voxelzoo.recipes.reproduction import Reproduction
    from voxelzoo.runs.estimate import Estimate
    from voxelzoo.runs.extraction import StoryStates
    from voxelzoo.store.result_list import Results
    from voxelzoo.store.store import Store

Models = str | ModelEntry | Sequence[str | ModelEntry]
"""One model or several, by name or as rows of the catalogue."""


def run(
    models: Models,
    dataset: str | Path | Dataset,
    *,
    options: RunOptions = DEFAULTS,
    store: str | Path | Store = DEFAULT_STORE,
    registry: Sequence[str | Path] = (),
    progress: bool | Progress = True,
) -> Results:
    """Predict responses from models: extract, align, fit every voxel, score (``zoo run``).

    Everything computed is kept in the store. What is already there is not computed again.

    Parameters
    ----------
    models : str, ModelEntry, or sequence of them
        Names such as ``"whisper-tiny"``, ``"features/NAME"`` or ``"hf:ORG/NAME"``.
    dataset : str, Path or Dataset
        A dataset's name, ``NAME:PATH``, the path of a folder, or a dataset: one that
        :func:`open_dataset` opened, or an :class:`~voxelzoo.InMemoryDataset`.
    options : RunOptions, default RunOptions()
        Everything else: subjects, layers, delays, regressor, what is kept, and so on.
    store : str, Path or Store, default "zoo-store"
        Folder that keeps states and results.
    registry : sequence of str or Path, default ()
        Files with further models, as for ``zoo run --registry``.
    progress : bool or Progress, default True
        Whether to show progress on standard error, or in the notebook; or what is told of it.

    Returns
    -------
    Results
        One result for each model, subject and layer; for joint fits, one for each subject. A model
        that fails does not stop the others: a warning names it.

    Raises
    ------
    ZooError
        If nothing could be run: an unknown name, an option that makes no sense, data that are
        damaged or leak, or models that all failed.

    Examples
    --------
    ::

        results = voxelzoo.run(
            ["word-rate", "whisper-tiny"],
            "simulated",
            options=voxelzoo.RunOptions(untrained=True, stride=1.0),
        )
        results.table()
        results[0].array("r")
    """
    import warnings

    from voxelzoo.runs import execute
    from voxelzoo.store.result_list import Results

    with _shown(progress) as shown:
        report = execute.run(
            _zoo(registry), _several(models), _dataset(dataset), _store(store), options, shown
        )
    if report.failures and not report.results:
        raise report.failures[0][1]
    for entry, error in report.failures:
        warnings.warn(f"{entry.name} failed: {error}", stacklevel=2)
    return Results(report.results)


def plan(
    models: Models,
    dataset: str | Path | Dataset,
    *,
    options: RunOptions = DEFAULTS,
    store: str | Path | Store = DEFAULT_STORE,
    registry: Sequence[str | Path] = (),
) -> pandas.DataFrame:
    """Estimate what :func:`run` would take with the same arguments (``zoo plan``).

    No weights are loaded and nothing is computed. What is already in the store is not counted.

    Parameters
    ----------
    models, dataset, options, store, registry
        As for :func:`run`.

    Returns
    -------
    pandas.DataFrame
        A row for each model: passes, time (s), memory and disk (bytes).

    Raises
    ------
    ZooError
        As :func:`run`.
    """
    from pandas import DataFrame

    from voxelzoo.runs import execute

    estimates: list[Estimate] = execute.plan(
        _zoo(registry), _several(models), _dataset(dataset), _store(store), options
    )
    return DataFrame([estimate.record() for estimate in estimates])


def extract(
    model: str | ModelEntry,
    dataset: str | Path | Dataset,
    *,
    stories: Sequence[str] = (),
    options: RunOptions = DEFAULTS,
    registry: Sequence[str | Path] = (),
    progress: bool | Progress = True,
) -> dict[str, StoryStates]:
    """Compute a model's hidden states for use elsewhere (``zoo extract``).

    No store is read or written.

    Parameters
    ----------
    model : str or ModelEntry
        One model.
    dataset : str, Path or Dataset
        As for :func:`run`.
    stories : sequence of str, default ()
        Stories to read; all of the dataset's if empty.
    options : RunOptions, default RunOptions()
        Those that concern models; those of subjects and fits are not used.
    registry, progress
        As for :func:`run`.

    Returns
    -------
    dict of str to StoryStates
        States of each story at the model's own times: ``times`` (time,) in seconds, ``states``
        (layer, time, unit) and ``layers``.

    Raises
    ------
    ZooError
        For an unknown model or story, and for a story that the model cannot read.
    """
    from voxelzoo.runs import execute

    with _shown(progress) as shown:
        return execute.extract(
            _zoo(registry), model, _dataset(dataset), options, stories=stories, progress=shown
        )


def open_dataset(
    dataset: str | Path,
    *,
    options: Mapping[str, str] | None = None,
    allow_pickle: bool = False,
) -> Dataset:
    """Open a dataset, to look at it or to pass it to :func:`run`.

    Parameters
    ----------
    dataset : str or Path
        Its name, ``NAME:PATH``, or the path of a folder.
    options : mapping of str to str, optional
        The dataset's own settings; ``zoo data describe NAME`` lists them.
    allow_pickle : bool, default False
        Read data that exist only as pickles, with a restricted reader.

    Returns
    -------
    Dataset
        With ``subjects()``, ``train_stories()``, ``test_stories()``, ``story(name)``,
        ``responses(subject, story)`` and more.

    Raises
    ------
    NotFoundError
        If there is no such dataset.
    DataError
        If the folder is damaged, or no installed plugin reads its layout.
    """
    from voxelzoo.data import opening

    return opening.open_dataset(_zoo(()).host, str(dataset), options, allow_pickle)


def open_store(path: str | Path = DEFAULT_STORE) -> Store:
    """Open a store of results that runs have made.

    Parameters
    ----------
    path : str or Path, default "zoo-store"
        The folder given to :func:`run` or ``zoo run --store``.

    Returns
    -------
    Store
        ``store.results(model="opt-125m")`` gives its results.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    from voxelzoo.store import store

    return store.open_store(path)


def models(*, registry: Sequence[str | Path] = ()) -> pandas.DataFrame:
    """All models of the catalogue (``zoo list``).

    Parameters
    ----------
    registry : sequence of str or Path, default ()
        Files with further models.

    Returns
    -------
    pandas.DataFrame
        A row for each model, by name: modality, family, parameters, layers, width, licence, whether
        it is in the paper, plugin, and where its weights are.

    Raises
    ------
    ZooError
        If a registry file is invalid.
    """
    from pandas import DataFrame

    from voxelzoo.host.listing import model_row

    rows = [model_row(entry) for entry in _zoo(registry).catalogue.entries]
    table = DataFrame(rows).set_index("model")
    return table.astype({"parameters": "Int64", "layers": "Int64", "width": "Int64"})


def reproduce(
    recipe: str | Path,
    *,
    miniature: bool = False,
    untrained: bool = False,
    options: ReproduceOptions | None = None,
    registry: Sequence[str | Path] = (),
    progress: bool | Progress = True,
) -> Reproduction:
    """Run a paper's recipe as far as this machine and its data allow (``zoo reproduce``).

    Parameters
    ----------
    recipe : str or Path
        Name of a recipe, such as ``"antonello2023"``, or a YAML file.
    miniature : bool, default False
        Run its miniature instead: very small networks on simulated data.
    untrained : bool, default False
        Give networks random weights, as a control.
    options : ReproduceOptions, optional
        Dataset, store, subjects, figures, models, and what is kept.
    registry : sequence of str or Path, default ()
        Further registry files, as for ``--registry``.
    progress : bool or Progress, default True
        As for :func:`run`.

    Returns
    -------
    Reproduction
        ``lines`` compare what is expected with what was obtained; ``figures`` has the numbers and
        maps of each figure.

    Raises
    ------
    ZooError
        If the recipe is invalid, or names what is not installed.
    """
    from voxelzoo.recipes import reproduce as recipes
    from voxelzoo.recipes.loading import open_recipe

    paper = open_recipe(recipe, miniature=miniature, untrained=untrained)
    zoo = recipes.open_zoo_for(paper, [Path(each) for each in registry])
    with _shown(progress) as shown:
        return recipes.reproduce(zoo, paper, options, shown)


# ------------------------------------------------------------------------------------- arguments


@cache
def _open_zoo(registry: tuple[Path, ...]) -> Zoo:
    return open_zoo(registry, None, False)


def _zoo(registry: Sequence[str | Path]) -> Zoo:
    """Plugins and catalogue; opened once for each set of registry files."""
    return _open_zoo(tuple(Path(each) for each in registry))


def _several(models: Models) -> Sequence[str | ModelEntry]:
    return [models] if isinstance(models, str | ModelEntry) else models


def _dataset(dataset: str | Path | Dataset) -> str | Dataset:
    return str(dataset) if isinstance(dataset, Path) else dataset


def _store(store: str | Path | Store) -> Store:
    from voxelzoo.store.store import Store

    return store if isinstance(store, Store) else Store(Path(store))


# -------------------------------------------------------------------------------------- progress


class Bars:
    """Progress as bars: in a notebook where there is one, else on standard error."""

    def say(self, line: str) -> None:
        """Print one line."""
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar while the work lasts; it goes when the work is done."""
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=what, leave=False, dynamic_ncols=True) as bar:
            yield lambda steps: bar.update(steps) and None


@contextmanager
def _shown(progress: bool | Progress) -> Iterator[Progress]:
    if isinstance(progress, bool):
        yield Bars() if progress else Silent()
    else:
        yield progress


__all__ = [
    "ZooError",
    "extract",
    "models",
    "open_dataset",
    "open_store",
    "plan",
    "reproduce",
    "run",
]

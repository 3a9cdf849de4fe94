"""A recipe, run as far as this machine and its data allow, and held against what is expected."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset, ExtractorRequest, ModelEntry, UsageError, ZooError
from voxelzoo.datasets import choose_subjects, open_dataset, opened_responses, unusable_subjects
from voxelzoo.figures import KINDS, Axes, Canvas, FigureError, Numbers, gain_percent, runs_of
from voxelzoo.progress import Progress
from voxelzoo.protocols import find_protocol
from voxelzoo.recipes import Expectation, Figure, Recipe
from voxelzoo.responses import read_responses
from voxelzoo.store import Store
from voxelzoo.sweep import NOT_ASKED_FOR, Installed, Outcomes, Sweep, obstacle

Status = Literal["match", "mismatch", "partial", "not compared", "not run"]


@dataclass(frozen=True)
class Line:
    """One row of the table: what was expected, and what came out."""

    id: str
    figure: str | None
    statistic: str | None
    expected: str | None
    obtained: float | str | None
    status: Status
    why: str
    low: float | None = None
    high: float | None = None
    """Interval of what was obtained, by bootstrap, where the figure gives one."""
    tolerance: str | None = None
    """Where the tolerance comes from."""
    meaning: str | None = None
    """What the statistic is, in words."""
    source: str | None = None

    def record(self) -> dict[str, Any]:
        """As a flat record."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Difference:
    """Where the data at hand are not those that the recipe speaks of."""

    text: str
    subjects: frozenset[str] = frozenset()
    """Whom it concerns; everybody, if empty."""
    story: str | None = None
    """The test story it concerns; all, if ``None``."""

    def concerns(self, figure: Figure) -> bool:
        """Whether the figure's numbers are of other data than the recipe's for this."""
        if figure.subjects and self.subjects and self.subjects.isdisjoint(figure.subjects):
            return False
        return None in (self.story, figure.story) or self.story == figure.story


@dataclass
class Reproduction:
    """Everything a recipe gave."""

    recipe: Recipe
    lines: list[Line] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Figures of which nothing could be computed, with the reason."""
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    statistics: dict[str, float] = field(default_factory=dict)
    """Of the call as a whole: what it took."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    only_subjects: tuple[str, ...] = ()
    """Subjects asked for, where not all of the recipe's were."""

    def record(self) -> dict[str, Any]:
        """All numbers as JSON values; maps are left out."""
        return {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "lines": [line.record() for line in self.lines],
            "figures": {
                name: {
                    "statistics": numbers.statistics,
                    "rows": numbers.rows,
                    "missing": numbers.missing,
                }
                for name, numbers in self.numbers.items()
            },
            "not_run": self.reasons,
            "statistics": self.statistics,
            "notes": self.notes,
            "computed": self.outcomes.n_computed,
            "from_store": self.outcomes.n_kept,
        }


@dataclass(frozen=True)
class Asked:
    """What the user asked of a recipe."""

    dataset: str | None = None
    models: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    store: Path = Path("zoo-store")
    device: str = "cpu"
    dtype: str | None = None
    """Instead of the recipe's."""
    dataset_options: Mapping[str, str] = field(default_factory=dict)
    """Beside the recipe's."""
    allow_pickle: bool = False


def reproduce(
    installed: Installed, recipe: Recipe, asked: Asked, progress: Progress
) -> Reproduction:
    """Runs what can be run; says of the rest why not.

    Raises :class:`UsageError` for a model or figure that the recipe does not have.
    """
    for what, names, known in (
        ("model", asked.models, recipe.models),
        ("figure", asked.figures, recipe.figures),
    ):
        if unknown := [name for name in names if name not in known]:
            raise UsageError(
                f"recipe {recipe.name} has no {what} {unknown[0]!r}; it has {', '.join(known)}"
            )
    begun = time.process_time()
    found = Reproduction(recipe, only_subjects=asked.subjects)
    if recipe.stands_for:
        found.notes.append("a miniature has neither the paper's data nor its models: no comparison")
    if recipe.notes:
        found.notes.append(recipe.notes)
    figures = {n: f for n, f in recipe.figures.items() if n in asked.figures or not asked.figures}
    request = _request(recipe, asked)
    lacking = _lacking_data(installed, recipe, asked)
    if lacking is not None:
        for name, figure in figures.items():
            found.reasons[name] = "; ".join(
                [lacking, *_obstacles(installed, recipe, request, figure)]
            )
    else:
        _run_figures(installed, recipe, asked, request, progress, figures, found)
    skipped = dict.fromkeys(recipe.figures.keys() - figures.keys(), NOT_ASKED_FOR)
    found.reasons |= skipped
    if found.outcomes.n_computed:
        found.statistics["cpu_hours"] = round((time.process_time() - begun) / 3600, 4)
    found.lines.extend(_lines(found))
    return found


def _request(recipe: Recipe, asked: Asked) -> ExtractorRequest:
    fit = recipe.fit
    return ExtractorRequest(
        model=ModelEntry(name="", plugin="", modality="any"),
        untrained=fit.untrained,
        seed=fit.seed,
        device=asked.device,
        dtype=asked.dtype or fit.dtype,
        allow_pickle=asked.allow_pickle,
        protocol=fit.protocol,
    )


def _lacking_data(installed: Installed, recipe: Recipe, asked: Asked) -> str | None:
    """What is lacking where the dataset lives in a folder that nobody named."""
    name = recipe.data.dataset
    if asked.dataset is not None:
        return None
    for registered in installed.host.datasets:
        if registered.spec.name == name and registered.spec.needs_path:
            return f"needs data: --dataset {name}:PATH (zoo data describe {name})"
    return None


def _obstacles(
    installed: Installed, recipe: Recipe, request: ExtractorRequest, figure: Figure
) -> list[str]:
    """What else keeps a figure from being made: each model's reason, those alike together."""
    reasons: dict[str, list[str]] = {}
    for model in figure.models:
        if reason := obstacle(installed, recipe, request, model):
            reasons.setdefault(reason.partition(":")[0], []).append(model)
    return [f"{reason}: {', '.join(models)}" for reason, models in reasons.items()]


def _open(installed: Installed, recipe: Recipe, asked: Asked) -> Dataset:
    name = recipe.data.dataset
    options = {**recipe.data.options, **asked.dataset_options}
    host, pickles = installed.host, asked.allow_pickle
    if asked.dataset is None:
        with nullcontext() if asked.dataset_options else recipe.blame("data", "dataset"):
            return open_dataset(host, name, options, pickles)
    text = asked.dataset
    known = {registered.spec.name for registered in host.datasets}
    if text.partition(":")[0] not in known and name in known and Path(text).is_dir():
        try:
            return open_dataset(host, text, options, pickles)
        except DataError:
            text = f"{name}:{text}"
    return open_dataset(host, text, options, pickles)


def _run_figures(
    installed: Installed,
    recipe: Recipe,
    asked: Asked,
    request: ExtractorRequest,
    progress: Progress,
    figures: Mapping[str, Figure],
    found: Reproduction,
) -> None:
    dataset = _open(installed, recipe, asked)
    with nullcontext() if asked.subjects else recipe.blame("data", "subjects"):
        subjects = choose_subjects(dataset, asked.subjects or _subjects_there(recipe, dataset))
    sweep = Sweep(
        installed,
        recipe,
        dataset,
        Store(asked.store),
        request,
        progress,
        frozenset(asked.models),
        subjects,
    )
    with recipe.blame("fit"):
        sweep.check()
    found.differences = _differences(sweep)
    found.notes.extend(f"data: {each.text}" for each in found.differences)
    canvases = {name: _canvas(sweep, figure, found.outcomes) for name, figure in figures.items()}
    done = sweep.execute(run for canvas in canvases.values() for run in runs_of(canvas))
    found.outcomes.results |= done.results
    found.outcomes.reasons |= done.reasons
    found.outcomes.n_computed, found.outcomes.n_kept = done.n_computed, done.n_kept
    for name, canvas in canvases.items():
        try:
            found.numbers[name] = KINDS[canvas.figure.kind](canvas)
        except FigureError as error:
            found.reasons[name] = str(error)
        except ZooError as error:
            found.reasons[name] = f"cannot be computed: {error}"


def _canvas(sweep: Sweep, figure: Figure, outcomes: Outcomes) -> Canvas:
    dataset, trims = sweep.dataset, sweep.recipe.data.trims
    stories = list(dataset.test_stories() or dataset.train_stories())
    clock = dataset.clock(stories[0])
    lead = int((clock.times < figure.seconds).sum())
    if trims is not None and trims.test_start_trs:
        lead = trims.test_start_trs  # the paper's rows, where the recipe says them

    def responses(story: str) -> NDArray[np.floating[Any]]:
        subjects = [s for s in sweep.chosen if not figure.subjects or s in figure.subjects]
        each = [dataset.responses(subject, story) for subject in subjects]
        return np.stack([one.mean(axis=0) if one.ndim == 3 else one for one in each])

    @cache
    def repeats(subject: str, story: str | None) -> NDArray[np.floating[Any]] | None:
        protocol = find_protocol(sweep.recipe.fit.protocol)
        found = []
        for name in [story] if story is not None else dataset.test_stories():
            n_trs = dataset.clock(name).n_trs
            read = read_responses(dataset, subject, name, n_trs, protocol.standardise_responses)
            if read.repeats is not None:
                found.append(read.repeats[:, protocol.skip_test_trs :])
        return max(found, key=len) if found else None

    n_train = [sweep.n_train(subject) for subject in sweep.chosen]
    n_stories, everything = min(n_train), len(set(n_train)) == 1
    return Canvas(sweep.recipe, figure, outcomes, n_stories, everything, lead, responses, repeats)


def _subjects_there(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The recipe's subjects without those that the data lack; all, where they lack every one."""
    there = dataset.subjects()
    return tuple(s for s in recipe.data.subjects if s in there) or recipe.data.subjects


def _differences(sweep: Sweep) -> list[Difference]:
    """Subjects, training stories, test stories and repeats that are not the recipe's."""
    data, dataset = sweep.recipe.data, sweep.dataset
    found = []
    for subject in data.subjects:
        if subject not in dataset.subjects():
            why = unusable_subjects(dataset).get(subject, "not in the data")
            found.append(Difference(f"without subject {subject} ({why})", frozenset({subject})))
    there = {subject: sweep.n_train(subject) for subject in sweep.chosen}
    alike: dict[tuple[int, int], list[str]] = {}
    for subject, number in data.train_stories.items():
        if subject in there and there[subject] != number:
            alike.setdefault((there[subject], number), []).append(subject)
    for (here, number), of in alike.items():
        text = f"{here} training stories here, {number} in the recipe for {', '.join(of)}"
        found.append(Difference(text, frozenset(of)))
    for story in data.test_stories:
        if story not in dataset.test_stories():
            found.append(Difference(f"no test story {story} here", story=story))
        elif (expected := data.repeats.get(story)) is not None:
            found.extend(_repeat_differences(dataset, sweep.chosen, story, expected))
    return [*found, *_trim_differences(sweep)]


def _trim_differences(sweep: Sweep) -> Iterator[Difference]:
    """Test stories whose scans lost another number of volumes at their start, where it is known."""
    trims, dataset = sweep.recipe.data.trims, sweep.dataset
    if trims is None:
        return
    for story in dataset.test_stories():
        lost, expected = dataset.clock(story).n_dropped, trims.start_trs
        if lost not in (None, expected):
            text = f"{story}: {lost} volumes dropped at its start here, {expected} in the recipe"
            yield Difference(text, story=story)


def _repeat_differences(
    dataset: Dataset, subjects: Sequence[str], story: str, expected: int
) -> Iterator[Difference]:
    """Subjects who heard a test story another number of times, so far as the data can tell."""
    by_number: dict[int, list[str]] = {}
    for subject in subjects:
        there = n_repeats(dataset, subject, story)
        if there not in (None, expected):
            by_number.setdefault(int(there or 0), []).append(subject)
    for number, of in by_number.items():
        many = "repeat" if number == 1 else "repeats"
        text = f"{story}: {number} {many} here, {expected} in the recipe for {', '.join(of)}"
        yield Difference(text, frozenset(of), story)


def n_repeats(dataset: Dataset, subject: str, story: str) -> int | None:
    """How often a subject heard a story.

    ``None`` where the data are one array, which may be a mean over repeats, or cannot be read: the
    fit says why.
    """
    try:
        with opened_responses(dataset, subject, story) as responses:
            shape = responses.shape
    except DataError:
        return None
    return int(shape[0]) if len(shape) == 3 else None


# ------------------------------------------------------------------------------------------ lines


def _lines(found: Reproduction) -> list[Line]:
    """Lines for every expectation, then one for every figure that has none."""
    recipe = found.recipe
    lines = [
        _line(found, f"{name}.{reading}" if reading else name, expected, statistic)
        for name, expected in recipe.expect.items()
        for reading, statistic in _readings(expected)
    ]
    lines = [*_other_readings(lines)]
    spoken = {expected.figure for expected in recipe.expect.values()}
    lines.extend(_bare_line(found, name) for name in recipe.figures if name not in spoken)
    return lines


def _other_readings(lines: Sequence[Line]) -> Iterator[Line]:
    """A number that misses in one reading of the paper says so where another reading matches."""
    matching = {line.id.rpartition(".")[0]: line for line in lines if line.status == "match"}
    for line in lines:
        other = matching.get(line.id.rpartition(".")[0])
        if line.status == "mismatch" and other is not None and "." in line.id:
            yield replace(line, why=f"{line.why}; {other.id}, another reading, matches")
        else:
            yield line


def _readings(expected: Expectation) -> list[tuple[str, str | None]]:
    return [*expected.readings.items()] or [("", expected.statistic)]


def _bare_line(found: Reproduction, name: str) -> Line:
    """The line of a figure that nothing is expected of: its first statistic."""
    numbers = found.numbers.get(name)
    if numbers is None:
        why = found.reasons.get(name, "was not run")
        return Line(name, name, None, None, None, "not run", why)
    statistic, value = next(iter(numbers.statistics.items()), (None, None))
    status: Status = "partial" if numbers.missing else "not compared"
    summary = found.recipe.figures[name].summary
    why = _without(numbers.missing) or f"nothing is expected of it ({summary})"
    return Line(name, name, statistic, None, value, status, why)


def _line(found: Reproduction, name: str, expected: Expectation, statistic: str | None) -> Line:
    recipe, figure = found.recipe, expected.figure
    numbers = found.numbers.get(figure) if figure is not None else None

    def line(obtained: float | str | None, status: Status, *why: str) -> Line:
        low, high = _interval(numbers, statistic)
        return Line(
            id=name,
            figure=figure,
            statistic=statistic,
            expected=expected.expected,
            obtained=obtained,
            status=status,
            why="; ".join(each for each in why if each),
            low=low,
            high=high,
            tolerance=expected.why,
            meaning=_meaning(recipe, statistic),
            source=expected.source,
        )

    if figure is None:
        if statistic is None:
            return line(None, "not compared", "a claim that no figure speaks of")
        if (taken := found.statistics.get(statistic)) is None:
            return line(None, "not run", "this call computed nothing")
        return line(taken, "not compared", "what this call took, on another machine")
    if numbers is None:
        return line(None, "not run", found.reasons.get(figure, "was not run"))
    if statistic is None:
        return line(None, "not compared", f"a claim in words: read {figure}")
    missing = {
        model: why
        for model, why in numbers.missing.items()
        if not expected.models or model in expected.models
    }
    obtained = _obtained(numbers, expected, statistic)
    if obtained is None:
        why = numbers.lacking.get(statistic) or _absent(missing)
        return line(None, "not run", why or _not_given(numbers, figure, statistic))
    if expected.is_claim:
        return line(obtained, "not compared", f"a claim in words: read {figure}")
    if not recipe.compares:
        return line(obtained, "not compared", _why_not_compared(recipe))
    if isinstance(obtained, str):
        return line(obtained, "not compared", "is no number")
    near = expected.met_by(obtained)
    differences = [each.text for each in found.differences if each.concerns(recipe.figures[figure])]
    only = ""
    if found.only_subjects and not recipe.figures[figure].subjects:
        only = f"only {', '.join(found.only_subjects)}"
    if missing or only or differences:
        agrees = "within tolerance" if near else _off(expected, obtained)
        data = f"data: {'; '.join(differences)}" if differences else ""
        return line(obtained, "partial", agrees, _without(missing), only, data)
    return line(obtained, "match") if near else line(obtained, "mismatch", _off(expected, obtained))


def _obtained(numbers: Numbers, expected: Expectation, statistic: str) -> float | str | None:
    if not expected.is_gain:
        return numbers.statistics.get(statistic)
    score = "mean_signed_r2" if statistic.endswith("_signed_r2") else "mean_r"
    scores = {row["model"]: row[score] for row in numbers.rows}
    before, after = (scores.get(model) for model in expected.models)
    return None if before is None or after is None else gain_percent(before, after)


def _off(expected: Expectation, obtained: float) -> str:
    """By how much a number misses, and what it was held against."""
    if expected.value is None:
        return "outside the bound"
    tolerance = f" ({expected.why})" if expected.why else ""
    return f"{abs(obtained - expected.value):.3g} off, more than the tolerance{tolerance}"


def _not_given(numbers: Numbers, figure: str, statistic: str) -> str:
    if statistic in numbers.statistics:
        return f"{statistic} is undefined for what was run"
    given = [
        name
        for name, value in numbers.statistics.items()
        if value is not None and not re.search("_low|_high|_error_", name)
    ]
    return f"{figure} gives no {statistic}; it gives {', '.join(given)}"


def _why_not_compared(recipe: Recipe) -> str:
    if recipe.stands_for:
        return "a miniature"
    return "random weights" if recipe.fit.untrained else "a recipe that compares nothing"


def _meaning(recipe: Recipe, statistic: str | None) -> str | None:
    """What the recipe says of a statistic, whichever model it is of."""
    name = (statistic or "").rpartition(".")[2]
    if (said := recipe.statistics.get(name)) is not None:
        return said
    said = recipe.statistics.get(name.removesuffix("_signed_r2"))
    return f"{said}; the score is signed r squared" if said is not None else None


def _interval(numbers: Numbers | None, statistic: str | None) -> tuple[float | None, float | None]:
    """Bounds of a statistic, where its figure has them."""
    if numbers is None or statistic is None:
        return None, None
    low, high = (numbers.statistics.get(f"{statistic}_{end}") for end in ("low", "high"))
    if isinstance(low, float) and isinstance(high, float):
        return low, high
    return None, None


def _without(missing: Mapping[str, str]) -> str:
    """Models that a number is made without."""
    return f"without {_by_reason(missing)}" if missing else ""


def _absent(missing: Mapping[str, str]) -> str:
    return f"{_by_reason(missing)} absent" if missing else ""


def _by_reason(missing: Mapping[str, str]) -> str:
    """Each model with its reason, those alike together."""
    alike: dict[str, list[str]] = {}
    for model, why in missing.items():
        alike.setdefault(why.partition(":")[0], []).append(model)
    return "; ".join(
        f"{', '.join(models)} ({missing[models[0]] if len(models) == 1 else what})"
        for what, models in alike.items()
    )


# ----------------------------------------------------------------------------------------- output


def miniature_of(path: Path, recipe: Recipe) -> str:
    """Path of a recipe's miniature; :class:`UsageError` where it names none."""
    if recipe.miniature is None:
        raise UsageError(f"recipe {recipe.name} names no miniature")
    return str(path.parent / recipe.miniature)


def write(found: Reproduction, folder: Path) -> list[Path]:
    """Writes ``reproduction.json``, a CSV and an npz of maps a figure, and PNGs with matplotlib.

    Raises :class:`UsageError` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "reproduction.json"]
        written[0].write_text(json.dumps(plain(found.record()), indent=1, allow_nan=False))
        table = [line.record() for line in found.lines]
        written.append(_write_csv(folder / "table.csv", table))
        for name, numbers in found.numbers.items():
            if numbers.rows:
                written.append(_write_csv(folder / f"{name}.csv", numbers.rows))
            if numbers.maps:
                written.append(folder / f"{name}.npz")
                maps: dict[str, Any] = {
                    key.replace("/", "_"): value for key, value in numbers.maps.items()
                }
                np.savez_compressed(written[-1], **maps)
        written.extend(_draw(found, folder))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return written


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def plain(value: Any) -> Any:
    """JSON values: a number that is not finite is null."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _draw(found: Reproduction, folder: Path) -> list[Path]:
    """A PNG a figure, where matplotlib is there."""
    try:
        from matplotlib.figure import Figure as Sheet
    except ImportError:
        found.notes.append("no pictures without matplotlib: pip install 'voxelzoo[report]'")
        return []
    written = []
    for name, numbers in found.numbers.items():
        maps = _by_quantity(numbers)
        if numbers.axes is None and not maps:
            continue
        n_panels = 1 if numbers.axes is not None else len(maps)
        sheet = Sheet(figsize=(6 if n_panels == 1 else 4 * n_panels, 4), layout="constrained")
        sheet.suptitle(f"{name}: {found.recipe.figures[name].summary}", fontsize=9)
        panels = sheet.subplots(1, n_panels, squeeze=False)[0]
        if numbers.axes is not None:
            _draw_lines(panels[0], numbers.rows, numbers.axes)
        else:
            for panel, (quantity, by_subject) in zip(panels, maps.items(), strict=True):
                _draw_histograms(panel, quantity, by_subject)
        written.append(folder / f"{name}.png")
        sheet.savefig(written[-1], dpi=120)
    return written


WORDS = {
    "n_parameters": "parameters",
    "n_stories": "training stories",
    "mean_r": "mean r over voxels and subjects",
    "mean_signed_r2": "mean signed r² over voxels and subjects",
    "depth": "depth (0: embedding, 1: last layer)",
    "inflation_percent": "added to mean r (percent)",
}
"""How axes are called, where not by the column's name."""


def _draw_lines(panel: Any, rows: Sequence[Mapping[str, Any]], axes: Axes) -> None:
    for series in dict.fromkeys(row[axes.series] for row in rows):
        points = [
            (row[axes.x], row[axes.y], row.get(axes.error) if axes.error else None)
            for row in rows
            if row[axes.series] == series and None not in (row[axes.x], row[axes.y])
        ]
        if not points:
            continue
        x, y, error = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        bars = [0.0 if e is None else e for e in error] if axes.error else None
        panel.errorbar(x, y, yerr=bars, marker="o", capsize=2, label=str(series))
    if axes.log:
        _label_sizes(panel, {row[axes.x] for row in rows if row[axes.x] is not None})
    if axes.y.startswith("mean"):
        panel.axhline(0.0, color="grey", linewidth=0.5)
    panel.set_xlabel(WORDS.get(axes.x, axes.x.replace("_", " ")))
    bars_are = f"; bars: {axes.error.replace('_', ' ')}" if axes.error else ""
    panel.set_ylabel(WORDS.get(axes.y, axes.y.replace("_", " ")) + bars_are, fontsize=8)
    panel.legend(fontsize=6)


def _label_sizes(panel: Any, sizes: Set[float]) -> None:
    """A logarithmic axis whose ticks are the sizes that there are, or powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    panel.set_xscale("log")
    if len(sizes) <= 8:
        panel.set_xticks(sorted(sizes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.tick_params("x", labelsize=7, labelrotation=30)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _short_count(size)))


def _short_count(n: float) -> str:
    """``125M`` for 125e6."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return f"{n:g}"


def _by_quantity(numbers: Numbers) -> dict[str, dict[str, NDArray[Any]]]:
    """Maps of each quantity by subject; weights of stacks left out, of which there are many."""
    subjects = dict.fromkeys(str(row["subject"]) for row in numbers.rows if "subject" in row)
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, values in numbers.maps.items():
        subject = next((each for each in subjects if name.endswith(f"_{each}")), "")
        quantity = name.removesuffix(f"_{subject}")
        if not quantity.startswith("weight_"):
            found.setdefault(quantity, {})[subject or "all subjects"] = values
    return found


def _draw_histograms(panel: Any, quantity: str, by_subject: Mapping[str, NDArray[Any]]) -> None:
    finite = {subject: v[np.isfinite(v)] for subject, v in by_subject.items()}
    every = np.concatenate(list(finite.values()))
    if len(every):
        n_bins = int(np.clip(np.sqrt(len(every) / len(finite)) * 2, 10, 60))
        edges = np.histogram_bin_edges(every, bins=n_bins)
        for subject, values in finite.items():
            panel.hist(values, bins=edges, histtype="step", label=subject)
        panel.legend(fontsize=6)
    panel.set_xlabel(quantity.replace("_", " "), fontsize=8)
    panel.set_ylabel("voxels")


def with_untrained(recipe: Recipe) -> Recipe:
    """The same recipe with random weights, as a control; its numbers are compared with nothing."""
    return recipe.model_copy(
        update={"fit": recipe.fit.model_copy(update={"untrained": True}), "compares": False}
    )

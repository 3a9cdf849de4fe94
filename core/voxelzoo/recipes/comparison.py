"""Compares the numbers of a reproduction with those that its recipe expects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from voxelzoo.recipes.figures.fits import gain_percent
from voxelzoo.recipes.figures.result import FigureResult, reasons_by_cause
from voxelzoo.recipes.reproduction import ComparisonLine, Reproduction, Status
from voxelzoo.recipes.schema import Expectation, Recipe

Obtained = float | int | str | None


def compare(reproduction: Reproduction) -> list[ComparisonLine]:
    """Compare a reproduction with its recipe.

    Parameters
    ----------
    reproduction : Reproduction
        With the numbers of its figures.

    Returns
    -------
    list of ComparisonLine
        A line for every expectation, then one for every figure without an expectation.
    """
    recipe = reproduction.recipe
    lines = [
        _line(reproduction, f"{name}.{reading}" if reading else name, expected, statistic)
        for name, expected in recipe.expect.items()
        for reading, statistic in _statistics(expected)
    ]
    expected_of = {expected.figure for expected in recipe.expect.values()}
    others = [
        _line_without_expectation(reproduction, name)
        for name in recipe.figures
        if name not in expected_of
    ]
    return [*_with_other_readings(lines), *others]


def _statistics(expected: Expectation) -> list[tuple[str, str | None]]:
    """Every statistic that is compared, with the name of its reading; one reading has no name."""
    return [*expected.readings.items()] or [("", expected.statistic)]


def _with_other_readings(lines: Sequence[ComparisonLine]) -> Iterator[ComparisonLine]:
    """A mismatch in one reading of the paper names the reading that matches, if there is one."""
    matching = {line.id.rpartition(".")[0]: line for line in lines if line.status == "match"}
    for line in lines:
        other = matching.get(line.id.rpartition(".")[0])
        if line.status == "mismatch" and other is not None and "." in line.id:
            yield replace(line, why=f"{line.why}; {other.id}, another reading, matches")
        else:
            yield line


def _line_without_expectation(reproduction: Reproduction, name: str) -> ComparisonLine:
    """The line of a figure of which nothing is expected: its first statistic."""
    result = reproduction.figures.get(name)
    if result is None:
        why = reproduction.reasons.get(name, "was not run")
        return ComparisonLine(name, name, None, None, None, "not run", why)
    statistic, value = next(iter(result.statistics.items()), (None, None))
    status: Status = "partial" if result.missing else "not compared"
    summary = reproduction.recipe.figures[name].summary
    why = _without(result.missing) or f"the recipe expects no number ({summary})"
    return ComparisonLine(name, name, statistic, None, value, status, why)


def _line(
    reproduction: Reproduction, name: str, expected: Expectation, statistic: str | None
) -> ComparisonLine:
    result = reproduction.figures.get(expected.figure or "")
    obtained, status, why = _judgement(reproduction, result, expected, statistic)
    low, high = _interval(result, statistic)
    return ComparisonLine(
        id=name,
        figure=expected.figure,
        statistic=statistic,
        expected=expected.expected,
        obtained=obtained,
        status=status,
        why=why,
        low=low,
        high=high,
        tolerance=expected.why,
        meaning=_meaning(reproduction.recipe, statistic),
        source=expected.source,
    )


def _judgement(
    reproduction: Reproduction,
    result: FigureResult | None,
    expected: Expectation,
    statistic: str | None,
) -> tuple[Obtained, Status, str]:
    """What was obtained, how it compares, and why."""
    figure = expected.figure
    if figure is None:
        return _without_figure(reproduction, statistic)
    if result is None:
        return None, "not run", reproduction.reasons.get(figure, "was not run")
    if statistic is None:
        return None, "not compared", f"a claim in words: see {figure}"
    missing = {
        model: why
        for model, why in result.missing.items()
        if not expected.models or model in expected.models
    }
    obtained = _obtained(result, expected, statistic)
    if obtained is None:
        why = result.undefined.get(statistic) or _needs(missing)
        return None, "not run", why or _no_statistic(result, figure, statistic)
    if expected.is_claim:
        return obtained, "not compared", f"a claim in words: see {figure}"
    if reproduction.not_comparable is not None:
        return obtained, "not compared", reproduction.not_comparable
    if isinstance(obtained, str):
        return obtained, "not compared", "not a number"
    limits = [_without(missing), *_other_data(reproduction, figure)]
    if any(limits):
        agrees = "within tolerance" if expected.met_by(obtained) else _off(expected, obtained)
        return obtained, "partial", "; ".join(each for each in (agrees, *limits) if each)
    if expected.met_by(obtained):
        return obtained, "match", ""
    return obtained, "mismatch", _off(expected, obtained)


def _without_figure(
    reproduction: Reproduction, statistic: str | None
) -> tuple[Obtained, Status, str]:
    """For a claim about the work as a whole."""
    if statistic is None:
        return None, "not compared", "a claim that no figure is about"
    value = reproduction.statistics.get(statistic)
    if value is None:
        return None, "not run", "nothing was computed: every result was in the store"
    return value, "not compared", "for this call, on this machine"


def _other_data(reproduction: Reproduction, name: str) -> Iterator[str]:
    """How the data of a figure are not those of the recipe."""
    figure = reproduction.recipe.figures[name]
    if reproduction.only_subjects and not figure.subjects:
        yield f"only {', '.join(reproduction.only_subjects)}"
    texts = [each.text for each in reproduction.differences if each.affects(figure)]
    if texts:
        yield f"data: {'; '.join(texts)}"


def _obtained(result: FigureResult, expected: Expectation, statistic: str) -> Obtained:
    if not expected.is_gain:
        return result.statistics.get(statistic)
    score = "mean_signed_r2" if statistic.endswith("_signed_r2") else "mean_r"
    scores = {row["model"]: row[score] for row in result.rows}
    before, after = (scores.get(model) for model in expected.models)
    return None if before is None or after is None else gain_percent(before, after)


def _off(expected: Expectation, obtained: float) -> str:
    """By how much a number misses what was expected."""
    if expected.value is None:
        return "outside the bound"
    tolerance = f" ({expected.why})" if expected.why else ""
    return f"{abs(obtained - expected.value):.3g} off, more than the tolerance{tolerance}"


def _no_statistic(result: FigureResult, figure: str, statistic: str) -> str:
    if statistic in result.statistics:
        return f"{statistic} is undefined for what was run"
    names = [
        name
        for name, value in result.statistics.items()
        if value is not None and not re.search("_low|_high|_error_", name)
    ]
    return f"{figure} has no statistic {statistic}; it has {', '.join(names)}"


def _meaning(recipe: Recipe, statistic: str | None) -> str | None:
    """What the recipe says about a statistic, whichever model it is of."""
    name = (statistic or "").rpartition(".")[2]
    if (meaning := recipe.statistics.get(name)) is not None:
        return meaning
    meaning = recipe.statistics.get(name.removesuffix("_signed_r2"))
    return f"{meaning}; the score is signed r squared" if meaning is not None else None


def _interval(
    result: FigureResult | None, statistic: str | None
) -> tuple[float | None, float | None]:
    """Bounds of a statistic, if its figure gives them."""
    if result is None or statistic is None:
        return None, None
    low, high = (result.statistics.get(f"{statistic}_{end}") for end in ("low", "high"))
    if isinstance(low, float) and isinstance(high, float):
        return low, high
    return None, None


def _without(missing: Mapping[str, str]) -> str:
    """Models without which a number was computed."""
    return f"without {reasons_by_cause(missing)}" if missing else ""


def _needs(missing: Mapping[str, str]) -> str:
    """Models without which a number cannot be computed."""
    return f"missing: {reasons_by_cause(missing)}" if missing else ""

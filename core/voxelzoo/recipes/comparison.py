"""The table of a reproduction: what is expected, what was obtained, and how they compare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from voxelzoo.recipes.figures import FigureResult, by_reason, gain_percent
from voxelzoo.recipes.outcome import Line, Reproduction, Status
from voxelzoo.recipes.schema import Expectation, Recipe


def compare(found: Reproduction) -> list[Line]:
    """Lines for every expectation, then one for every figure that has none."""
    recipe = found.recipe
    lines = [
        _line(found, f"{name}.{reading}" if reading else name, expected, statistic)
        for name, expected in recipe.expect.items()
        for reading, statistic in _readings(expected)
    ]
    spoken = {expected.figure for expected in recipe.expect.values()}
    bare = [_bare_line(found, name) for name in recipe.figures if name not in spoken]
    return [*_other_readings(lines), *bare]


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


def _obtained(numbers: FigureResult, expected: Expectation, statistic: str) -> float | str | None:
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


def _not_given(numbers: FigureResult, figure: str, statistic: str) -> str:
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


def _interval(
    numbers: FigureResult | None, statistic: str | None
) -> tuple[float | None, float | None]:
    """Bounds of a statistic, where its figure has them."""
    if numbers is None or statistic is None:
        return None, None
    low, high = (numbers.statistics.get(f"{statistic}_{end}") for end in ("low", "high"))
    if isinstance(low, float) and isinstance(high, float):
        return low, high
    return None, None


def _without(missing: Mapping[str, str]) -> str:
    """Models that a number is made without."""
    return f"without {by_reason(missing)}" if missing else ""


def _absent(missing: Mapping[str, str]) -> str:
    return f"{by_reason(missing)} absent" if missing else ""

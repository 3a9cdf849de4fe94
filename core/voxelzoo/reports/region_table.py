"""One result, or two compared, region by region: r, interval, p, ceiling, headroom.

Everything here works on held-out predictions; :mod:`voxelzoo.reports.significance` reads them from
a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.reports.options import SignificanceOptions
from voxelzoo.reports.report import Row
from voxelzoo.science.arrays import Floats
from voxelzoo.science.bootstrap import (
    Interval,
    check_paired,
    difference_interval,
    r_interval,
)
from voxelzoo.science.ceiling_intervals import ceiling_interval
from voxelzoo.science.ceilings import (
    INTER_SUBJECT,
    Ceiling,
    Method,
    Others,
    estimate_ceiling,
    find_method,
    headroom,
    inter_subject_ceiling,
)
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.paired_tests import PairedDifference, paired_test
from voxelzoo.science.regions import region_mean
from voxelzoo.science.scores import normalised, signed_square
from voxelzoo.science.significance import (
    Significance,
    false_discovery_rate,
    permutation_test,
)
from voxelzoo.text import counted, listed


@dataclass(frozen=True)
class RegionTable:
    """A table of regions, and maps of voxels."""

    rows: Sequence[Row]
    """A row for each region, all voxels first."""
    maps: Mapping[str, Floats]
    """Values of each voxel (voxel,), by name; NaN where undefined."""
    notes: Sequence[str]
    """How the numbers were computed, in words."""


EVERY_STORY = "together"
"""Name of the rows of all held-out stories, beside those of each story."""


# ------------------------------------------------------------------------------- one result


def by_story(held_out: HeldOut, options: SignificanceOptions) -> RegionTable:
    """Scores of each held-out story or fold by itself, then of all together.

    The interval of one story resamples its blocks of time; that of all together resamples what
    ``options.over`` says. Means over a region are over its defined voxels.

    Parameters
    ----------
    held_out : HeldOut
        Predictions and responses.
    options : SignificanceOptions
        Blocks, draws, level and seed of the intervals.

    Returns
    -------
    RegionTable
        A row for each story and region: ``r``, ``signed_r2`` and ``r2``, with the interval of r.
    """
    parts = {name: held_out.of_part(name) for name in held_out.parts}
    rows: list[Row] = []
    maps: dict[str, Floats] = {}
    for story, part in (parts | {EVERY_STORY: held_out}).items():
        r, r2 = part.r, part.r2
        interval = r_interval(
            part,
            options.over if story == EVERY_STORY else "time",
            block=options.block_trs,
            n_draws=options.draws,
            level=options.level,
            seed=options.seed,
        )
        scores = {"r": r, "signed_r2": signed_square(r), "r2": r2}
        maps |= {f"{story}/{name}": values for name, values in scores.items()}
        maps |= {f"{story}/r_low": interval.low, f"{story}/r_high": interval.high}
        for name, mask in part.regions.items():
            low, high = interval.regions[name]
            rows.append(
                {
                    "story": story,
                    "region": name,
                    "n_voxels": int(mask.sum()),
                    "n_undefined": int((mask & np.isnan(r)).sum()),
                    "r": _rounded(region_mean(r, mask)),
                    "r_low": _rounded(low),
                    "r_high": _rounded(high),
                    "signed_r2": _rounded(region_mean(scores["signed_r2"], mask)),
                    "r2": _rounded(region_mean(r2, mask)),
                }
            )
    how = "the concatenated stories" if held_out.joined else "the mean over folds"
    return RegionTable(rows, maps, [f"{EVERY_STORY}: {how}; intervals over {options.over}"])


def result_table(
    held_out: HeldOut,
    options: SignificanceOptions,
    others: Others = MappingProxyType({}),
    method: Method | None = None,
) -> RegionTable:
    """Whether a result is above chance, and how close it is to its ceiling.

    Parameters
    ----------
    held_out : HeldOut
        Predictions and responses.
    options : SignificanceOptions
        How it is tested.
    others : mapping of str to callable
        Reads the responses of the other subjects, for the inter-subject ceiling.
    method : Method, optional
        How a ceiling from repeats is estimated; by default as ``options`` say.

    Returns
    -------
    RegionTable
        A row for each region: mean ``r`` with its interval; its ``p``, and ``q``, the p corrected
        over regions (FDR); shares of significant voxels, at a false discovery rate
        (``share_significant``) and at a familywise error (``share_fwer``) of ``options.alpha`` over
        all voxels; the ceiling with its interval. A ceiling from repeats is of the stories that
        were repeated: ``r_repeated`` is r over what the ceiling is of, ``r_normalised`` that r
        divided by the ceiling, and ``headroom`` the ceiling minus that r.
    """
    tested = permutation_test(
        held_out,
        options.null,
        block=options.block_trs,
        n_permutations=options.n_permutations,
        seed=options.seed,
    )
    interval = r_interval(
        held_out,
        options.over,
        block=options.block_trs,
        n_draws=options.draws,
        level=options.level,
        seed=options.seed,
    )
    ceiling = _ceiling(held_out, method := method or find_method(options.ceiling), others)
    top = np.full(held_out.n_voxels, np.nan) if ceiling is None else ceiling.values
    top_interval = _ceiling_interval(held_out, method, options)
    same_rows = held_out if options.ceiling == INTER_SUBJECT else held_out.of_ceiling
    r_same_rows = tested.r if same_rows is held_out else same_rows.r
    left, share = headroom(r_same_rows, top), normalised(r_same_rows, top)
    region_q = _region_q(tested.regions)
    rows = [
        {
            "region": name,
            **_chance_row(name, mask, tested, interval, region_q, options.alpha),
            "ceiling": _rounded(region_mean(np.where(np.isnan(left), np.nan, top), mask)),
            "ceiling_low": top_interval and _rounded(top_interval.regions[name][0]),
            "ceiling_high": top_interval and _rounded(top_interval.regions[name][1]),
            "r_repeated": _rounded(region_mean(r_same_rows, mask)),
            "r_normalised": _rounded(region_mean(share, mask)),
            "headroom": _rounded(region_mean(left, mask)),
            "n_without_ceiling": int((mask & np.isnan(top)).sum()),
        }
        for name, mask in held_out.regions.items()
    ]
    maps = {
        "r": tested.r,
        "r_low": interval.low,
        "r_high": interval.high,
        "p": tested.p,
        "q": tested.q,
        "p_fwer": tested.p_fwer,
        "ceiling": top,
        "r_repeated": r_same_rows,
        "r_normalised": share,
        "headroom": left,
    }
    if top_interval:
        maps |= {"ceiling_low": top_interval.low, "ceiling_high": top_interval.high}
    notes = [_chance_note(tested), _ceiling_note(ceiling, list(others))]
    if same_rows is not held_out:
        notes.append(_rows_note(held_out, same_rows))
    return RegionTable(rows, maps, notes)


def _chance_row(
    name: str,
    mask: NDArray[np.bool_],
    tested: Significance,
    interval: Interval,
    region_q: Mapping[str, float],
    alpha: float,
) -> Row:
    low, high = interval.regions[name]
    return {
        "n_voxels": int(mask.sum()),
        "n_undefined": int((mask & np.isnan(tested.r)).sum()),
        "r": _rounded(region_mean(tested.r, mask)),
        "r_low": _rounded(low),
        "r_high": _rounded(high),
        "p": _rounded(tested.regions[name]),
        "q": _rounded(region_q[name]),
        "share_significant": _share(tested.q, mask, alpha),
        "share_fwer": _share(tested.p_fwer, mask, alpha),
    }


def _chance_note(tested: Significance) -> str:
    n = tested.n_permutations
    return f"{n} permutations ({tested.null}): the smallest possible p is {1 / (1 + n):.2g}"


def _ceiling_note(ceiling: Ceiling | None, others: Sequence[str]) -> str:
    if ceiling is None:
        return (
            "no ceiling: no held-out story was repeated; inter-subject only needs results of other "
            "subjects"
        )
    who = f" (r with the mean of {listed(others)})" if others else ""
    floored = f", {ceiling.n_floored} at the floor of {ceiling.floor}" if ceiling.floor else ""
    undefined = counted(ceiling.n_undefined, "voxel")
    return f"ceiling {ceiling.method}{who}: {undefined} undefined{floored}"


def _rows_note(held_out: HeldOut, same_rows: HeldOut) -> str:
    return (
        f"the ceiling, r_repeated, r_normalised and headroom are over {listed(same_rows.parts)} "
        f"({len(same_rows.parts)} of {len(held_out.parts)} held-out stories: those heard more than "
        "once)"
    )


def long_context_artefact(held_out: HeldOut, n_trs: int) -> RegionTable:
    """By how much r changes if the start of every held-out story is dropped.

    While a model's context grows, its states tell how long ago the scan began, and responses drift
    just then (Antonello et al. 2023, section 3.5 and appendix D: up to 20 %, none after 100 s).

    Parameters
    ----------
    held_out : HeldOut
        Predictions and responses.
    n_trs : int
        TRs that are dropped.

    Returns
    -------
    RegionTable
        A row for each region: ``r``, ``r_without_start``, their ``difference``, and the difference
        in ``percent`` of ``r_without_start``.

    Raises
    ------
    UsageError
        If too little of a story would be left.
    """
    with_start, without = held_out.r, held_out.without_first(n_trs).r
    difference = with_start - without
    rows = []
    for name, mask in held_out.regions.items():
        both = mask & np.isfinite(difference)
        kept, dropped = region_mean(with_start, both), region_mean(without, both)
        rows.append(
            {
                "region": name,
                "n_voxels": int(mask.sum()),
                "r": _rounded(kept),
                "r_without_start": _rounded(dropped),
                "difference": _rounded(kept - dropped),
                "percent": _rounded(100 * (kept - dropped) / dropped) if dropped > 0 else None,
            }
        )
    maps = {"r": with_start, "r_without_start": without, "difference": difference}
    which = "story" if held_out.joined else "fold"
    return RegionTable(rows, maps, [f"start: the first {n_trs} TRs of each held-out {which}"])


# ------------------------------------------------------------------------------- two results


def compare(one: HeldOut, other: HeldOut, options: SignificanceOptions) -> RegionTable:
    """Whether the first result is better than the second.

    Parameters
    ----------
    one, other : HeldOut
        Predictions of the same responses.
    options : SignificanceOptions
        How they are compared.

    Returns
    -------
    RegionTable
        A row for each region: mean r of both, over voxels that are defined in both; their
        ``difference`` with its interval, ``p`` (two-sided) and ``q``, the p corrected over regions
        (FDR); shares of voxels in which the first or the second is significantly better, at a false
        discovery rate of ``options.alpha`` over all voxels.

    Raises
    ------
    UsageError
        If the two have different held-out responses.
    """
    check_paired(one, other)
    tested = paired_test(
        one,
        other,
        block=options.block_trs,
        n_permutations=options.n_permutations,
        seed=options.seed,
    )
    interval = difference_interval(
        one,
        other,
        options.over,
        block=options.block_trs,
        n_draws=options.draws,
        level=options.level,
        seed=options.seed,
    )
    # A voxel that is undefined in either result counts in neither mean.
    r = [np.where(np.isnan(tested.r), np.nan, each.r) for each in (one, other)]
    region_q = _region_q(tested.regions)
    rows = [
        {
            "region": name,
            "n_voxels": int(mask.sum()),
            "n_undefined": int((mask & np.isnan(tested.r)).sum()),
            "r_first": _rounded(region_mean(r[0], mask)),
            "r_second": _rounded(region_mean(r[1], mask)),
            "difference": _rounded(region_mean(tested.r, mask)),
            "difference_low": _rounded(interval.regions[name][0]),
            "difference_high": _rounded(interval.regions[name][1]),
            "p": _rounded(tested.regions[name]),
            "q": _rounded(region_q[name]),
            **_better(tested, mask, options.alpha),
        }
        for name, mask in one.regions.items()
    ]
    maps = {
        "difference": tested.r,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "p": tested.p,
        "q": tested.q,
        "p_fwer": tested.p_fwer,
    }
    notes = [f"{tested.n_permutations} swaps of blocks of {options.block_trs} TRs, two-sided"]
    return RegionTable(rows, maps, notes)


def _better(tested: PairedDifference, mask: NDArray[np.bool_], alpha: float) -> Row:
    """Shares of voxels in which the first, or the second, is significantly better."""
    q = tested.q
    never = np.where(np.isnan(q), np.nan, 1.0)
    return {
        "share_first_better": _share(np.where(tested.r > 0, q, never), mask, alpha),
        "share_second_better": _share(np.where(tested.r < 0, q, never), mask, alpha),
    }


# ------------------------------------------------------------------------------- what both share


def _ceiling(held_out: HeldOut, method: Method, others: Others) -> Ceiling | None:
    """From the stories that were repeated, ``None`` if none was; or from the other subjects."""
    if method.name == INTER_SUBJECT:
        own = {name: response for name, (_, response) in held_out.parts.items()}
        return inter_subject_ceiling(own, held_out.joined, others)
    if not held_out.repeats:
        return None
    return estimate_ceiling(list(held_out.repeats.values()), method)


def _ceiling_interval(
    held_out: HeldOut, method: Method, options: SignificanceOptions
) -> Interval | None:
    """Interval of a ceiling from repeats, over blocks of time; else ``None``."""
    if not held_out.repeats or method.name == INTER_SUBJECT:
        return None
    return ceiling_interval(
        list(held_out.repeats.values()),
        method,
        held_out.regions,
        block=options.block_trs,
        level=options.level,
        seed=options.seed,
    )


def _region_q(p: Mapping[str, float]) -> dict[str, float]:
    """p corrected over regions. The first region is all voxels, which is a test of its own."""
    (everywhere, overall), *rest = p.items()
    adjusted = false_discovery_rate(np.array([value for _, value in rest]))
    return {everywhere: overall} | {
        name: float(q) for (name, _), q in zip(rest, adjusted, strict=True)
    }


def _share(q: Floats, mask: NDArray[np.bool_], alpha: float) -> float | None:
    """Share of the region's defined voxels below ``alpha``."""
    defined = mask & np.isfinite(q)
    return _rounded((q[defined] < alpha).mean()) if defined.any() else None


def _rounded(value: Any) -> float | None:
    """To six decimals; ``None`` if it is not finite."""
    return round(float(value), 6) if np.isfinite(value) else None

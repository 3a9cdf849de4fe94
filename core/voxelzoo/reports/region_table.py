"""One result, or two beside each other, region by region: r, interval, p, ceiling, headroom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.bootstrap import (
    LEVEL,
    N_DRAWS,
    TRS_PER_BLOCK,
    Interval,
    Over,
    check_paired,
    difference_interval,
    r_interval,
)
from voxelzoo.science.ceiling_intervals import ceiling_interval
from voxelzoo.science.ceilings import (
    INTER_SUBJECT,
    Ceiling,
    Others,
    estimate_ceiling,
    headroom,
    inter_subject_ceiling,
)
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.paired_tests import paired_test
from voxelzoo.science.regions import region_mean
from voxelzoo.science.scores import signed_square
from voxelzoo.science.significance import (
    N_PERMUTATIONS,
    Null,
    false_discovery_rate,
    permutation_test,
)

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Settings:
    """How results are tested."""

    null: Null = "circular-shift"
    block: int = TRS_PER_BLOCK
    """TRs of a block, of the bootstrap and of permutations of blocks."""
    over: Over = "time"
    """What the bootstrap draws: blocks of time, or whole held-out stories."""
    ceiling: str = "schoppe"
    n_permutations: int = N_PERMUTATIONS
    n_draws: int = N_DRAWS
    level: float = LEVEL
    alpha: float = 0.05
    """Voxels count as significant below this false discovery rate."""
    seed: int = 0


@dataclass(frozen=True)
class RegionTable:
    """A row a region, and maps (voxel,) by name."""

    rows: list[dict[str, Any]]
    maps: Mapping[str, Floats]
    notes: list[str]


EVERY_STORY = "together"
"""What rows of all held-out parts are called beside those of each."""


def by_story(held_out: HeldOut, settings: Settings) -> RegionTable:
    """Scores of each held-out part by itself, then of all together, region by region.

    The interval of a part draws its blocks of time; that of all, what ``settings.over`` says.
    Means over a region leave undefined voxels out, which are counted.
    """
    parts = {name: held_out.of_part(name) for name in held_out.parts}
    rows: list[dict[str, Any]] = []
    maps: dict[str, Floats] = {}
    for story, part in (parts | {EVERY_STORY: held_out}).items():
        r, r2 = part.r, part.r2
        interval = r_interval(
            part,
            settings.over if story == EVERY_STORY else "time",
            block=settings.block,
            n_draws=settings.n_draws,
            level=settings.level,
            seed=settings.seed,
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
                    "r": _number(region_mean(r, mask)),
                    "r_low": _number(low),
                    "r_high": _number(high),
                    "signed_r2": _number(region_mean(scores["signed_r2"], mask)),
                    "r2": _number(region_mean(r2, mask)),
                }
            )
    how = "scored end to end" if held_out.joined else "a mean over parts"
    return RegionTable(rows, maps, [f"{EVERY_STORY}: {how}; intervals over {settings.over}"])


def result_table(
    held_out: HeldOut, settings: Settings, others: Others = MappingProxyType({})
) -> RegionTable:
    """Whether a result is above chance, and how near to its ceiling, in each region.

    ``others`` serve the inter-subject ceiling alone.
    """
    tested = permutation_test(
        held_out,
        settings.null,
        block=settings.block,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
    interval = r_interval(
        held_out,
        settings.over,
        block=settings.block,
        n_draws=settings.n_draws,
        level=settings.level,
        seed=settings.seed,
    )
    ceiling = _ceiling(held_out, settings, others)
    top = np.full(held_out.n_voxels, np.nan) if ceiling is None else ceiling.values
    ceilings = _ceiling_interval(held_out, settings)
    left = headroom(tested.r, top)
    region_q = _region_q(tested.regions)
    rows = []
    for name, mask in held_out.regions.items():
        low, high = interval.regions[name]
        rows.append(
            {
                "region": name,
                "n_voxels": int(mask.sum()),
                "n_undefined": int((mask & np.isnan(tested.r)).sum()),
                "r": _number(region_mean(tested.r, mask)),
                "r_low": _number(low),
                "r_high": _number(high),
                "p": _number(tested.regions[name]),
                "q": _number(region_q[name]),
                "share_significant": _share(tested.q, mask, settings.alpha),
                "share_fwer": _share(tested.p_fwer, mask, settings.alpha),
                "ceiling": _number(region_mean(np.where(np.isnan(left), np.nan, top), mask)),
                "ceiling_low": ceilings and _number(ceilings.regions[name][0]),
                "ceiling_high": ceilings and _number(ceilings.regions[name][1]),
                "headroom": _number(region_mean(left, mask)),
                "n_without_ceiling": int((mask & np.isnan(top)).sum()),
            }
        )
    n = tested.n_permutations
    notes = [f"{n} permutations ({tested.null}), so that p is {1 / (1 + n):.2g} at least"]
    if ceiling is None:
        notes.append("no held-out story was repeated, so there is no ceiling but inter-subject")
    else:
        floored = f", {ceiling.n_floored} at the floor of {ceiling.floor}" if ceiling.floor else ""
        who = f" (r with the mean of {', '.join(others)})" if others else ""
        notes.append(
            f"ceiling {ceiling.method}{who}: {ceiling.n_undefined} voxels undefined{floored}"
        )
    maps = {
        "r": tested.r,
        "r_low": interval.low,
        "r_high": interval.high,
        "p": tested.p,
        "q": tested.q,
        "p_fwer": tested.p_fwer,
        "ceiling": top,
        "headroom": left,
    }
    if ceilings:
        maps |= {"ceiling_low": ceilings.low, "ceiling_high": ceilings.high}
    return RegionTable(rows, maps, notes)


def compare(one: HeldOut, other: HeldOut, settings: Settings) -> RegionTable:
    """Whether the first result is better than the second, in each region.

    Raises :class:`UsageError` where the two are not of the same held-out rows.
    """
    check_paired(one, other)
    tested = paired_test(
        one,
        other,
        block=settings.block,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
    interval = difference_interval(
        one,
        other,
        settings.over,
        block=settings.block,
        n_draws=settings.n_draws,
        level=settings.level,
        seed=settings.seed,
    )
    # A voxel that either model leaves undefined is in neither mean.
    r = [np.where(np.isnan(tested.r), np.nan, each.r) for each in (one, other)]
    region_q = _region_q(tested.regions)
    rows = []
    for name, mask in one.regions.items():
        low, high = interval.regions[name]
        q = tested.q
        rows.append(
            {
                "region": name,
                "n_voxels": int(mask.sum()),
                "n_undefined": int((mask & np.isnan(tested.r)).sum()),
                "r_first": _number(region_mean(r[0], mask)),
                "r_second": _number(region_mean(r[1], mask)),
                "difference": _number(region_mean(tested.r, mask)),
                "difference_low": _number(low),
                "difference_high": _number(high),
                "p": _number(tested.regions[name]),
                "q": _number(region_q[name]),
                "share_first_better": _share(
                    np.where(tested.r > 0, q, _one(q)), mask, settings.alpha
                ),
                "share_second_better": _share(
                    np.where(tested.r < 0, q, _one(q)), mask, settings.alpha
                ),
            }
        )
    maps = {
        "difference": tested.r,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "p": tested.p,
        "q": tested.q,
        "p_fwer": tested.p_fwer,
    }
    notes = [f"{tested.n_permutations} swaps of blocks of {settings.block} TRs, two-sided"]
    return RegionTable(rows, maps, notes)


def long_context_artefact(held_out: HeldOut, n_trs: int) -> RegionTable:
    """What the first ``n_trs`` rows of each held-out story add to r, a map and a row a region.

    While a model's context grows, its states tell how long ago the scan began, and responses drift
    just then (Antonello et al. 2023, section 3.5, appendix D: up to 20 %, gone after about 100 s).
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
                "r": _number(kept),
                "r_without_start": _number(dropped),
                "difference": _number(kept - dropped),
                "percent": _number(100 * (kept - dropped) / dropped) if dropped > 0 else None,
            }
        )
    maps = {"r": with_start, "r_without_start": without, "difference": difference}
    return RegionTable(rows, maps, [f"start: the first {n_trs} TRs of each held-out part"])


def _ceiling(held_out: HeldOut, settings: Settings, others: Others) -> Ceiling | None:
    """From the parts that were repeated, ``None`` where none was; or from the other subjects."""
    if settings.ceiling == INTER_SUBJECT:
        own = {name: response for name, (_, response) in held_out.parts.items()}
        return inter_subject_ceiling(own, held_out.joined, others)
    if not held_out.repeats:
        return None
    return estimate_ceiling(list(held_out.repeats.values()), settings.ceiling)


def _ceiling_interval(held_out: HeldOut, settings: Settings) -> Interval | None:
    """Of ceilings from repeats, in each region and voxel; always over time."""
    if not held_out.repeats or settings.ceiling == INTER_SUBJECT:
        return None
    return ceiling_interval(
        list(held_out.repeats.values()),
        settings.ceiling,
        held_out.regions,
        block=settings.block,
        level=settings.level,
        seed=settings.seed,
    )


def _region_q(p: Mapping[str, float]) -> dict[str, float]:
    """Adjusted over regions; the first is all voxels, which is a test of its own."""
    (everywhere, overall), *rest = p.items()
    adjusted = false_discovery_rate(np.array([value for _, value in rest]))
    return {everywhere: overall} | {
        name: float(q) for (name, _), q in zip(rest, adjusted, strict=True)
    }


def _share(q: Floats, mask: NDArray[np.bool_], alpha: float) -> float | None:
    defined = mask & np.isfinite(q)
    return _number((q[defined] < alpha).mean()) if defined.any() else None


def _one(q: Floats) -> Floats:
    return np.where(np.isnan(q), np.nan, 1.0)


def _number(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None

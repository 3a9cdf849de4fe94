"""Noise ceilings: the r a perfect model could have, by several methods under one registry.

Each method takes the responses of one story and gives a value a voxel. A ceiling is NaN where it
is undefined (responses that are not finite or never vary); how many voxels that is, and how many
were lifted to the floor, is counted. Computed in blocks of voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError
from voxelzoo.blocks import blocks
from voxelzoo.science.scores import correlation, signed_square

Floats = NDArray[np.floating[Any]]


BLOCK = 4096
"""Voxels worked on at a time."""


DEFAULT, INTER_SUBJECT = "schoppe", "inter-subject"
"""The method used unless another is asked for, and the one that needs other subjects."""


MOST_SPLITS = 200
"""Splits into halves beyond which a seeded sample of them is taken: ten repeats have 126."""


def covariances(repeats: Floats) -> Floats:
    """Covariance in time between repeats, (repeat, repeat, voxel), of (repeat, TR, voxel).

    Every ceiling from repeats follows from them.
    """
    centred = repeats - repeats.mean(axis=1, keepdims=True, dtype=np.float64)
    products: Floats = np.einsum("itv,jtv->ijv", centred, centred, optimize=True)
    return np.asarray(products / repeats.shape[1])


def powers(repeats: Floats) -> tuple[Floats, Floats]:
    """Total and signal power of each voxel from (repeat, TR, voxel): Schoppe et al. (2016).

    Total power is the mean over repeats of the variance in time; signal power is what repeats
    share. Signal power is negative where noise happens to be anticorrelated.
    """
    n_trs = repeats.shape[1]
    return _powers(covariances(repeats) * (n_trs / (n_trs - 1)))


def _powers(between: Floats) -> tuple[Floats, Floats]:
    n = len(between)
    total: Floats = np.einsum("ii...->...", between) / n
    signal: Floats = (between.sum(axis=(0, 1)) / n - total) / (n - 1)
    return total, signal


def _schoppe(between: Floats) -> Floats:
    total, signal = _powers(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 1 / np.sqrt(1 + (total / signal - 1) / len(between))
    return np.where(signal > 0, found, np.nan)


def ceiling(repeats: Floats, floor: float | None = 0.25) -> Floats:
    """CCmax: r that the true signal would have with the mean over repeats, (voxel,).

    ``repeats`` is (repeat, TR, voxel), two repeats or more. Values below ``floor`` become the
    floor, as does a voxel without signal power; with ``floor=None`` such a voxel is NaN (Schoppe
    et al. 2016; Antonello et al. 2023, section 2.5). NaN where responses are not finite or vary
    in no repeat.
    """
    return _from_repeats(repeats, _schoppe, floor)


def split_half_r(repeats: Floats, seed: int = 0) -> Floats:
    """Mean correlation between the means of two halves of the repeats, (voxel,).

    Over every split of (repeat, TR, voxel) into halves, or a seeded sample of 200 where there are
    more. Covariances between repeats give all splits at once.
    """
    _need_repeats(repeats)
    return np.where(_varies(repeats), _split_half_r(covariances(repeats), seed), np.nan)


def _split_half_r(between: Floats, seed: int = 0) -> Floats:
    first = _halves(len(between), seed)
    second = 1 - first
    aa, bb, ab = (
        np.einsum("si,sj,ij...->s...", one, other, between, optimize=True)
        for one, other in ((first, first), (second, second), (first, second))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (ab / np.sqrt(aa * bb)).mean(axis=0)
    return mean


def _split_half(between: Floats) -> Floats:
    half = _split_half_r(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sqrt(2 * half / (1 + half))
    return np.where(half > 0, found, np.nan)


def split_half(repeats: Floats, floor: float | None = 0.3) -> Floats:
    """Ceiling from halves of the repeats, stepped up to all of them (Spearman-Brown), (voxel,).

    The square root of the reliability ``2 r / (1 + r)`` of the mean over repeats, with r from
    :func:`split_half_r` (Hsu, Borst & Theunissen 2004; the floor of LeBel et al. 2023).
    """
    return _from_repeats(repeats, _split_half, floor)


def explainable_variance(repeats: Floats, bias_correction: bool = True) -> Floats:
    """Share of a single response's variance that repeats have in common, (voxel,).

    ``repeats`` is (repeat, TR, voxel), each repeat z-scored here. Uncorrected, noise that survives
    averaging counts as signal: on noise alone 1/n; corrected it is 0 on average, and may be
    negative (Sahani & Linden 2003; Hsu et al. 2004).
    """
    _need_repeats(repeats)
    shared = _explainable_variance(covariances(repeats), bias_correction)
    return np.where(_varies(repeats), shared, np.nan)


def _explainable_variance(between: Floats, bias_correction: bool = True) -> Floats:
    n = len(between)
    deviation = np.sqrt(np.einsum("ii...->i...", between))
    with np.errstate(invalid="ignore", divide="ignore"):
        shared: Floats = (between / (deviation[:, None] * deviation[None])).sum(axis=(0, 1)) / n**2
    return shared - (1 - shared) / (n - 1) if bias_correction else shared


def _explainable(between: Floats) -> Floats:
    n, share = len(between), _explainable_variance(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sqrt(n * share / (1 + (n - 1) * share))
    return np.where(share > 0, found, np.nan)


def explainable_ceiling(repeats: Floats, floor: float | None = 0.25) -> Floats:
    """Ceiling from bias-corrected explainable variance of z-scored repeats, (voxel,).

    The square root of the reliability of the mean over n repeats, ``n ev / (1 + (n - 1) ev)``.
    """
    return _from_repeats(repeats, _explainable, floor)


def _from_repeats(repeats: Floats, of: Callable[[Floats], Floats], floor: float | None) -> Floats:
    _need_repeats(repeats)
    return _floored(of(covariances(repeats)), _varies(repeats), floor)


def inter_subject(responses: Floats) -> Floats:
    """Correlation of each subject with the mean of the others: (subject, TR, voxel) to
    (subject, voxel).

    Voxels must correspond between subjects (Nastase et al. 2019). A subject's undefined voxel is
    left out of the others' mean. What it bounds is a model of what subjects share.
    """
    _need_repeats(responses, "subjects")
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = responses - responses.mean(axis=1, keepdims=True, dtype=np.float64)
        standard = standard / standard.std(axis=1, keepdims=True)
    usable = np.isfinite(standard).all(axis=1, keepdims=True)
    total = np.where(usable, standard, 0).sum(axis=0)
    found = []
    for own, mine in zip(standard, usable, strict=True):
        r = correlation(own, total - np.where(mine, own, 0))
        found.append(np.where(mine[0], r, np.nan))
    return np.stack(found)


def against_others(own: Floats, others: Iterable[Floats]) -> Floats:
    """One subject's row of :func:`inter_subject`, (voxel,), the others (TR, voxel) read in turn.

    Beside its own responses it holds one other subject's and their sum. Raises :class:`DataError`
    where there is no other, or one has other rows or voxels.
    """
    total: Floats | None = None
    for other in others:
        if other.shape != own.shape:
            raise DataError(
                f"inter-subject: responses {other.shape} (TR, voxel) of another subject are not "
                f"those of the same rows and voxels, {own.shape}"
            )
        total = np.zeros(own.shape) if total is None else total
        for voxels in blocks(own.shape[1], BLOCK):
            total[:, voxels] += _standard_or_zero(other[:, voxels])
    if total is None:
        raise DataError("an inter-subject ceiling needs two subjects or more, not 1")
    return np.concatenate(
        [correlation(own[:, v], total[:, v]) for v in blocks(own.shape[1], BLOCK)]
    )


def _standard_or_zero(responses: Floats) -> Floats:
    """Z-scored over time, (TR, voxel); an undefined voxel is 0 throughout."""
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = responses - responses.mean(axis=0, dtype=np.float64)
        standard = standard / standard.std(axis=0)
        varies = np.ptp(responses, axis=0) > 0
    return np.where(varies & np.isfinite(standard).all(axis=0), standard, 0)


def _need_repeats(responses: Floats, what: str = "repeats") -> int:
    if responses.ndim != 3 or len(responses) < 2:
        n = len(responses) if responses.ndim == 3 else 1
        raise DataError(f"a ceiling needs two {what} or more, not {n}")
    return len(responses)


def _varies(repeats: Floats) -> NDArray[np.bool_]:
    """Voxels that are finite throughout and vary in some repeat."""
    with np.errstate(invalid="ignore"):
        spread = np.ptp(repeats, axis=1)
    varies: NDArray[np.bool_] = np.isfinite(spread).all(axis=0) & (spread > 0).any(axis=0)
    return varies


def _floored(found: Floats, defined: NDArray[np.bool_], floor: float | None) -> Floats:
    if floor is not None:
        found = np.fmax(found, floor)
    return np.where(defined, found, np.nan)


def _halves(n: int, seed: int) -> Floats:
    """Rows of 0 and 1 (split, repeat): the repeats of one half; of an odd number, the smaller."""
    size = n // 2
    if comb(n, size) <= 2 * MOST_SPLITS:
        chosen = [c for c in combinations(range(n), size) if n % 2 or 0 in c]
    else:
        rng = np.random.default_rng(seed)
        chosen = [tuple(rng.permutation(n)[:size]) for _ in range(MOST_SPLITS)]
    rows = np.zeros((len(chosen), n))
    for row, members in zip(rows, chosen, strict=True):
        row[list(members)] = 1
    return rows


@dataclass(frozen=True)
class Method:
    """A way to estimate a ceiling from (repeat or subject, TR, voxel)."""

    name: str
    summary: str
    needs: Literal["repeats", "subjects"]
    floor: float | None
    """The floor used unless another is asked for."""
    estimate: Callable[[Floats, float | None], Floats]
    """Ceilings (voxel,), or (subject, voxel) where ``needs`` is subjects; NaN where undefined."""
    of_covariances: Callable[[Floats], Floats] | None = None
    """Ceilings (...) without a floor, from covariances between repeats (repeat, repeat, ...)."""


def _inter_subject(responses: Floats, floor: float | None) -> Floats:
    found = inter_subject(responses)
    return found if floor is None else np.where(np.isnan(found), np.nan, np.fmax(found, floor))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                DEFAULT,
                "CCmax from signal and noise power",
                "repeats",
                0.25,
                ceiling,
                _schoppe,
            ),
            Method(
                "split-half",
                "r between halves of the repeats, Spearman-Brown",
                "repeats",
                0.3,
                split_half,
                _split_half,
            ),
            Method(
                "explainable-variance",
                "bias-corrected explainable variance of the mean response",
                "repeats",
                0.25,
                explainable_ceiling,
                _explainable,
            ),
            Method(
                INTER_SUBJECT,
                "r of a subject with the mean of the others",
                "subjects",
                None,
                _inter_subject,
            ),
        )
    }
)
"""Every method by the name that a user says."""


def find_method(name: str) -> Method:
    """The method of that name; :class:`NotFoundError` otherwise."""
    try:
        return METHODS[name]
    except KeyError:
        raise NotFoundError(f"no ceiling {name!r}; there are {', '.join(METHODS)}") from None


@dataclass(frozen=True)
class Ceiling:
    """A ceiling a voxel, and how far it can be trusted."""

    method: str
    floor: float | None
    values: Floats
    """(voxel,), or (subject, voxel); NaN where undefined."""

    @property
    def n_undefined(self) -> int:
        """Voxels (of all subjects) that have no ceiling."""
        return int(np.isnan(self.values).sum())

    @property
    def n_floored(self) -> int:
        """Voxels (of all subjects) that stand at the floor."""
        return 0 if self.floor is None else int((self.values == self.floor).sum())


def estimate_ceiling(
    responses: Floats | Sequence[Floats],
    method: str = "schoppe",
    floor: float | Literal["default"] | None = "default",
) -> Ceiling:
    """The ceiling by any method, in blocks of voxels.

    ``responses`` is (repeat, TR, voxel), or several stories of that kind; (subject, TR, voxel) for
    ``inter-subject``. Stories are taken end to end, as r is: a ceiling of each would be too low,
    the more so the shorter they are. Where they differ in the number of repeats, it is the root
    mean square over those numbers, each weighed by its rows. Raises :class:`NotFoundError` for an
    unknown method, :class:`DataError` where there are fewer than two repeats or subjects.
    """
    chosen = find_method(method)
    least = chosen.floor if floor == "default" else floor
    stories = [responses] if isinstance(responses, np.ndarray) else list(responses)
    if not stories:
        raise DataError(f"ceiling {method!r} needs {chosen.needs}, and no story has any")
    alike: dict[int, list[Floats]] = {}
    for story in stories:
        alike.setdefault(_need_repeats(story, chosen.needs), []).append(story)
    squares: list[Floats] = []
    for group in alike.values():
        parts = []
        for voxels in blocks(group[0].shape[-1], BLOCK):
            rows = np.concatenate([story[..., voxels] for story in group], axis=1)
            parts.append(chosen.estimate(rows, least))
        squares.append(signed_square(np.concatenate(parts, axis=-1)))
    n_rows = [sum(story.shape[1] for story in group) for group in alike.values()]
    mean = np.average(squares, axis=0, weights=n_rows)
    # r with the other subjects may be negative, and stays so.
    return Ceiling(chosen.name, least, np.sign(mean) * np.sqrt(np.abs(mean)))


HeldOutResponses = Callable[[], Mapping[str, Floats]]
"""Reads a subject's held-out responses (TR, voxel) by part, so that one is in memory at a time."""


Others = Mapping[str, HeldOutResponses]
"""The other subjects who heard the same, by name."""


def inter_subject_ceiling(own: Mapping[str, Floats], joined: bool, others: Others) -> Ceiling:
    """r of the subject's held-out responses with the mean of the others', scored as its r is.

    ``own`` are responses (TR, voxel) by part; ``joined`` says whether r is over all parts end to
    end, else it is the mean of the parts' own. Raises :class:`DataError` where there are no others,
    or one lacks a part or has other voxels.
    """
    stretches = [own] if joined else [{name: response} for name, response in own.items()]
    values = np.mean(
        [
            against_others(
                np.concatenate(list(stretch.values())),
                (_same_parts(stretch, read, subject) for subject, read in others.items()),
            )
            for stretch in stretches
        ],
        axis=0,
    )
    return Ceiling(INTER_SUBJECT, None, values)


def _same_parts(own: Mapping[str, Floats], read: HeldOutResponses, subject: str) -> Floats:
    """The other's responses to the same parts, end to end."""
    responses = read()
    for name, expected in own.items():
        shape = responses[name].shape if name in responses else "none"
        if shape != expected.shape:
            raise DataError(
                f"inter-subject: held-out part {name!r} has responses {expected.shape} (TR, voxel) "
                f"in this subject and {shape} in {subject!r}; rows and voxels must correspond"
            )
    return np.concatenate([responses[name] for name in own])


def normalised(r: Floats, ceiling: Floats) -> Floats:
    """CCnorm: r as a share of its ceiling, (voxel,); NaN where either is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = r / np.where(ceiling > 0, ceiling, np.nan)
    return share


def headroom(r: Floats, ceiling: Floats) -> Floats:
    """Room for improvement, ceiling less r, (voxel,); NaN where either is undefined.

    Negative where a voxel is predicted better than its estimated ceiling allows.
    """
    left: Floats = ceiling - r
    return left

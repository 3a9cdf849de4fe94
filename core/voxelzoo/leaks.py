"""Guards against scores that are too good: what trains must not hold what is tested.

Each guard has a name. A violation stops a run with the reason and that name; who knows better lets
it through by name, and the result says so.

What can be seen is less than what can be wrong. A test story is found in training by its words, by
its sound, or by responses that rise and fall alike; a paraphrase, or a translation, is not found.
Shuffled rows are found where a story has lost the slowness that the subject's other stories have;
where every story was shuffled, white noise looks the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Story, UsageError, Words
from voxelzoo.datasets import ContiguousFolds, Evaluation, HeldOutStories
from voxelzoo.protocols import CLEAN, Protocol

GUARDS: Mapping[str, str] = {
    "shared-text": "a test story's words, or most of them, are in a training story",
    "shared-sound": "a test story has the same sound as a training story",
    "shared-responses": "rows of a test story's responses are rows of a training story's",
    "shuffled-rows": "a story's responses lack the slowness of the subject's other stories",
    "delays-across-stories": "delays reach from one story into the next",
    "fold-gap": "the gap around a held-out fold is shorter than the longest delay",
}
"""Every guard, with what it refuses."""

N_GRAM = 5
"""Words in a run that is looked for in another story."""

MOST = 0.5
"""Share of a story's runs of words that makes it the other story."""

ENOUGH_RUNS = 20
"""Distinct runs that two stories must share before it can be no chance."""

SAMPLE = 256
"""Voxels compared between stories."""

ENOUGH_BITS = 128
"""Rises and falls that make a run of rows unmistakable."""


@dataclass(frozen=True)
class Leak:
    """One violation: the guard that saw it, and one line of what it saw."""

    guard: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} (guard {self.guard})"


def find_leaks(
    evaluation: Evaluation,
    stories: Mapping[str, Story],
    responses: Mapping[str, ResponseTrace] | None = None,
    *,
    protocol: Protocol | None = None,
    delays: Collection[int] = (),
) -> Iterator[Leak]:
    """Every violation. ``responses`` are one subject's, by story; without them no guard of
    responses runs, and without ``stories`` none of stimuli."""
    if protocol is not None and protocol.delays_cross_stories:
        yield Leak(
            "delays-across-stories",
            f"protocol {protocol.name}: a story's first rows are predicted from the story before",
        )
    if isinstance(evaluation, ContiguousFolds):
        if delays and evaluation.gap < max(delays):
            yield Leak(
                "fold-gap",
                f"a gap of {evaluation.gap} TRs around held-out folds, but delays reach "
                f"{max(delays)} TRs: training rows see the held-out stimulus",
            )
    else:
        yield from _shared_stimuli(evaluation, stories)
    if responses:
        if isinstance(evaluation, HeldOutStories):
            yield from _shared_responses(evaluation, responses)
        yield from _shuffled(responses)


def check_leaks(
    evaluation: Evaluation,
    stories: Mapping[str, Story],
    responses: Mapping[str, ResponseTrace] | None = None,
    allow: Collection[str] = (),
    *,
    protocol: Protocol | None = None,
    delays: Collection[int] = (),
) -> list[str]:
    """Names of the guards that found something and were overridden by ``allow``.

    A protocol whose delays cross stories overrides that guard by its own name. Raises
    :class:`DataError` with the first violation that was not overridden, and :class:`UsageError` for
    a guard there is none of.
    """
    check_guards(allow)
    overridden = set()
    if protocol is not None and protocol.name != CLEAN.name:
        allow = {*allow, "delays-across-stories"}
    for leak in find_leaks(evaluation, stories, responses, protocol=protocol, delays=delays):
        if leak.guard not in allow:
            raise DataError(f"leak: {leak}; mend it, or say --allow-leak {leak.guard}")
        overridden.add(leak.guard)
    return sorted(overridden)


def check_guards(names: Collection[str]) -> None:
    """Refuses a name that no guard has."""
    for name in names:
        if name not in GUARDS:
            raise UsageError(f"--allow-leak {name!r}: the guards are {', '.join(GUARDS)}")


# -------------------------------------------------------------------------------------- stimuli


def _shared_stimuli(evaluation: HeldOutStories, stories: Mapping[str, Story]) -> Iterator[Leak]:
    plain = {name: _spelt(story.words) for name, story in stories.items()}
    runs = {name: _runs(words) for name, words in plain.items()}
    for test in evaluation.test:
        for train in evaluation.train:
            if test not in stories or train not in stories:
                continue
            share = _overlap(runs[test], runs[train])
            if share or (plain[test] and plain[test] == plain[train]):
                exact = plain[test] == plain[train]
                what = "the same words as" if exact else f"{share:.0%} of its runs of words in"
                yield Leak(
                    "shared-text",
                    f"test story {test!r} has {what} training story {train!r}: it would be tested "
                    "on what it learnt",
                )
            if _same_sound(stories[test], stories[train]):
                yield Leak(
                    "shared-sound",
                    f"test story {test!r} has the same sound as training story {train!r}: it would "
                    "be tested on what it learnt",
                )


def _spelt(words: Words | None) -> tuple[str, ...]:
    """Words by their letters alone."""
    if words is None:
        return ()
    plain = (re.sub(r"[^\w]+", "", word.casefold()) for word in words.text)
    return tuple(word for word in plain if word)


def _runs(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Runs of five words."""
    return frozenset(words[i : i + N_GRAM] for i in range(len(words) - N_GRAM + 1))


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Share of the smaller story's runs that the larger has; 0 where that is no evidence."""
    shared, smaller = len(one & other), min(len(one), len(other))
    return shared / smaller if shared >= ENOUGH_RUNS and shared > MOST * smaller else 0.0


def _same_sound(one: Story, other: Story) -> bool:
    if one.audio is None or other.audio is None:
        return False
    try:
        if one.audio.n_samples != other.audio.n_samples:
            return False
        return one.audio.digest == other.audio.digest
    except DataError:
        return False  # not fetched, or damaged: models that read words do not need it


# ------------------------------------------------------------------------------------ responses


@dataclass(frozen=True)
class ResponseTrace:
    """What the guards keep of one story's responses: a sample of voxels, and how slow they are.

    ``sample`` is (repeat, TR, voxel) with at most 256 voxels, the mean over repeats last.
    """

    sample: NDArray[np.float32]
    slowness: tuple[float, ...]
    """Of each repeat: correlation of each row with the next, averaged over voxels; NaN if none."""

    @classmethod
    def of(cls, responses: NDArray[Any]) -> ResponseTrace:
        """From (TR, voxel) or (repeat, TR, voxel)."""
        repeats = np.asarray(responses[..., cls.sampled(responses.shape[-1])], dtype=np.float32)
        repeats = repeats.reshape(-1, *repeats.shape[-2:])
        with np.errstate(invalid="ignore", over="ignore"):
            mean = repeats.mean(axis=0, keepdims=True)
            slowness = tuple(_slowness(repeat) for repeat in repeats)
        return cls(np.concatenate([repeats, mean]) if len(repeats) > 1 else repeats, slowness)

    @staticmethod
    def sampled(n_voxels: int) -> NDArray[np.intp]:
        """Which voxels are kept of so many."""
        return np.unique(np.linspace(0, n_voxels - 1, SAMPLE).astype(np.intp))

    @cached_property
    def varies(self) -> NDArray[np.bool_]:
        """Voxels that are finite and vary in every repeat, (voxel,)."""
        with np.errstate(invalid="ignore"):
            varies: NDArray[np.bool_] = (np.ptp(self.sample, axis=1) > 0).all(axis=0)
        return varies  # NaN compares false

    def sample_rises(self, usable: NDArray[np.bool_]) -> tuple[_Rises, ...]:
        """Which of these voxels rise when, in each repeat."""
        if (found := self._known.get(key := usable.tobytes())) is None:
            found = self._known[key] = tuple(_rises(rows, usable) for rows in self.sample)
        return found

    @cached_property
    def _known(self) -> dict[bytes, tuple[_Rises, ...]]:
        """Kept by voxels: most stories have the same ones."""
        return {}


def _slowness(rows: NDArray[np.float32]) -> float:
    """Mean over voxels of the lag-one autocorrelation of (TR, voxel)."""
    with np.errstate(invalid="ignore"):
        usable = np.ptp(rows, axis=0) > 0  # NaN compares false
    usable &= np.isfinite(rows).all(axis=0)
    if len(rows) < 3 or not usable.any():
        return float("nan")
    centred = rows[:, usable] - rows[:, usable].mean(axis=0, dtype=np.float64)
    power = (centred**2).sum(axis=0)
    return float(((centred[1:] * centred[:-1]).sum(axis=0) / power).mean())


def _shared_responses(
    evaluation: HeldOutStories, traces: Mapping[str, ResponseTrace]
) -> Iterator[Leak]:
    for test in evaluation.test:
        for train in evaluation.train:
            if test not in traces or train not in traces:
                continue
            if n := shared_rows(traces[test], traces[train]):
                yield Leak(
                    "shared-responses",
                    f"{n} consecutive response rows of test story {test!r} are rows of training "
                    f"story {train!r}",
                )


def shared_rows(one: ResponseTrace, other: ResponseTrace) -> int:
    """Length of the longest run of rows that two stories share, whatever their scale; 0 if none.

    Scaling a voxel keeps which rows rise: runs of rows are found by that, then confirmed by their
    correlation.
    """
    if one.sample.shape[2] != other.sample.shape[2]:
        return 0
    usable = one.varies & other.varies
    return max(
        _longest(a, b, usable) for a in one.sample_rises(usable) for b in other.sample_rises(usable)
    )


@dataclass(frozen=True)
class _Rises:
    """Rows (TR, voxel), and which voxels rise in each run of steps: places by that."""

    rows: NDArray[np.float32]
    steps: int
    places: Mapping[bytes, Sequence[int]]


def _longest(a: _Rises, b: _Rises, usable: NDArray[np.bool_]) -> int:
    matches = {
        (i, j)
        for key in a.places.keys() & b.places.keys()
        for i in a.places[key]
        for j in b.places[key]
    }
    longest = 0
    for i, j in matches:
        if (i - 1, j - 1) in matches:
            continue
        length = 1
        while (i + length, j + length) in matches:
            length += 1
        n = length + a.steps
        if n > longest and _same_course(a.rows[i : i + n, usable], b.rows[j : j + n, usable]):
            longest = n
    return longest


def _rises(rows: NDArray[np.float32], usable: NDArray[np.bool_]) -> _Rises:
    """Where each pattern of rises and falls is, runs being long enough to be unmistakable."""
    steps = max(8, -(-ENOUGH_BITS // max(1, int(usable.sum()))))
    rose = [row.tobytes() for row in np.packbits(np.diff(rows[:, usable], axis=0) > 0, axis=1)]
    places: dict[bytes, list[int]] = {}
    for i in range(len(rose) - steps + 1 if usable.any() else 0):
        places.setdefault(b"".join(rose[i : i + steps]), []).append(i)
    return _Rises(rows, steps, places)


def _same_course(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether the voxels run alike in time up to their scale: (TR, voxel) each."""
    x = a - a.mean(axis=0, dtype=np.float64)
    y = b - b.mean(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    return bool(np.nanmedian(r) > 0.999) if np.isfinite(r).any() else False


def _shuffled(traces: Mapping[str, ResponseTrace]) -> Iterator[Leak]:
    """Stories, or repeats of one, whose rows do not follow each other as the others' do."""
    for name, repeat, slowness, usual in out_of_order(traces):
        which = f", repeat {repeat + 1}," if len(traces[name].slowness) > 1 else ""
        yield Leak(
            "shuffled-rows",
            f"responses to story {name!r}{which} have a lag-one autocorrelation of "
            f"{slowness:.2f}, the subject's others {usual:.2f}: its rows look shuffled",
        )


def out_of_order(traces: Mapping[str, ResponseTrace]) -> Iterator[tuple[str, int, float, float]]:
    """(name, repeat, its slowness, the others') where slowness is lost that all others have."""
    every = [(name, i, s) for name, trace in traces.items() for i, s in enumerate(trace.slowness)]
    for name, i, slowness in every:
        others = [s for other, j, s in every if (other, j) != (name, i) and np.isfinite(s)]
        if not others:
            continue
        usual = float(np.median(others))
        margin = 2.5 / np.sqrt(traces[name].sample.shape[1])
        if slowness < usual / 4 and usual - slowness > margin:
            yield name, i, slowness, usual

"""Guards against scores that are too good: what trains must not hold what is tested.

Each guard has a name. A violation stops a run with the reason and that name; who knows better lets
it through by name, and the result says so.

What can be seen is less than what can be wrong. A test story is found in training by its words, by
its sound, or by responses that rise and fall alike; a paraphrase, or a translation, is not found.
Shuffled rows are found where a story has lost the autocorrelation that the subject's other stories
have; where every story was shuffled, white noise looks the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from voxelzoo.api import DataError, Story, UsageError, Words
from voxelzoo.science.protocols import CLEAN, FitProtocol
from voxelzoo.science.splits import Evaluation, HeldOutStories
from voxelzoo.science.traces import ResponseTrace, out_of_order, shared_rows

GUARDS: Mapping[str, str] = {
    "shared-text": "a test story's words, or most of them, are in a training story",
    "shared-sound": "a test story has the same sound as a training story",
    "shared-responses": "rows of a test story's responses are rows of a training story's",
    "shuffled-rows": "a story's responses lack the autocorrelation of the subject's other stories",
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
    protocol: FitProtocol | None = None,
    delays: Collection[int] = (),
) -> Iterator[Leak]:
    """Every violation. ``responses`` are one subject's, by story; without them no guard of
    responses runs, and without ``stories`` none of stimuli."""
    if protocol is not None and protocol.delays_cross_stories:
        yield Leak(
            "delays-across-stories",
            f"protocol {protocol.name}: a story's first rows are predicted from the story before",
        )
    if evaluation.kind == "folds":
        if delays and evaluation.gap < max(delays):
            yield Leak(
                "fold-gap",
                f"a gap of {evaluation.gap} TRs around held-out folds, but delays reach "
                f"{max(delays)} TRs: training rows see the held-out stimulus",
            )
    else:
        yield from _shared_stimuli(evaluation, stories)
    if responses:
        if evaluation.kind == "stories":
            yield from _shared_responses(evaluation, responses)
        yield from _shuffled(responses)


def check_leaks(
    evaluation: Evaluation,
    stories: Mapping[str, Story],
    responses: Mapping[str, ResponseTrace] | None = None,
    allow: Collection[str] = (),
    *,
    protocol: FitProtocol | None = None,
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


def _shuffled(traces: Mapping[str, ResponseTrace]) -> Iterator[Leak]:
    """Stories, or repeats of one, whose rows do not follow each other as the others' do."""
    for name, repeat, lag1_autocorrelation, usual in out_of_order(traces):
        which = f", repeat {repeat + 1}," if len(traces[name].lag1_autocorrelation) > 1 else ""
        yield Leak(
            "shuffled-rows",
            f"responses to story {name!r}{which} have a lag-one autocorrelation of "
            f"{lag1_autocorrelation:.2f}, the subject's others {usual:.2f}: its rows look shuffled",
        )

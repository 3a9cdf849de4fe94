"""Guards against leaks: test data in the training data, which make scores too high.

Each guard has a name. A leak stops a run with a message that names the guard. ``--allow-leak`` with
that name ignores the guard, and the result records it.

Guards cannot find every leak. A test story is found in training by its words, by its sound, or by
responses with the same time course; a paraphrase or a translation is not found. Shuffled rows are
found in a story without the autocorrelation of the subject's other stories; if every story was
shuffled, responses cannot be told from white noise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voxelzoo.api import DataError, Story, UsageError, Words
from voxelzoo.science.protocols import CLEAN, FitProtocol
from voxelzoo.science.splits import Evaluation, HeldOutStories
from voxelzoo.science.traces import ResponseTrace, out_of_order, shared_rows
from voxelzoo.text import listed

GUARDS: Mapping[str, str] = {
    "shared-text": "a test story's words, or most of them, are in a training story",
    "shared-sound": "a test story has the same sound as a training story",
    "shared-responses": "rows of a test story's responses are rows of a training story's",
    "shuffled-rows": "a story's responses have no autocorrelation; the subject's others have",
    "averaged-subject": "a subject is the mean of others, and the dataset does not say so",
    "delays-across-stories": "delays reach from one story into the next",
    "fold-gap": "the gap around a held-out fold is shorter than the longest delay",
}
"""Every guard, and the leak that it looks for."""


N_GRAM = 5
"""Consecutive words in a run that is looked for in another story."""


MOST = 0.5
"""Share of a story's runs of words above which it counts as the other story."""


ENOUGH_RUNS = 20
"""Distinct runs that two stories must share: fewer can be common phrases."""


@dataclass(frozen=True)
class Leak:
    """One leak."""

    guard: str
    """Name of the guard that found it."""
    reason: str
    """One line: what was found, and in which story."""

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
    """Every leak that the guards find.

    Parameters
    ----------
    evaluation : HeldOutStories or ContiguousFolds
        What is held out.
    stories : mapping of str to Story
        Stories by name. Guards of words and sound skip those that are not in it.
    responses : mapping of str to ResponseTrace, optional
        One subject's responses by story. Without them, guards of responses do not run.
    protocol : FitProtocol, optional
        How models are fitted. Without it, delays are taken to stay within stories.
    delays : collection of int
        Delays in TRs, which the gap around a held-out fold must cover.

    Yields
    ------
    Leak
    """
    if protocol is not None and protocol.delays_cross_stories:
        yield Leak(
            "delays-across-stories",
            f"protocol {protocol.name}: a story's first rows are predicted from the previous story",
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


def averaged_subject(subject: str, members: Sequence[str]) -> Leak:
    """The leak of a subject that is a mean over others, and is not declared as one."""
    who = listed(members) if len(members) <= 4 else f"{len(members)} others"
    return Leak(
        "averaged-subject",
        f"responses of {subject!r} are the mean of {who}: a mean is no further person; list it "
        "under averages, in dataset.yaml",
    )


def stop_unless_allowed(leak: Leak, allow: Collection[str]) -> None:
    """:class:`DataError` for a leak whose guard is not ignored."""
    if leak.guard not in allow:
        raise DataError(f"leak: {leak}; fix it, or pass --allow-leak {leak.guard}")


def check_leaks(
    evaluation: Evaluation,
    stories: Mapping[str, Story],
    responses: Mapping[str, ResponseTrace] | None = None,
    allow: Collection[str] = (),
    *,
    protocol: FitProtocol | None = None,
    delays: Collection[int] = (),
) -> list[str]:
    """Stop at the first leak that is not allowed.

    Parameters
    ----------
    evaluation, stories, responses, protocol, delays
        As for :func:`find_leaks`.
    allow : collection of str
        Guards to ignore. A protocol other than ``clean`` also ignores ``delays-across-stories``:
        that delays cross stories is part of such a protocol.

    Returns
    -------
    list of str
        Guards that found a leak and were ignored, in alphabetical order.

    Raises
    ------
    DataError
        With the first leak whose guard is not ignored.
    UsageError
        If ``allow`` names a guard that does not exist.
    """
    check_guards(allow)
    overridden = set()
    if protocol is not None and protocol.name != CLEAN.name:
        allow = {*allow, "delays-across-stories"}
    for leak in find_leaks(evaluation, stories, responses, protocol=protocol, delays=delays):
        stop_unless_allowed(leak, allow)
        overridden.add(leak.guard)
    return sorted(overridden)


def check_guards(names: Collection[str]) -> None:
    """:class:`UsageError` for a name that is not one of :data:`GUARDS`."""
    for name in names:
        if name not in GUARDS:
            raise UsageError(f"invalid --allow-leak {name!r}: the guards are {listed(GUARDS)}")


def _shared_stimuli(evaluation: HeldOutStories, stories: Mapping[str, Story]) -> Iterator[Leak]:
    plain = {name: _spelt(story.words) for name, story in stories.items()}
    runs = {name: _runs(words) for name, words in plain.items()}
    for test in evaluation.test:
        for train in evaluation.train:
            if test not in stories or train not in stories:
                continue
            where = f"training story {train!r}: a model would be tested on what it was trained on"
            same = plain[test] == plain[train]
            if same and plain[test] and not _is_a_drill(stories[test].words, runs[test]):
                reason = f"test story {test!r} has the same words as {where}"
                yield Leak("shared-text", reason)
            elif share := _overlap(runs[test], runs[train]):
                reason = f"{share:.0%} of the five-word runs of test story {test!r} are in {where}"
                yield Leak("shared-text", reason)
            if _same_sound(stories[test], stories[train]):
                reason = f"test story {test!r} has the same sound as {where}"
                yield Leak("shared-sound", reason)


def _spelt(words: Words | None) -> tuple[str, ...]:
    """Words in lower case, without punctuation; those without letters are skipped."""
    if words is None:
        return ()
    plain = (re.sub(r"[^\w]+", "", word.casefold()) for word in words.text)
    return tuple(word for word in plain if word)


def _runs(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Every run of :data:`N_GRAM` consecutive words."""
    return frozenset(words[i : i + N_GRAM] for i in range(len(words) - N_GRAM + 1))


def _is_a_drill(words: Words | None, runs: frozenset[tuple[str, ...]]) -> bool:
    """Whether a story is the same few words over and over, at a constant rate.

    Two such stories are the same by design, not because one is a copy of the other.
    """
    if words is None or len(words.text) < 2 * ENOUGH_RUNS or len(runs) >= ENOUGH_RUNS:
        return False
    steps = np.diff(words.onsets)
    return bool(np.ptp(steps) <= 0.01 * np.abs(steps).mean())


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Share of the shorter story's runs that are in the longer; 0 if that can be chance."""
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
        return False  # not downloaded, or damaged: models that read words do not need it


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
    """Stories, or repeats of a story, whose rows look shuffled."""
    for name, repeat, lag1, usual in out_of_order(traces):
        which = f", repeat {repeat + 1}," if len(traces[name].lag1_autocorrelation) > 1 else ""
        yield Leak(
            "shuffled-rows",
            f"responses to story {name!r}{which} have a lag-one autocorrelation of {lag1:.2f}, "
            f"the subject's other stories {usual:.2f}: the rows look shuffled",
        )

"""What a text model reads of a story: its tokens, and the context that each state ends.

A reading consists of index ranges and is made without the model. Words whose contexts begin at the
same token share one forward pass: in a causal network the state of a token does not depend on later
tokens, so the shared pass gives each word exactly what a pass of its own would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError, WindowPolicy, Words, context_starts
from voxelzoo_transformers.text.tokens import NO_TOKEN, Ints, Tokens, match_words

MAX_SKIPPED = 0.1
"""Share of the words that may have the state of the word before because their own is skipped."""


@dataclass(frozen=True)
class Pass:
    """One forward pass: tokens ``start..stop`` (exclusive), from which states ``rows`` are read."""

    start: int
    stop: int
    rows: slice

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Reading:
    """A story as one model reads it. Indices of tokens are inclusive."""

    ids: Ints
    """The story's tokens, (token,)."""
    times: NDArray[np.float64]
    """Time of each state on the story's clock, (state,), in seconds."""
    word: Ints
    """The word that each state belongs to, (state,), an index into the story's words."""
    start: Ints
    """First token of each state's context, (state,)."""
    first: Ints
    """First token of each state's own word, (state,)."""
    last: Ints
    """Last token of each state's context and of its own word, (state,)."""
    added_from: Ints
    """First token after the previous word, (state,); up to ``last``, all that a word adds."""
    notes: tuple[str, ...] = ()
    """What a user should know of this story, a line each."""

    def __len__(self) -> int:
        return len(self.times)

    def passes(self, shared: bool = True) -> Iterator[Pass]:
        """Forward passes from which every state is read once, in order.

        Parameters
        ----------
        shared : bool, default True
            States whose contexts begin at the same token share a pass. False gives each state a
            pass of its own, as a network that is not causal needs.

        Yields
        ------
        Pass
            Ranges of tokens and of states.
        """
        row = 0
        while row < len(self):
            stop = row + 1
            while shared and stop < len(self) and self.start[stop] == self.start[row]:
                stop += 1
            yield Pass(int(self.start[row]), int(self.last[row:stop].max()) + 1, slice(row, stop))
            row = stop


def read_words(
    words: Words,
    encode: Callable[[str], Tokens],
    policy: WindowPolicy,
    skip_first: bool = False,
) -> Reading:
    """The reading that Antonello et al. (2023) describe: a word's state is its last token's.

    Silences are skipped. A word that becomes no token has the state of the previous word.

    Parameters
    ----------
    words : Words
        The story's words; empty ones are silences.
    encode : callable
        Turns a text into :class:`Tokens`.
    policy : WindowPolicy
        Which tokens or words a context holds.
    skip_first : bool, default False
        A context's first token gives no state, as if its word had no token. For contexts without a
        special token before them.

    Returns
    -------
    Reading
        One state for each spoken word that follows or has a token.

    Raises
    ------
    DataError
        If no word becomes a token, or the tokenizer's tokens do not follow the text.
    """
    spoken = np.array([i for i, text in enumerate(words.text) if text.strip()], dtype=np.int64)
    text = [words.text[i].strip() for i in spoken]
    tokens = encode(" ".join(text))
    at = match_words(text, tokens)
    if policy.unit == "words":
        start = at.begin[context_starts(policy, [bool(t.strip()) for t in words.text])]
    else:
        start = np.array([policy.start(int(last) + 1) for last in at.last], dtype=np.int64)
    return _reading(words, tokens, spoken, start, at.first, at.last, skip_first)


DROPPED = frozenset({"sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp"})
"""Labels that the released code drops, in lower case and without braces."""


def read_words_as_released(
    words: Words,
    encode: Callable[[str], Tokens],
    policy: WindowPolicy,
    skip_first: bool = False,
) -> Reading:
    """The reading of the code released with Antonello et al. (2023).

    Items whose label is one of :data:`DROPPED` are not there at all. Of the others, those with an
    empty label stay as empty words; every other label is a word, in lower case. An empty word and
    ``'s`` have the state of the previous word. Tokens that the tokenizer makes of the extra spaces
    belong to the previous word, whose last token is then one of these. What is not reproduced is
    on the page "The paper's protocol" of the documentation.

    Parameters
    ----------
    words : Words
        The story's words, of which :attr:`~voxelzoo.api.Words.labels` are read.
    encode : callable
        Turns a text into :class:`Tokens`.
    policy : WindowPolicy
        Which tokens or words a context holds.
    skip_first : bool, default False
        A context's first token gives no state: see :func:`read_words`.

    Returns
    -------
    Reading
        One state for each word and empty word from the first word on.

    Raises
    ------
    DataError
        If no word becomes a token, or the tokenizer's tokens do not follow the text.
    """
    items = np.array(released_items(words), dtype=np.int64)
    text = [words.labels[i].strip().lower() for i in items]
    tokens = encode(" ".join(text))
    at = match_words(text, tokens)
    spoken = np.array([i for i, word in enumerate(text) if word], dtype=np.int64)
    begin, last = at.begin[spoken], at.last[spoken]
    up_to_next = np.append(begin[1:], len(tokens)) - 1
    last = np.where(last == NO_TOKEN, NO_TOKEN, np.maximum(last, up_to_next))
    if policy.unit == "words":
        start = begin[context_starts(policy, [bool(word) for word in text])]
    else:
        start = np.array([policy.start(int(i) + 1) for i in last], dtype=np.int64)

    every = np.arange(len(text))
    before = np.searchsorted(spoken, every, side="right") - 1  # of each item, the word it repeats
    repeated = np.array([text[spoken[i]] == "'s" if i >= 0 else True for i in before])
    own = np.where((before < 0) | repeated, NO_TOKEN, last[before])
    first = at.first[spoken][before]
    reading = _reading(words, tokens, items, start[before], first, own, skip_first)
    return replace(reading, notes=tuple(_not_as_released(text, policy)))


def _not_as_released(text: Sequence[str], policy: WindowPolicy) -> Iterator[str]:
    """What the released code would do with a story, and is not done here."""
    if n := text.count("'s"):
        yield (
            f'"\'s" is a word of its own {n} times: after each, the released code reads all later '
            "words one word too early; it can be read without this error"
        )
    if policy.kind != "sawtooth" or policy.unit != "words" or policy.variant != "code":
        return
    lookback, n_stops = 0, 0
    for word in text:
        if word and word != "'s" and lookback >= policy.size:
            n_stops += lookback > policy.size
            lookback = policy.restart
        lookback += 1
    if n_stops:
        yield (
            f"{n_stops} times a silence comes when the counter of words is full: the released code "
            "stops there; the next word can restart the context"
        )


def released_items(words: Words) -> list[int]:
    """Positions of the items that the released code does not drop.

    Parameters
    ----------
    words : Words
        The story's words.

    Returns
    -------
    list of int
    """
    plain = (label.lower().strip("{}").strip() for label in words.labels)
    return [i for i, label in enumerate(plain) if label not in DROPPED]


def _reading(
    words: Words,
    tokens: Tokens,
    word: Ints,
    start: Ints,
    first: Ints,
    last: Ints,
    skip_first: bool,
) -> Reading:
    """Gives a word without a token the previous state, and drops it if there is none.

    A word without a time is read, as every word, and has no state.
    """
    n = len(word)
    none = last == NO_TOKEN
    if none.all():
        raise DataError("no word of the story becomes a token")
    if skip_first:
        none |= last <= start
    source = np.maximum.accumulate(np.where(none, -1, np.arange(n)))
    kept = source >= 0
    if skip_first:
        repeated = kept & none & (last != NO_TOKEN)
        if not kept.any() or repeated.sum() > MAX_SKIPPED * n:
            raise UsageError(
                "too many words are the first token of their context, which gives no state because "
                "no special token precedes it; use a longer context, a first token (--first-token) "
                "or --model-option first_state=keep"
            )
    source, word = source[kept], word[kept]
    ends, which = np.unique(last[source], return_inverse=True)
    added_from = np.append(-1, ends[:-1])[which] + 1
    timed = words.is_timed[word]
    if not timed.any():
        raise DataError("no word of the story that has a time becomes a token")
    source, word = source[timed], word[timed]
    return Reading(
        tokens.ids,
        words.times[word],
        word,
        np.minimum(start, last)[source],
        first[source],
        last[source],
        added_from[timed],
    )

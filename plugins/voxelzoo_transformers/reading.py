"""What a text model reads for a story: tokens, and for each state the context it ends.

A reading is plain index ranges, made without the model. Words whose contexts begin at the same
token share one forward pass: in a causal network the state of a token does not depend on what
follows, so one pass gives every one of them exactly what a pass of its own would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, WindowPolicy, Words, context_starts
from voxelzoo_transformers.tokens import NO_TOKEN, Ints, Tokens, match_words


@dataclass(frozen=True)
class Pass:
    """One forward pass: tokens ``start..stop`` (exclusive), read for states ``rows``."""

    start: int
    stop: int
    rows: slice

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Reading:
    """A story as one model reads it.

    ``ids`` (token,) are its tokens. State ``i`` stands at ``times[i]`` (s); its context is the
    tokens ``start[i]..last[i]``, of which ``first[i]..last[i]`` are its word's own. ``word[i]`` is
    the word it belongs to, an index into the story's words.
    """

    ids: Ints
    times: NDArray[np.float64]
    word: Ints
    start: Ints
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def since(self) -> Ints:
        """First token after the word before, (state,): with ``last``, all that this word added."""
        ends, which = np.unique(self.last, return_inverse=True)
        after: Ints = np.append(-1, ends[:-1])[which] + 1
        return after

    def passes(self, shared: bool = True) -> Iterator[Pass]:
        """Forward passes that serve every state once, in order.

        ``shared=False`` gives each state a pass of its own, which a network needs that looks ahead.
        """
        row = 0
        while row < len(self):
            stop = row + 1
            while shared and stop < len(self) and self.start[stop] == self.start[row]:
                stop += 1
            yield Pass(int(self.start[row]), int(self.last[row:stop].max()) + 1, slice(row, stop))
            row = stop


def read_words(words: Words, encode: Callable[[str], Tokens], policy: WindowPolicy) -> Reading:
    """The reading that the paper means: silences dropped, a word's state at its last token.

    A word that becomes no token has the state of the word before it.
    """
    spoken = np.array([i for i, text in enumerate(words.text) if text.strip()], dtype=np.int64)
    text = [words.text[i].strip() for i in spoken]
    tokens = encode(" ".join(text))
    found = match_words(text, tokens)
    if policy.unit == "words":
        start = found.begin[context_starts(policy, [bool(t.strip()) for t in words.text])]
    else:
        start = np.array([policy.start(int(last) + 1) for last in found.last], dtype=np.int64)
    return _reading(words, tokens, spoken, start, found.first, found.last)


def read_words_as_released(
    words: Words, encode: Callable[[str], Tokens], policy: WindowPolicy
) -> Reading:
    """The reading of the code released with Antonello et al. (2023).

    Words are lower-cased and silences stay, as empty words: they and ``'s`` have the state of the
    word before them. What the tokenizer makes of the extra spaces belongs to the word before, whose
    last token it then is. (With ``'s`` as a word of its own the released code goes on with contexts
    that end one word early; that slip is left out.)
    """
    text = [word.strip().lower() for word in words.text]
    tokens = encode(" ".join(text))
    found = match_words(text, tokens)
    spoken = np.array([i for i, word in enumerate(text) if word], dtype=np.int64)
    begin, last = found.begin[spoken], found.last[spoken]
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
    return _reading(words, tokens, every, start[before], found.first[spoken][before], own)


def _reading(
    words: Words, tokens: Tokens, word: Ints, start: Ints, first: Ints, last: Ints
) -> Reading:
    """Gives what has no state of its own the one before it, and drops what has none before it."""
    n = len(word)
    source = np.maximum.accumulate(np.where(last == NO_TOKEN, -1, np.arange(n)))
    kept = source >= 0
    if not kept.any():
        raise DataError("no word of the story becomes a token")
    source = source[kept]
    return Reading(
        tokens.ids,
        words.times[word[kept]],
        word[kept],
        np.minimum(start, last)[source],
        first[source],
        last[source],
    )

"""Batches of forward passes through a language model: what is fed, and which tokens are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_transformers.text.first_token import ContextFrame
from voxelzoo_transformers.text.reading import Pass, Reading
from voxelzoo_transformers.text.states import LayerReader, PredictedTokens, TokenSelection


def next_batch(
    passes: Sequence[Pass], start: int, tokens: int, equal_lengths: bool = False
) -> Sequence[Pass]:
    """Passes from ``start`` on, as many as fit into a number of tokens.

    Parameters
    ----------
    passes : sequence of Pass
        All passes of a story.
    start : int
        The first pass of the batch.
    tokens : int
        Tokens that fit, counted with all passes padded to the longest. One pass always fits.
    equal_lengths : bool, default False
        Only passes of one length, so that there is no padding.

    Returns
    -------
    sequence of Pass
        At least one pass.
    """
    stop, longest = start + 1, len(passes[start])
    for following in passes[stop:]:
        longest = max(longest, len(following))
        if longest * (stop + 1 - start) > tokens:
            break
        if equal_lengths and len(following) != len(passes[start]):
            break
        stop += 1
    return passes[start:stop]


@dataclass(frozen=True)
class TextBatch:
    """Passes that go through the network together."""

    reading: Reading
    passes: Sequence[Pass]
    frame: ContextFrame
    """The special tokens around every pass. If some follow it, all passes are equally long."""

    @property
    def rows(self) -> slice:
        """The states that are read from this batch."""
        return slice(self.passes[0].rows.start, self.passes[-1].rows.stop)

    @property
    def n_states(self) -> int:
        """Number of states that are read from this batch."""
        return int(self.rows.stop - self.rows.start)

    def ids(self) -> Tensor:
        """Token ids, (pass, token).

        Short passes are padded on the right, where a causal network does not look.
        """
        n_first, longest = len(self.frame.before), max(map(len, self.passes))
        length = longest + self.frame.n_tokens
        ids = np.zeros((len(self.passes), length), dtype=np.int64)
        ids[:, :n_first] = self.frame.before
        ids[:, n_first + longest :] = self.frame.after
        for i, one in enumerate(self.passes):
            ids[i, n_first : n_first + len(one)] = self.reading.ids[one.start : one.stop]
        return torch.from_numpy(ids)

    def selection(self, mean: bool) -> TokenSelection:
        """Tokens to read: each word's last, or with ``mean`` all of its tokens."""
        n_first = len(self.frame.before)
        where: list[tuple[int, int, int]] = []
        for i, one in enumerate(self.passes):
            for row in range(one.rows.start, one.rows.stop):
                last = int(self.reading.last[row])
                begin = one.start + self.frame.skip_first
                first = max(int(self.reading.first[row]), begin) if mean else last
                where.extend(
                    (i, token - one.start + n_first, row - self.rows.start)
                    for token in range(first, last + 1)
                )
        index = torch.tensor(where, dtype=torch.long)
        return TokenSelection(index[:, 0], index[:, 1], index[:, 2], self.n_states)

    def predict(
        self, reader: LayerReader, layers: Sequence[int], mean: bool, vocabulary: int
    ) -> tuple[list[Tensor], NDArray[np.float32]]:
        """States and predictions of the batch's words.

        A word's surprisal is the sum over the tokens that it adds; its entropy is that of the
        prediction of the first of them. A token that nothing precedes, not even a special token,
        is predicted by a uniform guess.

        Parameters
        ----------
        reader : LayerReader
            A network with a language-model head.
        layers : sequence of int
            Layers to read.
        mean : bool
            See :meth:`selection`.
        vocabulary : int
            Number of tokens that the network has.

        Returns
        -------
        states : list of Tensor
            (word, unit) of each layer.
        predictions : ndarray of float32
            Surprisal and entropy in bits, (word, 2).
        """
        n_first, first_row = len(self.frame.before), self.rows.start
        predictions = np.zeros((self.n_states, 2), dtype=np.float32)
        where: list[tuple[int, int, int]] = []
        words: list[tuple[int, bool]] = []
        for i, one in enumerate(self.passes):
            for row in range(one.rows.start, one.rows.stop):
                added_from = max(int(self.reading.added_from[row]), one.start)
                for token in range(added_from, int(self.reading.last[row]) + 1):
                    position = token - one.start + n_first - 1
                    if position >= 0:
                        where.append((i, position, int(self.reading.ids[token])))
                        words.append((row - first_row, token == added_from))
                    else:
                        predictions[row - first_row] += np.log2(vocabulary)
        index = torch.tensor(where, dtype=torch.long).reshape(-1, 3).T.contiguous()
        wanted = PredictedTokens(index[0], index[1], index[2])
        states, bits = reader.with_predictions(
            self.ids().to(reader.device), layers, self.selection(mean), wanted
        )
        for (word, is_first), (surprisal, entropy) in zip(words, bits.numpy(), strict=True):
            predictions[word, 0] += surprisal
            if is_first:
                predictions[word, 1] = entropy
        return states, predictions


def stacked(states: list[Tensor], n_states: int) -> NDArray[np.float32]:
    """States of several layers as one array in memory.

    Parameters
    ----------
    states : list of Tensor of shape (word, unit)
        One for each layer; emptied, so that each leaves the device as soon as it is copied.
    n_states : int
        Number of words.

    Returns
    -------
    ndarray of float32, shape (layer, word, unit)
    """
    width = states[0].shape[1] if states else 0
    values = np.empty((len(states), n_states, width), dtype=np.float32)
    for layer in range(len(values)):
        values[layer] = states.pop(0).float().cpu().numpy()
    return values

"""Hidden states of causal language models at the words of a story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, PretrainedConfig

from voxelzoo.api import (
    ExtractorRequest,
    PluginError,
    StateBlock,
    Story,
    UsageError,
    WindowPolicy,
    parse_window_policy,
)
from voxelzoo_transformers.loading import load_config, load_model, source_fingerprint
from voxelzoo_transformers.reading import Pass, Reading, read_words, read_words_as_released
from voxelzoo_transformers.states import LayerReader, TokensRead
from voxelzoo_transformers.tokens import Tokenizer, load_tokenizer

DEFAULT_CONTEXT = {
    "clean": "sawtooth:512:256:tokens",
    "antonello2023": "sawtooth:512:256:words:code",
}
"""Context of each protocol, unless another is asked for."""

STATES = ("last", "mean")
"""A word's state is its last token's, or the mean over its tokens."""


class CausalLMExtractor:
    """States of every layer of a causal language model, one for each word.

    Options: ``context``, a window policy (see :func:`voxelzoo.api.parse_window_policy`); ``state``,
    ``last`` (default) or ``mean``, of a word's tokens; ``batch_tokens``, tokens fed at a time,
    which changes no value.
    """

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self._state = request.options.get("state", "last")
        if self._state not in STATES:
            raise UsageError(f"state {self._state!r}: use one of {', '.join(STATES)}")
        self.batch_tokens = _positive("batch_tokens", request.options.get("batch_tokens", "2048"))
        self._reader: LayerReader | None = None
        self._read: tuple[str, Reading] | None = None

    # ------------------------------------------------------------ what it is

    def first_tokens(self) -> tuple[int, ...]:
        """Special tokens put before every context: what the tokenizer itself puts there."""
        return self.tokenizer.first_tokens

    def layers(self) -> Sequence[int]:
        """0, what the first block is given, to the number of blocks, what the network returns."""
        return range(self._n_layers + 1)

    def fingerprint(self) -> Mapping[str, Any]:
        """Weights, tokenizer, context and how a word is read."""
        return {
            "source": source_fingerprint(self.request),
            "tokenizer": self.tokenizer.fingerprint(),
            "first_tokens": list(self.first_tokens()),
            "context": str(self.context),
            "state": self._state,
        }

    def times(self, story: Story) -> NDArray[np.float64]:
        """Middle of each word, in seconds."""
        return self.reading(story).times

    @cached_property
    def config(self) -> PretrainedConfig:
        """The language model's configuration, where it is part of a larger one too."""
        return load_config(self.request).get_text_config(decoder=True)

    @property
    def _n_layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, which is said once."""
        tokenizer = load_tokenizer(self.request, int(self.config.vocab_size))
        self.request.notify(f"{self.request.model.name}: tokenizer {tokenizer.name}")
        return tokenizer

    @cached_property
    def room(self) -> int | None:
        """Tokens of a story that fit into one pass, or ``None`` where positions do not end."""
        positions = getattr(self.config, "max_position_embeddings", None)
        return None if positions is None else int(positions) - len(self.first_tokens())

    @cached_property
    def context(self) -> WindowPolicy:
        """The window policy.

        The clean protocol's default shrinks to the positions that the network has, restarting at
        half, and says so; a policy that was asked for, or a paper's, does not.
        """
        asked = self.request.options.get("context")
        if asked is not None:
            return parse_window_policy(asked)
        policy = parse_window_policy(DEFAULT_CONTEXT[self.request.protocol])
        if self.request.protocol == "clean" and self.room is not None and self.room < policy.size:
            shorter = WindowPolicy("sawtooth", self.room, self.room // 2)
            self.request.notify(
                f"{self.request.model.name}: context {shorter} instead of {policy}, "
                f"because the network has {self.config.max_position_embeddings} positions"
            )
            return shorter
        return policy

    # ------------------------------------------------------------ reading a story

    def reading(self, story: Story) -> Reading:
        """Tokens and contexts of a story; the last one asked for is kept."""
        words = story.need_words()
        if self._read is None or self._read[0] != words.digest:
            released = self.request.protocol == "antonello2023"
            read = read_words_as_released if released else read_words
            found = read(words, self.tokenizer.encode, self.context)
            self._check_room(story, found)
            self._read = (words.digest, found)
        return self._read[1]

    def _check_room(self, story: Story, reading: Reading) -> None:
        longest = max(len(one) for one in reading.passes())
        if self.room is not None and longest > self.room:
            raise UsageError(
                f"{self.request.model.name}: context {self.context} needs {longest} tokens of "
                f"story {story.name!r} at once, but the network has {self.room} positions for "
                f"them; sawtooth:{self.room}:{self.room // 2} fits"
            )

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """States of the words, a batch of passes at a time."""
        reading = self.reading(story)
        reader = self.reader
        for batch in batches(list(reading.passes()), self.batch_tokens):
            rows = slice(batch[0].rows.start, batch[-1].rows.stop)
            ids, tokens = self.feed(reading, batch)
            found = reader(ids.to(reader.device), layers, tokens)
            states = np.empty((len(layers), *found[0].shape), dtype=np.float32)
            for layer, state in enumerate(found):
                states[layer] = state.float().cpu().numpy()
            yield StateBlock(rows.start, states)

    def feed(self, reading: Reading, batch: Sequence[Pass]) -> tuple[Tensor, TokensRead]:
        """Token ids (pass, token) of a batch, and which of them to read.

        Short passes are filled up on the right, where a causal network does not look.
        """
        before = self.first_tokens()
        ids = np.zeros((len(batch), len(before) + max(map(len, batch))), dtype=np.int64)
        ids[:, : len(before)] = before
        where: list[tuple[int, int, int]] = []
        for b, one in enumerate(batch):
            ids[b, len(before) : len(before) + len(one)] = reading.ids[one.start : one.stop]
            for row in range(one.rows.start, one.rows.stop):
                last = int(reading.last[row])
                first = last
                if self._state == "mean":
                    first = max(int(reading.first[row]), one.start)
                where.extend(
                    (b, token - one.start + len(before), row - batch[0].rows.start)
                    for token in range(first, last + 1)
                )
        index = torch.tensor(where, dtype=torch.long)
        n = batch[-1].rows.stop - batch[0].rows.start
        return torch.from_numpy(ids), TokensRead(index[:, 0], index[:, 1], index[:, 2], n)

    @property
    def reader(self) -> LayerReader:
        """The network, loaded when first asked for."""
        if self._reader is None:
            model = load_model(self.request, AutoModel, self.config)
            reader = LayerReader(model, self._n_layers)
            if not reader.check(self.request.model.name, int(self.config.vocab_size)):
                raise PluginError(
                    f"{self.request.model.name}: {type(model).__name__} looks ahead; it is not a "
                    "causal language model"
                )
            self._reader = reader
        return self._reader

    def close(self) -> None:
        """Frees the model's memory."""
        self._reader = None


def batches(passes: Sequence[Pass], tokens: int) -> Iterator[list[Pass]]:
    """Consecutive passes, as many as fit into ``tokens`` when filled up to the longest."""
    batch: list[Pass] = []
    longest = 0
    for one in passes:
        longest = max(longest, len(one))
        if batch and longest * (len(batch) + 1) > tokens:
            yield batch
            batch, longest = [], len(one)
        batch.append(one)
    yield batch


def _positive(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise UsageError(f"{name} {text!r}: use a whole number, 1 or more")
    return value

"""Hidden states of causal language models at the words of a story."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, PretrainedConfig

from voxelzoo.api import (
    Cost,
    ExtractorRequest,
    StateBlock,
    Story,
    UsageError,
    WindowPolicy,
    ZooError,
    parse_window_policy,
)
from voxelzoo_transformers.cost import NetworkSize, bytes_a_number, network_size, seconds
from voxelzoo_transformers.loading import (
    as_dtype,
    load_config,
    load_model,
    source_fingerprint,
)
from voxelzoo_transformers.reading import Pass, Reading, read_words, read_words_as_released
from voxelzoo_transformers.states import LayerReader, TokensForetold, TokensRead
from voxelzoo_transformers.tokens import Tokenizer, load_tokenizer

DEFAULT_CONTEXT = {
    "clean": "sawtooth:512:256:tokens",
    "antonello2023": "sawtooth:512:256:words:code",
}
"""Context of each protocol, unless another is asked for."""

STATES = ("last", "mean")
"""A word's state is its last token's, or the mean over its tokens."""

BLOCK_BYTES = 32 * 2**20
"""States of a batch, all layers asked for, take about this at most, or one pass at least."""

OUTPUTS = {"states": (), "surprisal": (0,), "entropy": (1,), "predictions": (0, 1)}
"""What is given: states, or these columns of the predictions as the one layer 0."""


class CausalLMExtractor:
    """States of every layer of a causal language model, one for each word.

    Options: ``context``, a window policy (see :func:`voxelzoo.api.parse_window_policy`); ``state``,
    ``last`` (default) or ``mean``, of a word's tokens; ``output``, ``states`` (default) or what the
    network foretold: ``surprisal``, ``entropy`` or ``predictions``, both; ``look_ahead``, ``yes``
    for a network that is not causal: then each word is a pass of its own, which ends with it;
    ``batch_tokens``, tokens fed at a time, which changes no value; ``device_map`` and ``quantize``,
    see :func:`voxelzoo_transformers.loading.load_model`.
    """

    default_output = "states"

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self._state = _one_of("state", request.options.get("state", "last"), STATES)
        output = request.options.get("output", self.default_output)
        self._output = _one_of("output", output, OUTPUTS)
        self.batch_tokens = _positive("batch_tokens", request.options.get("batch_tokens", "2048"))
        look_ahead = request.options.get("look_ahead", "no")
        self._look_ahead = _one_of("look_ahead", look_ahead, ("no", "yes")) == "yes"
        self._reader: LayerReader | None = None
        self._has_head = False
        self._read: tuple[str, Reading] | None = None

    # ------------------------------------------------------------ what it is

    def first_tokens(self) -> tuple[int, ...]:
        """Special tokens put before every context: what the tokenizer itself puts there."""
        return self.tokenizer.first_tokens

    def layers(self) -> Sequence[int]:
        """0, what the first block is given, to the number of blocks; or 0, the predictions."""
        return range(self._n_layers + 1) if self._output == "states" else [0]

    def fingerprint(self) -> Mapping[str, Any]:
        """Weights, tokenizer, context and how a word is read."""
        return {
            "source": source_fingerprint(self.request),
            "tokenizer": self.tokenizer.fingerprint(),
            "first_tokens": list(self.first_tokens()),
            "context": str(self.context),
            **({"state": self._state} if self._output == "states" else {"output": self._output}),
            "look_ahead": self._look_ahead,
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
            self._say_cost(story, found)
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

    def _say_cost(self, story: Story, reading: Reading) -> None:
        """Says where a policy feeds the story many times over."""
        passes = [len(one) for one in reading.passes(shared=not self._look_ahead)]
        times = sum(passes) / len(reading.ids)
        if times > 3:
            self.request.notify(
                f"{self.request.model.name}: context {self.context} reads story {story.name!r} "
                f"{times:.0f} times over: {len(passes)} passes, {sum(passes)} tokens"
            )

    @cached_property
    def _size(self) -> NetworkSize:
        """Of the network that gives the output asked for; the same for every story."""
        auto_class = AutoModel if self._output == "states" else AutoModelForCausalLM
        return network_size(auto_class, self.config)

    def cost(self, story: Story, layers: Sequence[int]) -> Cost:
        """Tokens that are fed, and what they take on their way to the deepest layer."""
        passes = [
            len(one) + len(self.first_tokens())
            for one in self.reading(story).passes(shared=not self._look_ahead)
        ]
        head, size = self._output != "states", self._size
        width, depth = int(self.config.hidden_size), 1.0
        if not head:
            depth = min(max(layers), self._n_layers) / self._n_layers
        # Queries with keys, and weights with values: half of each, being causal.
        attention = 2 * width * self._n_layers * sum(n * n for n in passes)
        flops = depth * (2 * size.per_position * sum(passes) + attention)
        if head:
            flops += 2 * sum(passes) * width * int(self.config.vocab_size)
        at_once = max(max(passes), self.tokens_at_once([] if head else layers))
        inner = getattr(self.config, "intermediate_size", None) or 4 * width
        activations = at_once * (8 * width + 3 * inner) * as_dtype(self.request.dtype).itemsize
        kept = 2 * 4 * width * len(layers) * at_once
        return Cost(
            n_passes=len(passes),
            n_fed=sum(passes),
            flops=flops,
            seconds=seconds(self.request, flops, width),
            peak_bytes=size.total * bytes_a_number(self.request) + activations + kept,
        )

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """States of the words from row ``start`` on, a batch of passes at a time."""
        for block in self._blocks(story, layers, start):
            before = max(0, start - block.start)  # of a pass that serves earlier rows too
            yield StateBlock(block.start + before, block.states[:, before:])

    def _blocks(self, story: Story, layers: Sequence[int], start: int) -> Iterator[StateBlock]:
        if self._output == "states":
            for block, _ in self.read(story, layers, start=start):
                yield block
        else:
            columns = OUTPUTS[self._output]
            for block, foretold in self.read(story, [], predictions=True, start=start):
                wanted = np.ascontiguousarray(foretold[:, columns])
                yield StateBlock(block.start, np.repeat(wanted[None], len(layers), axis=0))

    def read(
        self, story: Story, layers: Sequence[int], predictions: bool = False, start: int = 0
    ) -> Iterator[tuple[StateBlock, NDArray[np.float32]]]:
        """States of the words, and from the same pass what the network had foretold of them.

        The second array is (word, 2) in bits: a word's surprisal, -log2 of its probability given
        its context, and the entropy of the prediction before it. It is empty unless
        ``predictions`` are asked for, which needs a network that has a language-model head.
        Passes that serve only rows before ``start`` are not made.
        """
        reading = self.reading(story)
        reader = self.load(with_head=predictions)
        passes = list(reading.passes(shared=not self._look_ahead))
        done = next((i for i, one in enumerate(passes) if one.rows.stop > start), len(passes))
        while done < len(passes):
            batch = next_batch(passes, done, self.tokens_at_once(layers), self._look_ahead)
            ids, tokens = self.feed(reading, batch)
            foretold = np.zeros((0, 2), dtype=np.float32)
            try:
                if predictions:
                    found, foretold = self._foretell(reading, batch, ids, layers, tokens)
                else:
                    found = reader(ids.to(reader.device), layers, tokens)
            except RuntimeError as error:
                self._shrink(error, batch)
                continue
            width = found[0].shape[1] if found else 0
            rows = slice(batch[0].rows.start, batch[-1].rows.stop)
            states = np.empty((len(layers), rows.stop - rows.start, width), dtype=np.float32)
            for layer in range(len(layers)):
                states[layer] = found.pop(0).float().cpu().numpy()
            yield StateBlock(rows.start, states), foretold
            done += len(batch)

    def tokens_at_once(self, layers: Sequence[int]) -> int:
        """Tokens to feed: fewer where many layers are kept, so that a block stays of one size."""
        a_token = 4 * int(self.config.hidden_size) * max(1, len(layers))
        return min(self.batch_tokens, max(1, BLOCK_BYTES // a_token))

    def _shrink(self, error: RuntimeError, batch: Sequence[Pass]) -> None:
        """Halves the batch where memory ran out; raises what went wrong otherwise."""
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate" in str(error)):
            raise error
        name, longest = self.request.model.name, max(map(len, batch))
        if len(batch) == 1:
            raise ZooError(
                f"{name}: out of memory with one context of {longest} tokens; use a shorter "
                "--context, --dtype bfloat16, --model-option device_map=auto or another device"
            ) from None
        self.batch_tokens = longest * (len(batch) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.request.notify(
            f"{name}: out of memory; going on with {len(batch) // 2} contexts at a time, "
            f"not {len(batch)}"
        )

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

    def _foretell(
        self,
        reading: Reading,
        batch: Sequence[Pass],
        ids: Tensor,
        layers: Sequence[int],
        tokens: TokensRead,
    ) -> tuple[list[Tensor], NDArray[np.float32]]:
        """States and predictions of a batch.

        A word's surprisal is the sum over the tokens that it added. A token that nothing precedes,
        not even a special one, is foretold by a uniform guess.
        """
        before = len(self.first_tokens())
        where: list[tuple[int, int, int]] = []
        owner: list[tuple[int, bool]] = []
        uniform = np.log2(int(self.config.vocab_size))
        n = batch[-1].rows.stop - batch[0].rows.start
        foretold = np.zeros((n, 2), dtype=np.float32)
        for b, one in enumerate(batch):
            for row in range(one.rows.start, one.rows.stop):
                since = max(int(reading.since[row]), one.start)
                for token in range(since, int(reading.last[row]) + 1):
                    position = token - one.start + before - 1
                    if position >= 0:
                        where.append((b, position, int(reading.ids[token])))
                        owner.append((row - batch[0].rows.start, token == since))
                    else:
                        foretold[row - batch[0].rows.start] += uniform
        index = torch.tensor(where, dtype=torch.long).reshape(-1, 3).T.contiguous()
        wanted = TokensForetold(index[0], index[1], index[2])
        reader = self.load(with_head=True)
        found, bits = reader.with_predictions(ids.to(reader.device), layers, tokens, wanted)
        for (row, is_first), (surprisal, entropy) in zip(owner, bits.numpy(), strict=True):
            foretold[row, 0] += surprisal
            if is_first:
                foretold[row, 1] = entropy
        return found, foretold

    def load(self, with_head: bool = False) -> LayerReader:
        """The network, loaded when first asked for; ``with_head``: one that can foretell."""
        if self._reader is None or (with_head and not self._has_head):
            self.close()
            auto_class = AutoModelForCausalLM if with_head else AutoModel
            model = load_model(self.request, auto_class, self.config)
            reader = LayerReader(model, self._n_layers)
            causal = reader.check(self.request.model.name, int(self.config.vocab_size))
            if not causal and not self._look_ahead:
                raise UsageError(
                    f"{self.request.model.name}: {type(model).__name__} looks ahead, so a state "
                    "would know the words to come; with --model-option look_ahead=yes each word "
                    "is read by a pass that ends with it"
                )
            self._reader, self._has_head = reader, with_head
        return self._reader

    def close(self) -> None:
        """Frees the model's memory."""
        self._reader = None


class PredictionExtractor(CausalLMExtractor):
    """Surprisal and entropy of each word in bits, as layer 0: (word, 2)."""

    default_output = "predictions"


def next_batch(
    passes: Sequence[Pass], start: int, tokens: int, alike: bool = False
) -> Sequence[Pass]:
    """Passes from ``start`` on, as many as fit into ``tokens`` when filled up to the longest.

    ``alike``: of one length only, so that nothing is filled up.
    """
    stop, longest = start + 1, len(passes[start])
    for one in passes[stop:]:
        longest = max(longest, len(one))
        if longest * (stop + 1 - start) > tokens or (alike and len(one) != len(passes[start])):
            break
        stop += 1
    return passes[start:stop]


def _one_of(name: str, value: str, known: Collection[str]) -> str:
    if value not in known:
        raise UsageError(f"{name} {value!r}: use one of {', '.join(known)}")
    return value


def _positive(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise UsageError(f"{name} {text!r}: use a whole number, 1 or more")
    return value

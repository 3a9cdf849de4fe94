"""Extractors for causal language models: states and predictions at the words of a story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    Cost,
    DataError,
    ExtractorRequest,
    ModelEntry,
    StateBlock,
    Story,
    UsageError,
    WindowPolicy,
    ZooError,
    halved,
    parse_window_policy,
)
from voxelzoo_transformers.configuration import (
    NetworkConfig,
    config_is_here,
    load_config,
    source_fingerprint,
)
from voxelzoo_transformers.cost import (
    NetworkSize,
    built_size,
    item_bytes,
    library_bytes,
    load_seconds,
    overhead_seconds,
    seconds,
    stated_size,
    weight_bytes,
)
from voxelzoo_transformers.describing import describe_weights, described
from voxelzoo_transformers.text.first_token import (
    ContextFrame,
    chosen_first_tokens,
    default_first_tokens,
    expected_first_token,
)
from voxelzoo_transformers.text.options import TextOptions
from voxelzoo_transformers.text.reading import (
    Pass,
    Reading,
    read_words,
    read_words_as_released,
)
from voxelzoo_transformers.text.tokens import Tokenizer, load_tokenizer, tokenizer_folder

if TYPE_CHECKING:
    from voxelzoo_transformers.loading import Head
    from voxelzoo_transformers.text.states import LayerReader

DEFAULT_CONTEXT = {
    "clean": "sawtooth:512:256:tokens",
    "antonello2023": "sawtooth:512:256:words:code",
}
"""Context of each protocol, unless another is requested."""

BLOCK_BYTES = 32 * 2**20
"""Size of the states of a batch, all layers together, unless one pass is larger."""

REPETITIVE = 3
"""A context that feeds the story more often than this is reported."""


class CausalLMExtractor:
    """Extracts one state per word from every layer of a causal language model.

    A family derives from this class, and overrides :meth:`first_tokens` if its networks were
    trained with another special token before every text than
    :mod:`voxelzoo_transformers.text.first_token` finds.

    Parameters
    ----------
    request : ExtractorRequest
        The model and how to run it. Its ``options`` are

        - ``context``: a window policy, see :func:`voxelzoo.api.parse_window_policy`;
        - ``first_token``: the special token before every context: ``default``, ``none``, ``bos``,
          ``eos``, its text, or its number;
        - ``first_state``: whether the first token of a context that nothing special precedes may
          give a word's state: ``skip`` (the default without a first token) or ``keep``;
        - ``released_errors``: with the protocol ``antonello2023``, whether a story that the
          released code misreads is refused (``refuse``, the default) or read rightly (``fix``);
        - ``state``: ``last`` (default) or ``mean``, of a word's tokens;
        - ``output``: ``states`` (default), or what the network predicted: ``surprisal``,
          ``entropy``, or ``predictions`` for both;
        - ``look_ahead``: ``yes`` allows a network that is not causal; each word is then read by a
          pass of its own that ends with it;
        - ``batch_tokens``: tokens fed at a time (2048), which changes no value;
        - ``device_map`` and ``quantize``: see :func:`voxelzoo_transformers.api.load_model`.

    Attributes
    ----------
    request : ExtractorRequest
        As given.
    config : NetworkConfig
        The language model's configuration.
    tokenizer : Tokenizer
        The model's tokenizer.

    Raises
    ------
    UsageError
        If an option has an invalid value.
    """

    default_output = "states"

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self._options = TextOptions.read(request, self.default_output)
        self.batch_tokens = self._options.batch_tokens
        self._reader: LayerReader | None = None
        self._head: Head = "none"
        self._last_reading: tuple[str, Reading] | None = None

    # What a family may override -------------------------------------------------------------

    def first_tokens(self) -> tuple[int, ...]:
        """Special tokens that precede every context, unless the user chooses others.

        Returns
        -------
        tuple of int
            Token ids; by default those of
            :func:`voxelzoo_transformers.text.first_token.default_first_tokens`.
        """
        return default_first_tokens(
            self.tokenizer.special,
            str(self.config.model_type),
            self.config.stated_bos,
            encoder=self._options.look_ahead,
        )

    # What the host asks ---------------------------------------------------------------------

    def layers(self) -> Sequence[int]:
        """Layers from 0, the input of the first block, to the number of blocks.

        Of predictions, the only layer is 0.
        """
        return range(self._n_layers + 1) if self._options.gives_states else [0]

    def fingerprint(self) -> Mapping[str, Any]:
        """Weights, tokenizer, context and how a word is read."""
        options = self._options
        return {
            "source": source_fingerprint(self.request),
            "tokenizer": self.tokenizer.fingerprint(),
            **self.frame.fingerprint(),
            "context": str(self.context),
            **({"state": options.state} if options.gives_states else {"output": options.output}),
            "look_ahead": options.look_ahead,
        }

    def times(self, story: Story) -> NDArray[np.float64]:
        """Middle of each word on the story's clock, (word,), in seconds."""
        return self.reading(story).times

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """States of the words from row ``start`` on, a batch of passes at a time."""
        for block in self._blocks(story, layers, start):
            skipped = max(0, start - block.start)  # rows of a pass that also serves earlier ones
            yield StateBlock(block.start + skipped, block.states[:, skipped:])

    def close(self) -> None:
        """Frees the network's memory."""
        self._reader = None

    def cost(self, story: Story, layers: Sequence[int]) -> Cost:
        """Estimates what extracting ``layers`` of a story takes; loads nothing."""
        n_special = self.frame.n_tokens
        shared = not self._options.look_ahead
        passes = [len(one) + n_special for one in self.reading(story).passes(shared=shared)]
        head, size = not self._options.gives_states, self._size
        width = int(self.config.hidden_size)
        depth = 1.0 if head else min(max(layers), self._n_layers) / self._n_layers
        # Queries with keys, and weights with values: half of each in causal attention.
        attention = 2 * width * self._n_layers * sum(n * n for n in passes)
        flops = depth * (2 * size.per_position * sum(passes) + attention)
        if head:
            flops += 2 * sum(passes) * width * int(self.config.vocab_size)
        per_batch = self.tokens_per_batch([] if head else layers)
        n_tokens, n_batches = max(max(passes), per_batch), -(-sum(passes) // per_batch)
        heads = self.config.stated("num_attention_heads") or -(-width // 64)
        inner = self.config.stated("intermediate_size") or 4 * width
        activations = n_tokens * (8 * width + 3 * inner) * item_bytes(self.request.dtype)
        states = 2 * 4 * width * len(layers) * n_tokens
        weights = size.total * weight_bytes(self.request)
        return Cost(
            n_passes=len(passes),
            n_fed=sum(passes),
            flops=flops,
            seconds=seconds(self.request, flops, width)
            + overhead_seconds(self.request, passes, n_batches, self._n_layers, heads),
            peak_bytes=weights + activations + states + library_bytes(self.request),
            load_seconds=load_seconds(self.request, size.total),
        )

    # The model ------------------------------------------------------------------------------

    @cached_property
    def config(self) -> NetworkConfig:
        """The language model's configuration, also if it is one part of a larger network."""
        return load_config(self.request).language_model()

    @property
    def _n_layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @cached_property
    def _size(self) -> NetworkSize:
        """Of the network that gives the requested output; the same for every story."""
        head: Head = "none" if self._options.gives_states else "language-model"
        stated = stated_size(self.config, self.request.model.n_parameters, head)
        return stated or built_size(self.config, head)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which the user is told once."""
        config = self.config
        tokenizer = load_tokenizer(self.request, int(config.vocab_size), config.stated_bos)
        self.request.notify(f"{self.request.model.name}: tokenizer {tokenizer.name}")
        return tokenizer

    @cached_property
    def frame(self) -> ContextFrame:
        """The special tokens around every context: those of the rule, or the user's choice."""
        options, special = self._options, self.tokenizer.special
        if options.first_token == "default":
            before = self.first_tokens()
        else:
            name, vocabulary = self.request.model.name, int(self.config.vocab_size)
            before = chosen_first_tokens(name, options.first_token, special, vocabulary)
        skip = not before if options.first_state == "default" else options.first_state == "skip"
        after = special.after if options.look_ahead else ()
        return ContextFrame(before, after, skip and options.gives_states)

    def describe_first_token(self) -> str:
        """What precedes every context, as people read it.

        If the tokenizer is not on this machine: what the rule will find. Nothing is downloaded.
        """
        request = self.request
        chosen = self._options.first_token != "default"
        if not chosen and not request.untrained and tokenizer_folder(request) is None:
            return expected_first_token(request.model.architecture)
        return self.frame.describe(self.tokenizer.special)

    def describe_model(self) -> ModelEntry:
        """The row, with parameters, layers and width of the checkpoint where it lacks them.

        Of a checkpoint that is not on this machine, nothing is added.
        """
        if not config_is_here(self.request):
            return self.request.model
        columns = self._options.columns
        width, n_layers = len(columns), 0
        if not columns:
            width, n_layers = int(self.config.hidden_size), self._n_layers
        return described(self.request, self.config, n_layers, width)

    def describe_weights(self) -> str | None:
        """Commit of the weights, or a digest of their files; ``None`` for random weights."""
        return describe_weights(self.request)

    @cached_property
    def max_tokens(self) -> int | None:
        """Tokens of a story that fit into one pass, or None if there is no limit."""
        positions = self._positions
        return None if positions is None else positions - self.frame.n_tokens

    @cached_property
    def _positions(self) -> int | None:
        positions = getattr(self.config, "max_position_embeddings", None)
        return None if positions is None or int(positions) < 1 else int(positions)

    @cached_property
    def context(self) -> WindowPolicy:
        """The window policy.

        The default of the clean protocol is shortened to the network's number of positions, with a
        message, and restarts at half of it. A requested policy, or a paper's, is never changed.
        """
        if self._options.context is not None:
            return parse_window_policy(self._options.context)
        policy = parse_window_policy(DEFAULT_CONTEXT[self.request.protocol])
        if self.request.protocol != "clean" or self.max_tokens is None:
            return policy
        if self.max_tokens >= policy.size:
            return policy
        shorter = WindowPolicy("sawtooth", self.max_tokens, self.max_tokens // 2)
        self.request.notify(
            f"{self.request.model.name}: context {shorter} instead of {policy}, "
            f"because the network has {self._positions} positions"
        )
        return shorter

    def load(self, head: Head = "none") -> LayerReader:
        """The network, loaded when first needed.

        Parameters
        ----------
        head : {"none", "language-model"}, default "none"
            Whether it must predict the next token. A network with a head also gives states.

        Returns
        -------
        LayerReader
            Reads states, and predictions if there is a head.

        Raises
        ------
        UsageError
            If the network is not causal, and the option ``look_ahead`` does not allow that.
        """
        if self._reader is None or (head == "language-model" and self._head == "none"):
            from voxelzoo_transformers.loading import load_model
            from voxelzoo_transformers.text.states import LayerReader

            self.close()
            model = load_model(self.request, self.config, head)
            reader = LayerReader(model, self._n_layers)
            causal = reader.check(self.request.model.name, int(self.config.vocab_size))
            if not causal and not self._options.look_ahead:
                raise UsageError(
                    f"{self.request.model.name}: {type(model).__name__} looks ahead: a word's "
                    "state would depend on later words; with --model-option look_ahead=yes each "
                    "word is read by a pass that ends with it"
                )
            self._reader, self._head = reader, head
        return self._reader

    # Reading a story ------------------------------------------------------------------------

    def reading(self, story: Story) -> Reading:
        """Tokens and contexts of a story; the last one is kept.

        Parameters
        ----------
        story : Story
            A story with words.

        Returns
        -------
        Reading
            One state per word.

        Raises
        ------
        DataError
            If the story has no words, or none of them becomes a token.
        UsageError
            If the context does not fit into the network, or too many words are the first token of
            theirs and no special token precedes it.
        """
        words = story.need_words()
        if self._last_reading is None or self._last_reading[0] != words.digest:
            released = self.request.protocol == "antonello2023"
            read = read_words_as_released if released else read_words
            reading = read(words, self.tokenizer.encode, self.context, self.frame.skip_first)
            self._check_length(story, reading)
            self._report_repetition(story, reading)
            for note in reading.notes:
                note = f"{self.request.model.name}: story {story.name!r}: {note}"
                if self._options.released_errors == "refuse":
                    raise DataError(f"{note}, with --model-option released_errors=fix")
                self.request.notify(note)
            self._last_reading = (words.digest, reading)
        return self._last_reading[1]

    def _check_length(self, story: Story, reading: Reading) -> None:
        longest, limit = max(len(one) for one in reading.passes()), self.max_tokens
        if limit is not None and longest > limit:
            raise UsageError(
                f"{self.request.model.name}: context {self.context} needs {longest} tokens of "
                f"story {story.name!r} at once, but the network has {limit} positions for "
                f"them; sawtooth:{limit}:{limit // 2} fits"
            )

    def _report_repetition(self, story: Story, reading: Reading) -> None:
        """Tells the user if a policy feeds the story many times over."""
        passes = [len(one) for one in reading.passes(shared=not self._options.look_ahead)]
        times = sum(passes) / len(reading.ids)
        if times > REPETITIVE:
            self.request.notify(
                f"{self.request.model.name}: context {self.context} reads story {story.name!r} "
                f"{times:.0f} times over: {len(passes)} passes, {sum(passes)} tokens"
            )

    def _blocks(self, story: Story, layers: Sequence[int], start: int) -> Iterator[StateBlock]:
        if self._options.gives_states:
            for block, _ in self.read(story, layers, start=start):
                yield block
        else:
            columns = self._options.columns
            for block, predictions in self.read(story, [], predictions=True, start=start):
                chosen = np.ascontiguousarray(predictions[:, columns])
                yield StateBlock(block.start, np.repeat(chosen[None], len(layers), axis=0))

    def read(
        self, story: Story, layers: Sequence[int], predictions: bool = False, start: int = 0
    ) -> Iterator[tuple[StateBlock, NDArray[np.float32]]]:
        """States of the words and, from the same pass, what the network predicted of them.

        Parameters
        ----------
        story : Story
            A story with words.
        layers : sequence of int
            Layers to read.
        predictions : bool, default False
            Whether to compute predictions, which needs a language-model head.
        start : int, default 0
            Passes that serve only rows before this one are skipped.

        Yields
        ------
        block : StateBlock
            States of consecutive words.
        predictions : ndarray of float32
            (word, 2), in bits: a word's surprisal, -log2 of its probability in its context, and
            the entropy of the prediction before it. (0, 2) without ``predictions``.

        Raises
        ------
        ZooError
            If memory runs out with a single pass.
        """
        from voxelzoo_transformers.text.batches import TextBatch, next_batch, stacked

        reading = self.reading(story)
        reader = self.load("language-model" if predictions else "none")
        passes = list(reading.passes(shared=not self._options.look_ahead))
        mean, vocabulary = self._options.state == "mean", int(self.config.vocab_size)
        done = next((i for i, one in enumerate(passes) if one.rows.stop > start), len(passes))
        while done < len(passes):
            few = next_batch(passes, done, self.tokens_per_batch(layers), self._options.look_ahead)
            batch = TextBatch(reading, few, self.frame)
            bits = np.zeros((0, 2), dtype=np.float32)
            try:
                if predictions:
                    states, bits = batch.predict(reader, layers, mean, vocabulary)
                else:
                    states = reader(batch.ids().to(reader.device), layers, batch.selection(mean))
            except (RuntimeError, MemoryError) as error:
                self._reduce_batch(error, few)
                continue
            yield StateBlock(batch.rows.start, stacked(states, batch.n_states)), bits
            done += len(few)

    def tokens_per_batch(self, layers: Sequence[int]) -> int:
        """Tokens to feed: fewer if many layers are kept, so that a block keeps its size.

        Parameters
        ----------
        layers : sequence of int
            The layers that are kept.

        Returns
        -------
        int
        """
        bytes_per_token = 4 * int(self.config.hidden_size) * max(1, len(layers))
        return min(self.batch_tokens, max(1, BLOCK_BYTES // bytes_per_token))

    def _reduce_batch(self, error: Exception, batch: Sequence[Pass]) -> None:
        """Halves the batch after memory ran out; raises any other error again."""
        smaller = halved(len(batch), error)
        name, longest = self.request.model.name, max(map(len, batch))
        if smaller is None:
            raise ZooError(
                f"{name}: out of memory with one context of {longest} tokens; use a shorter "
                "--context, --dtype bfloat16, --model-option device_map=auto or another device"
            ) from None
        self.batch_tokens = longest * smaller
        self.request.notify(
            f"{name}: out of memory; continuing with {smaller} contexts at a time instead of "
            f"{len(batch)}"
        )


class PredictionExtractor(CausalLMExtractor):
    """Extracts the surprisal and entropy of each word in bits, as layer 0: (word, 2)."""

    default_output = "predictions"

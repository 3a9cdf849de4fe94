"""Reads the hidden states of chosen layers at chosen tokens, and nothing else.

If asked for ``hidden_states``, a network keeps every token of every layer. Here hooks look at each
block instead: its input is read at the tokens that are wanted and then released.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from voxelzoo.api import PluginError

PROBE = 8
"""Tokens of the short text on which a network is checked before it is used."""


class _LastLayerRead(Exception):  # noqa: N818 - not an error: the deepest layer has been read
    pass


class TokenSelection:
    """Tokens of a batch to read; each state is the mean over its tokens.

    Parameters
    ----------
    batch, position : Tensor
        The sequence of the batch, and the position in it, of each token, (token,).
    state : Tensor
        The state that each token belongs to, (token,).
    n : int
        Number of states.
    """

    def __init__(self, batch: Tensor, position: Tensor, state: Tensor, n: int) -> None:
        self._batch, self._position = batch, position
        self._state = state
        self._n = n
        self._one_token_each = len(state) == n

    def __call__(self, hidden: Tensor) -> Tensor:
        """States (state, unit) of ``hidden`` (batch, token, unit)."""
        selected = hidden[self._batch.to(hidden.device), self._position.to(hidden.device)]
        if self._one_token_each:
            return selected
        state = self._state.to(hidden.device)
        total = torch.zeros(self._n, selected.shape[1], dtype=torch.float32, device=hidden.device)
        total.index_add_(0, state, selected.float())
        return total / torch.bincount(state, minlength=self._n)[:, None]


class PredictedTokens:
    """Tokens of a batch whose predictions are wanted.

    Parameters
    ----------
    batch, position : Tensor
        The sequence of the batch, and the position in it, where the network predicts each token:
        that of the preceding token. (token,)
    target : Tensor
        The token that followed, (token,).
    """

    CHUNK = 64
    """Predictions turned into probabilities at a time: each is as long as the vocabulary."""

    def __init__(self, batch: Tensor, position: Tensor, target: Tensor) -> None:
        self.batch, self.position, self.target = batch, position, target

    def __call__(self, logits: Tensor, column: Tensor) -> Tensor:
        """Surprisal, -log2 p(token), and entropy of each prediction, in bits: (token, 2).

        Parameters
        ----------
        logits : Tensor
            (batch, position, vocabulary).
        column : Tensor
            Index along the second axis of ``logits`` of each token's prediction, (token,).
        """
        nats = torch.empty(len(self.target), 2)
        for start in range(0, len(self.target), self.CHUNK):
            part = slice(start, start + self.CHUNK)
            where = (self.batch[part].to(logits.device), column[part].to(logits.device))
            log_p = torch.log_softmax(logits[where].float(), dim=-1)
            target = self.target[part].to(logits.device)
            nats[part, 0] = -log_p.gather(1, target[:, None])[:, 0].cpu()
            nats[part, 1] = torch.special.entr(log_p.exp()).sum(-1).cpu()
        return nats / math.log(2)


class LayerReader:
    """Reads the states of a language model's layers, numbered as in ``hidden_states``.

    Layer ``i`` is the input of block ``i``; the last layer is the output of the stack of blocks.
    If that output has been projected to another width (OPT-350M), the last layer is the output of
    the last block, so that all layers have the same width.

    Parameters
    ----------
    model : nn.Module
        A network of transformers.
    n_layers : int
        Number of its blocks.
    """

    def __init__(self, model: Any, n_layers: int) -> None:
        self.model = model
        self._n_layers = n_layers
        self._stack, self._blocks = _find_blocks(model, n_layers)
        width = getattr(model.config, "word_embed_proj_dim", None)
        self._projected = width not in (None, model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        # Weights that are kept elsewhere are brought in by accelerate, which moves the ids too.
        return torch.device("cpu") if device.type == "meta" else device

    @torch.inference_mode()
    def __call__(
        self, ids: Tensor, layers: Sequence[int], selection: TokenSelection
    ) -> list[Tensor]:
        """States (state, unit) of each layer, for tokens ``ids`` (batch, token).

        The network runs no further than the deepest of ``layers``.
        """
        reading = self._reading(layers, selection, stop=True)
        with reading as states, contextlib.suppress(_LastLayerRead):
            self.model(input_ids=ids, use_cache=False)
        return [states[layer] for layer in layers]

    @torch.inference_mode()
    def with_predictions(
        self, ids: Tensor, layers: Sequence[int], selection: TokenSelection, wanted: PredictedTokens
    ) -> tuple[list[Tensor], Tensor]:
        """The same from one pass, and surprisal and entropy of tokens in bits, (token, 2)."""
        with self._reading(layers, selection, stop=False) as states:
            positions = torch.unique(wanted.position)
            output = self.model(
                input_ids=ids, use_cache=False, logits_to_keep=positions.to(self.device)
            )
        predictions = wanted(output.logits, torch.searchsorted(positions, wanted.position))
        return [states[layer] for layer in layers], predictions

    @contextlib.contextmanager
    def _reading(
        self, layers: Sequence[int], selection: TokenSelection, stop: bool
    ) -> Iterator[dict[int, Tensor]]:
        """Reads layers while the network runs; ``stop`` ends the run at the deepest of them."""
        states: dict[int, Tensor] = {}
        deepest = max(layers, default=-1)

        def read(layer: int, hidden: Tensor) -> None:
            states[layer] = selection(hidden)
            if stop and layer == deepest:
                raise _LastLayerRead

        def read_input(layer: int) -> Any:
            return lambda _, args, kwargs: read(layer, args[0] if args else kwargs["hidden_states"])

        def read_output(_: nn.Module, args: Any, output: Any) -> None:
            read(self._n_layers, output if isinstance(output, Tensor) else output[0])

        handles = [
            self._blocks[layer].register_forward_pre_hook(read_input(layer), with_kwargs=True)
            for layer in set(layers)
            if layer < self._n_layers
        ]
        if self._n_layers in layers:
            last = self._blocks[-1] if self._projected else self._stack
            handles.append(last.register_forward_hook(read_output))
        try:
            yield states
        finally:
            for handle in handles:
                handle.remove()

    @torch.inference_mode()
    def check(self, name: str, vocabulary: int) -> bool:
        """Compares what is read with the network's own ``hidden_states``.

        Parameters
        ----------
        name : str
            The model's name, for messages.
        vocabulary : int
            Number of its tokens.

        Returns
        -------
        bool
            Whether the network is causal.

        Raises
        ------
        PluginError
            If a layer cannot be read from its block.
        """
        ids = torch.arange(PROBE, device=self.device)[None] % vocabulary
        every = torch.arange(PROBE)
        selection = TokenSelection(torch.zeros_like(every), every, every, PROBE)
        try:
            with self._reading(range(self._n_layers + 1), selection, stop=False) as states:
                output = self.model(input_ids=ids, use_cache=False, output_hidden_states=True)
            hidden_states = output.hidden_states
        except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
            # Such as T5: its decoder reads nothing without a text for its encoder.
            raise PluginError(
                f"{name}: {type(self.model).__name__} cannot read a text by itself "
                f"({str(error).strip().partition(chr(10))[0]}); this architecture is not supported"
            ) from None
        for layer, expected in enumerate(hidden_states):
            if layer == self._n_layers and self._projected:
                continue
            state = states.get(layer)
            if state is None or not torch.equal(state, expected[0].to(state.device)):
                raise PluginError(
                    f"{name}: layer {layer} cannot be read from the blocks of "
                    f"{type(self.model).__name__}; this architecture is not supported"
                )
        ids[0, -1] = (ids[0, -1] + 1) % vocabulary
        last = states[self._n_layers]
        changed = self(ids, [self._n_layers], selection)[0]
        before, after = last[:-1].float(), changed[:-1].float()
        moved = (before - after).norm(dim=-1) / before.norm(dim=-1).clamp_min(1e-12)
        return bool(moved.max() <= (1e-4 if last.dtype == torch.float32 else 1e-2))


def _find_blocks(model: nn.Module, n_layers: int) -> tuple[nn.Module, nn.ModuleList]:
    """The outermost list of that many blocks, and the module that runs them one by one."""
    for stack in model.modules():
        for blocks in stack.children():
            if isinstance(blocks, nn.ModuleList) and len(blocks) == n_layers:
                return stack, blocks
    raise PluginError(f"{type(model).__name__}: it has no list of {n_layers} blocks")

"""Hidden states of chosen layers at chosen tokens, and of nothing else.

Asked for ``hidden_states``, a network keeps every token of every layer. Here each block is watched
instead: what it is given is read at the tokens wanted, and forgotten.
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


class _Reached(Exception):  # noqa: N818 - not an error: the last layer wanted has been read
    pass


class TokensRead:
    """Tokens of a batch to read: state ``i`` is the mean over its tokens.

    ``batch`` and ``position`` (token,) say where each token is; ``owner`` (token,) which of the
    ``n`` states it belongs to.
    """

    def __init__(self, batch: Tensor, position: Tensor, owner: Tensor, n: int) -> None:
        self._where = (batch, position)
        self._owner = owner
        self._n = n
        self._single = len(owner) == n

    def __call__(self, hidden: Tensor) -> Tensor:
        """(state, unit) of ``hidden`` (batch, token, unit)."""
        batch, position = (index.to(hidden.device) for index in self._where)
        found = hidden[batch, position]
        if self._single:
            return found
        owner = self._owner.to(hidden.device)
        total = torch.zeros(self._n, found.shape[1], dtype=torch.float32, device=hidden.device)
        total.index_add_(0, owner, found.float())
        return total / torch.bincount(owner, minlength=self._n)[:, None]


class TokensForetold:
    """Tokens of a batch whose prediction is wanted.

    ``batch`` and ``position`` (token,) say where the network foretells each: at the token before
    it. ``target`` (token,) is the token that came.
    """

    CHUNK = 64
    """Predictions turned to probabilities at a time: each is as long as the vocabulary."""

    def __init__(self, batch: Tensor, position: Tensor, target: Tensor) -> None:
        self.batch, self.position, self.target = batch, position, target

    def __call__(self, logits: Tensor, column: Tensor) -> Tensor:
        """(token, 2) in bits: surprisal, -log2 p(token), and the entropy of the prediction.

        ``logits`` (batch, position, vocabulary) holds the token's prediction at ``column``.
        """
        found = torch.empty(len(self.target), 2)
        for start in range(0, len(self.target), self.CHUNK):
            part = slice(start, start + self.CHUNK)
            where = (self.batch[part].to(logits.device), column[part].to(logits.device))
            log_p = torch.log_softmax(logits[where].float(), dim=-1)
            target = self.target[part].to(logits.device)
            found[part, 0] = -log_p.gather(1, target[:, None])[:, 0].cpu()
            found[part, 1] = torch.special.entr(log_p.exp()).sum(-1).cpu()
        return found / math.log(2)


class LayerReader:
    """Reads the states of a language model's layers, numbered as in ``hidden_states``.

    Layer ``i`` is what block ``i`` is given; the last is what the stack of blocks returns. Where
    that has been projected to another width (OPT-350M), the last layer is what the last block
    returns, so that all layers are of one width.
    """

    def __init__(self, model: Any, n_layers: int) -> None:
        self.model = model
        self._n_layers = n_layers
        self._stack, self._blocks = _find_blocks(model, n_layers)
        width = getattr(model.config, "word_embed_proj_dim", None)
        self._narrowed = width not in (None, model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        # Weights kept elsewhere are brought in by accelerate, which moves the ids after them.
        return torch.device("cpu") if device.type == "meta" else device

    @torch.inference_mode()
    def __call__(self, ids: Tensor, layers: Sequence[int], reading: TokensRead) -> list[Tensor]:
        """(state, unit) of each layer, for tokens ``ids`` (batch, token).

        The network runs no further than the last layer asked for.
        """
        with self._watched(layers, reading, stop=True) as found, contextlib.suppress(_Reached):
            self.model(input_ids=ids, use_cache=False)
        return [found[layer] for layer in layers]

    @torch.inference_mode()
    def with_predictions(
        self, ids: Tensor, layers: Sequence[int], reading: TokensRead, foretold: TokensForetold
    ) -> tuple[list[Tensor], Tensor]:
        """The same from one pass, and (token, 2): surprisal and entropy of tokens, in bits."""
        with self._watched(layers, reading, stop=False) as found:
            positions = torch.unique(foretold.position)
            output = self.model(
                input_ids=ids, use_cache=False, logits_to_keep=positions.to(self.device)
            )
        predictions = foretold(output.logits, torch.searchsorted(positions, foretold.position))
        return [found[layer] for layer in layers], predictions

    @contextlib.contextmanager
    def _watched(
        self, layers: Sequence[int], reading: TokensRead, stop: bool
    ) -> Iterator[dict[int, Tensor]]:
        """Layers are read while the network runs; ``stop``: and no further than the deepest."""
        found: dict[int, Tensor] = {}
        deepest = max(layers, default=-1)

        def read(layer: int, hidden: Tensor) -> None:
            found[layer] = reading(hidden)
            if stop and layer == deepest:
                raise _Reached

        def given(layer: int) -> Any:
            return lambda _, args, kwargs: read(layer, args[0] if args else kwargs["hidden_states"])

        def returned(_: nn.Module, args: Any, output: Any) -> None:
            read(self._n_layers, output if isinstance(output, Tensor) else output[0])

        handles = [
            self._blocks[layer].register_forward_pre_hook(given(layer), with_kwargs=True)
            for layer in set(layers)
            if layer < self._n_layers
        ]
        if self._n_layers in layers:
            last = self._blocks[-1] if self._narrowed else self._stack
            handles.append(last.register_forward_hook(returned))
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    @torch.inference_mode()
    def check(self, name: str, vocabulary: int) -> bool:
        """Holds the network to its own ``hidden_states``, and says whether it is causal.

        Raises :class:`PluginError` where a layer cannot be read from its block.
        """
        ids = torch.arange(PROBE, device=self.device)[None] % vocabulary
        every = torch.arange(PROBE)
        reading = TokensRead(torch.zeros_like(every), every, every, PROBE)
        with self._watched(range(self._n_layers + 1), reading, stop=False) as found:
            theirs = self.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        for layer, state in enumerate(theirs.hidden_states):
            if layer == self._n_layers and self._narrowed:
                continue
            ours = found.get(layer)
            if ours is None or not torch.equal(ours, state[0].to(ours.device)):
                raise PluginError(
                    f"{name}: layer {layer} cannot be read from the blocks of "
                    f"{type(self.model).__name__}; this architecture is not supported"
                )
        ids[0, -1] = (ids[0, -1] + 1) % vocabulary
        last = found[self._n_layers]
        changed = self(ids, [self._n_layers], reading)[0]
        return torch.allclose(last[:-1].float(), changed[:-1].float(), rtol=1e-2, atol=1e-3)


def _find_blocks(model: nn.Module, n_layers: int) -> tuple[nn.Module, nn.ModuleList]:
    """The outermost list of that many blocks, and the module that runs them one by one."""
    for stack in model.modules():
        for blocks in stack.children():
            if isinstance(blocks, nn.ModuleList) and len(blocks) == n_layers:
                return stack, blocks
    raise PluginError(f"{type(model).__name__}: no list of {n_layers} blocks found in it")

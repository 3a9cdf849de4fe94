"""Hidden states of chosen layers at chosen tokens, and of nothing else.

Asked for ``hidden_states``, a network keeps every token of every layer. Here each block is watched
instead: what it is given is read at the tokens wanted, and forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class LayerReader:
    """Reads the states of a causal network's layers, numbered as in ``hidden_states``.

    Layer ``i`` is what block ``i`` is given; the last is what the network returns. Where that has
    been projected to another width (OPT-350M), the last layer is what the last block returns, so
    that all layers are of one width.
    """

    def __init__(self, model: Any, n_layers: int) -> None:
        self.model = model
        self._n_layers = n_layers
        self._blocks = _find_blocks(model, n_layers)
        self._narrowed = getattr(model.config, "word_embed_proj_dim", None) not in (
            None,
            model.config.hidden_size,
        )

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @torch.inference_mode()
    def __call__(self, ids: Tensor, layers: Sequence[int], reading: TokensRead) -> list[Tensor]:
        """(state, unit) of each layer, for tokens ``ids`` (batch, token).

        The network runs no further than the last layer asked for.
        """
        found: dict[int, Tensor] = {}
        deepest = max(layers)

        def watch(layer: int) -> Any:
            def read(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                found[layer] = reading(args[0] if args else kwargs["hidden_states"])
                if layer == deepest:
                    raise _Reached

            return read

        def last(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            found[self._n_layers] = reading(output[0] if isinstance(output, tuple) else output)
            if self._narrowed:
                raise _Reached

        handles = [
            self._blocks[layer].register_forward_pre_hook(watch(layer), with_kwargs=True)
            for layer in set(layers)
            if layer < self._n_layers
        ]
        if self._narrowed and deepest == self._n_layers:
            handles.append(self._blocks[-1].register_forward_hook(last))
        try:
            output = self.model(input_ids=ids, use_cache=False)
            if deepest == self._n_layers:
                found[deepest] = reading(output.last_hidden_state)
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [found[layer] for layer in layers]

    @torch.inference_mode()
    def check(self, name: str, vocabulary: int) -> bool:
        """Holds the network to its own ``hidden_states``, and says whether it is causal.

        Raises :class:`PluginError` where a layer cannot be read from its block.
        """
        ids = torch.arange(PROBE, device=self.device)[None] % vocabulary
        every = torch.arange(PROBE)
        reading = TokensRead(torch.zeros_like(every), every, every, PROBE)
        found = self(ids, range(self._n_layers + 1), reading)
        theirs = self.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        for layer, (ours, state) in enumerate(zip(found, theirs.hidden_states, strict=True)):
            if layer == self._n_layers and self._narrowed:
                continue
            if not torch.equal(ours, state[0].to(ours.device)):
                raise PluginError(
                    f"{name}: layer {layer} cannot be read from the blocks of "
                    f"{type(self.model).__name__}; this architecture is not supported"
                )
        ids[0, -1] = (ids[0, -1] + 1) % vocabulary
        changed = self(ids, [self._n_layers], reading)[0]
        return torch.allclose(found[-1][:-1].float(), changed[:-1].float(), rtol=1e-2, atol=1e-3)


def _find_blocks(model: nn.Module, n_layers: int) -> nn.ModuleList:
    """The list of transformer blocks: the outermost list of that length."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise PluginError(f"{type(model).__name__}: no list of {n_layers} blocks found in it")

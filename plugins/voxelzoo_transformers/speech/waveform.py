"""Networks built like wav2vec 2.0: convolutions over the waveform, then a transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from voxelzoo_transformers.speech.attention import attention
from voxelzoo_transformers.speech.convolutions import LongConvolution, fold_group_norm
from voxelzoo_transformers.speech.encoder import Block, SoundBatch, SpeechEncoder, at_frame
from voxelzoo_transformers.speech.windows import conv_frames

TILE = 100
"""Frames (2 s) whose convolutions are computed together on a CPU: they fit its cache."""


class WaveformEncoder(SpeechEncoder):
    """A network built like wav2vec 2.0: HuBERT, WavLM, wav2vec 2.0 or data2vec-audio.

    Hidden states are those of transformers 5: if blocks norm their input (``stable`` layer norm:
    the large models), the last one is the residual stream, which transformers 4 normed.

    A family whose attention differs overrides :meth:`attend`.

    Parameters
    ----------
    model : nn.Module
        The network as transformers builds it.
    normalise : bool
        Bring each window to zero mean and unit variance, as the checkpoint's feature extractor
        says.
    """

    def __init__(self, model: Any, normalise: bool) -> None:
        self.model = model
        self.normalise = normalise
        self.dtype = next(model.parameters()).dtype
        config = model.config
        self.pre_norm = "StableLayerNorm" in type(self.model.encoder).__name__
        self.convs = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        for module in list(model.modules()):  # weights that are otherwise computed in every pass
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")
        positions = model.encoder.pos_conv_embed
        normed = getattr(positions, "batch_norm", None) is not None
        self._long_conv = (
            LongConvolution(positions.conv) if hasattr(positions, "conv") and not normed else None
        )

    def embed(self, batch: SoundBatch) -> tuple[Tensor, Tensor]:
        """Convolutions, projection and positions; every window ends with its last frame."""
        sound = torch.stack([batch.sound(i) for i in range(len(batch))])
        if self.normalise:
            wide = sound.double()
            variance = wide.var(dim=1, correction=0, keepdim=True)
            wide = (wide - wide.mean(dim=1, keepdim=True)) / torch.sqrt(variance + 1e-7)
            sound = wide.float()
        if sound.device.type == "cpu":
            features = torch.stack([self._convolve_in_tiles(one) for one in sound])
        else:
            features = self.model.feature_extractor(sound.to(self.dtype))
        projected = self.model.feature_projection(features.transpose(1, 2))
        hidden = projected if isinstance(projected, Tensor) else projected[0]
        hidden = hidden + self._position_embeddings(hidden)
        if not self.pre_norm:
            hidden = self.model.encoder.layer_norm(hidden)
        last = torch.full((len(batch),), hidden.shape[1] - 1, device=hidden.device)
        return hidden, last

    def _position_embeddings(self, hidden: Tensor) -> Tensor:
        """What the network adds to each frame to mark its position, from neighbouring frames."""
        positions = self.model.encoder.pos_conv_embed
        if self._long_conv is None or hidden.device.type != "cpu":
            added: Tensor = positions(hidden)
        else:
            added = positions.activation(self._long_conv(hidden))
        return added

    def _convolve_in_tiles(self, sound: Tensor) -> Tensor:
        """The convolutions' output (unit, frame) for one window, a few frames at a time.

        They have no padding, so the parts together equal the whole. Only the group norm of the base
        models depends on all of the window; it is folded into the first convolution.
        """
        first, *rest = self.model.feature_extractor.conv_layers
        weight, bias = first.conv.weight, first.conv.bias
        grouped = isinstance(getattr(first, "layer_norm", None), nn.GroupNorm)
        if grouped:
            weight, bias = fold_group_norm(sound, first.conv, first.layer_norm)
        n_frames = conv_frames(len(sound), self.convs)
        hop = math.prod(stride for _, stride in self.convs)
        receptive = 1  # samples that a frame depends on
        for kernel, stride in reversed(self.convs):
            receptive = (receptive - 1) * stride + kernel
        tiles = []
        for frame in range(0, n_frames, TILE):
            n = min(TILE, n_frames - frame)
            tile = sound[None, None, frame * hop : (frame + n - 1) * hop + receptive].to(self.dtype)
            if grouped:
                tile = first.activation(conv1d(tile, weight, bias, stride=first.conv.stride))
            else:
                tile = first(tile)
            for layer in rest:
                tile = layer(tile)
            tiles.append(tile[0])
        return torch.cat(tiles, dim=1)

    def blocks(self) -> Sequence[Block]:
        """The encoder's layers, attending as :meth:`attend` does."""
        return [self._block(layer) for layer in self.model.encoder.layers]

    def attend(self, layer: Any, query: Tensor, hidden: Tensor, frame: Tensor | None) -> Tensor:
        """Self-attention of a block.

        Parameters
        ----------
        layer : nn.Module
            The block.
        query : Tensor
            All of ``hidden``, or its frame ``frame``, (window, query, unit).
        hidden : Tensor
            (window, frame, unit).
        frame : Tensor or None
            See :data:`~voxelzoo_transformers.api.Block`.

        Returns
        -------
        Tensor
            (window, query, unit).
        """
        return attention(layer.attention, query, hidden)

    def _block(self, layer: Any) -> Block:
        def pre_norm(hidden: Tensor, frame: Tensor | None) -> Tensor:
            normed = layer.layer_norm(hidden)
            attended = self.attend(layer, at_frame(normed, frame), normed, frame)
            out: Tensor = at_frame(hidden, frame) + attended
            out = out + layer.feed_forward(layer.final_layer_norm(out))
            if getattr(layer, "adapter_layer", None) is not None:
                out = out + layer.adapter_layer(out)
            return out

        def post_norm(hidden: Tensor, frame: Tensor | None) -> Tensor:
            query = at_frame(hidden, frame)
            out = layer.layer_norm(query + self.attend(layer, query, hidden, frame))
            normed: Tensor = layer.final_layer_norm(out + layer.feed_forward(out))
            return normed

        return pre_norm if self.pre_norm else post_norm

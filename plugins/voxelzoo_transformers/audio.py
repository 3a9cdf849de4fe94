"""Speech encoders heard through causal windows: what every family of them shares.

A state at time ``t`` is the last frame of a window of sound that ends at ``t``, so nothing later
can reach it although the encoder itself looks both ways. A family brings a :class:`SpeechEncoder`;
windows, batches, times and the walk through the blocks are here.

The walk keeps one hidden state at a time, reads one frame of it, and computes the last block that
is asked for at that frame alone: its keys and values need every frame, its query only one.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv1d, scaled_dot_product_attention
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from transformers import AutoModel

from voxelzoo.api import (
    AudioWindow,
    Cost,
    ExtractorRequest,
    PluginError,
    SoundStream,
    StateBlock,
    Story,
    UsageError,
    ZooError,
    audio_windows,
    examine,
    n_samples_at,
)
from voxelzoo_transformers.cost import NetworkSize, bytes_a_number, network_size, seconds
from voxelzoo_transformers.loading import (
    as_dtype,
    checkpoint_folder,
    load_config,
    source_fingerprint,
)

WINDOW = 16.1
"""Seconds of sound that a state may see: 16 s of context and one stride (paper's script)."""

STRIDE = 0.1
"""Seconds between states."""

TILE = 100
"""Frames (2 s) whose convolutions are worked out together on a CPU: they fit its cache."""

GPU_BATCH = 32
"""Windows of a forward pass on a GPU; halved where they do not fit."""

OPTIONS = ("window", "stride", "full_context")
"""Settings that every speech extractor reads; for its :class:`ExtractorSpec`."""

# -------------------------------------------------------------------------------- window rule


@dataclass(frozen=True)
class WindowRule:
    """Length and stride of the windows in seconds; ``full_context`` drops the young, short ones."""

    length: float = WINDOW
    stride: float = STRIDE
    full_context: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> WindowRule:
        """The rule as typed. Raises :class:`UsageError`."""
        return cls(
            _seconds("window", options.get("window"), WINDOW),
            _seconds("stride", options.get("stride"), STRIDE),
            _flag("full_context", options.get("full_context", "false")),
        )


def _seconds(name: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{name} {text!r}: say a positive number of seconds")
    return seconds


def _flag(name: str, text: str) -> bool:
    if text.lower() in ("true", "yes", "1"):
        return True
    if text.lower() in ("false", "no", "0"):
        return False
    raise UsageError(f"{name} {text!r}: say true or false")


# ------------------------------------------------------------------------- what a family brings


@dataclass(frozen=True)
class Batch:
    """Consecutive windows of sound: ``span`` (sample,) and where each lies within it.

    ``endings`` are the last samples of each window as they were heard at its end, where the
    recording was resampled; the span's own, there, have looked ahead.
    """

    span: Tensor
    windows: Sequence[AudioWindow]
    endings: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.windows)

    def sound(self, i: int) -> Tensor:
        """What window ``i`` hears, (sample,)."""
        window, ending = self.windows[i], self.endings[i]
        sound = self.span[window.start : window.stop]
        if not len(ending):
            return sound
        return torch.cat([sound[: self.settled(i)], ending[-len(sound) :]])

    def settled(self, i: int) -> int:
        """Samples of window ``i`` that it has in common with the span."""
        window = self.windows[i]
        return max(0, window.stop - window.start - len(self.endings[i]))


Block = Callable[[Tensor, Tensor | None], Tensor]
"""One transformer block: ``block(hidden, read)``.

``hidden`` is (window, frame, unit). With ``read`` (window,) it returns the block's output at that
frame of each window alone, (window, 1, unit); without, at every frame.
"""


class SpeechEncoder(ABC):
    """A loaded network that hears windows of sound."""

    batch: int = 8
    """Windows that are prepared together, sharing what they have in common."""
    together: int = 2
    """Windows of them that go through the blocks at once."""
    equal_lengths: bool = True
    """Windows of one batch must have one length."""

    @abstractmethod
    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden state 0, (window, frame, unit), and the last frame of sound in each, (window,)."""

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """The blocks in order; the last includes what the family does to its last hidden state."""

    def states(self, batch: Batch, layers: Sequence[int]) -> Tensor:
        """States of ``layers`` at the last frame of each window: (layer, window, unit)."""
        hidden, read = self.embed(batch)
        few = zip(hidden.split(self.together), read.split(self.together), strict=True)
        return torch.cat([self._walk(hidden, read, layers) for hidden, read in few], dim=1)

    def _walk(self, hidden: Tensor, read: Tensor, layers: Sequence[int]) -> Tensor:
        deepest = max(layers)
        kept = {0: at_frame(hidden, read)[:, 0]}
        for layer, block in enumerate(self.blocks()[:deepest], start=1):
            if layer == deepest:
                kept[layer] = block(hidden, read)[:, 0]
            else:
                hidden = block(hidden, None)
                kept[layer] = at_frame(hidden, read)[:, 0]
        return torch.stack([kept[layer] for layer in layers])

    def sized_for(self, device: str) -> Self:
        """Itself, with batches that suit the device.

        A CPU does best when a block's widest activations stay near its cache; a GPU wants work.
        """
        if torch.device(device).type != "cpu":
            self.batch = self.together = GPU_BATCH
        return self

    def halve(self, size: int) -> int:
        """Makes batches smaller than one of ``size`` windows, which did not fit; their new size."""
        self.batch = size // 2
        self.together = min(self.together, self.batch)
        return self.batch


def at_frame(hidden: Tensor, read: Tensor | None) -> Tensor:
    """Frame ``read`` (window,) of each window as (window, 1, unit); all of ``hidden`` without."""
    if read is None:
        return hidden
    return hidden[torch.arange(len(hidden), device=hidden.device), read][:, None]


def conv_frames(n: int, convs: Sequence[tuple[int, int]]) -> int:
    """Frames that unpadded convolutions, each (kernel, stride), make of ``n`` samples."""
    for kernel, stride in convs:
        n = (n - kernel) // stride + 1 if n >= kernel else 0
    return n


# --------------------------------------------------------------------------------- extractor


class SpeechExtractor(ABC):
    """:class:`voxelzoo.contract.interfaces.Extractor` for a family of speech encoders."""

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self.rule = WindowRule.parse(request.options)
        self._encoder: SpeechEncoder | None = None

    # What a family says ---------------------------------------------------------------------

    @abstractmethod
    def default_frontend(self) -> dict[str, Any]:
        """Settings of the family's feature extractor, where no checkpoint gives them."""

    @abstractmethod
    def open(self) -> SpeechEncoder:
        """Loads the network."""

    def check_window(self) -> None:
        """Raises :class:`UsageError` for windows that the network cannot hear."""
        return

    def n_frames(self, n_samples: int) -> int:
        """Frames that pass through the blocks for a window of that many samples."""
        return conv_frames(n_samples, self.convolutions())

    def convolutions(self) -> list[tuple[int, int]]:
        """(kernel, stride) of the convolutions before the blocks."""
        return list(zip(self.config.conv_kernel, self.config.conv_stride, strict=True))

    def n_layers(self) -> int:
        """Transformer blocks."""
        return int(self.config.num_hidden_layers)

    # What the host asks ---------------------------------------------------------------------

    def layers(self) -> list[int]:
        """Every hidden state, 0 to the number of blocks."""
        return list(range(self.n_layers() + 1))

    def fingerprint(self) -> dict[str, Any]:
        """Window rule, feature extractor's settings and the source of the weights."""
        return {
            "window": self.rule.length,
            "stride": self.rule.stride,
            "full_context": self.rule.full_context,
            "frontend": self.frontend,
            "source": source_fingerprint(self.request),
        }

    def times(self, story: Story) -> NDArray[np.float64]:
        """End of each window on the story's clock, (time,), in seconds."""
        start = story.need_audio().start
        stops = np.array([window.stop for window in self._windows(story)], dtype=np.float64)
        times: NDArray[np.float64] = start + stops / self.rate
        return times

    @cached_property
    def _size(self) -> NetworkSize:
        return network_size(AutoModel, self.config)

    def cost(self, story: Story, layers: Sequence[int]) -> Cost:
        """Frames that are heard, and what they take on their way to the deepest layer."""
        windows = self._windows(story)
        size = self._size
        width, depth = int(self.config.hidden_size), max(layers)
        frames = [self.n_frames(window.stop - window.start) for window in windows]
        # The last block that is asked for computes one frame, its keys and values apart.
        share = max(0.0, depth - 1 + 1 / 6) / self.n_layers()
        flops = 2.0 * share * size.per_position * sum(frames)
        flops += 4.0 * share * self.n_layers() * width * sum(n * n for n in frames)
        flops += sum(self.convolution_flops(window.stop - window.start) for window in windows)
        at_once = (2 if self.request.device == "cpu" else GPU_BATCH) * max(frames)
        inner = 4 * width
        activations = at_once * (8 * width + 3 * inner) * as_dtype(self.request.dtype).itemsize
        sound = 8 * 4 * (windows[-1].stop - windows[-1].start)
        return Cost(
            n_passes=len(windows),
            n_fed=sum(frames),
            flops=flops,
            seconds=seconds(self.request, flops, width),
            peak_bytes=size.total * bytes_a_number(self.request) + activations + sound,
        )

    def convolution_flops(self, n_samples: int) -> float:
        """Of the convolutions before the blocks, for a window of that many samples."""
        flops, inputs = 0.0, 1
        for i, (kernel, _) in enumerate(self.convolutions()):
            units = int(self.config.conv_dim[i])
            frames = conv_frames(n_samples, self.convolutions()[: i + 1])
            flops += 2.0 * kernel * inputs * units * frames
            inputs = units
        return flops

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """States of ``layers``, a block a forward pass; memory does not grow with the story.

        ``start`` is the first row wanted: a run that was cut off goes on from there.
        """
        audio = story.need_audio()
        windows = self._windows(story)
        for line in examine(audio, self.rate):
            self.request.notify(line)
        if self._encoder is None:
            self._encoder = self.open().sized_for(self.request.device)
        stream = SoundStream(audio, self.rate)
        done = start
        while done < len(windows):
            few = next_windows(windows, done, self._encoder.batch, self._encoder.equal_lengths)
            try:
                states = self._forward(stream, few, layers)
            except RuntimeError as error:
                self._shrink(error, len(few))
                continue
            yield StateBlock(done, states)
            done += len(few)

    def _shrink(self, error: RuntimeError, size: int) -> None:
        """Halves the batch where memory ran out; raises what went wrong otherwise."""
        assert self._encoder is not None
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate" in str(error)):
            raise error
        name = self.request.model.name
        if size == 1:
            raise ZooError(
                f"{name}: out of memory with one window of {self.rule.length:g} s; use a shorter "
                "window, --dtype bfloat16 or another device"
            ) from None
        smaller = self._encoder.halve(size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.request.notify(
            f"{name}: out of memory; going on with batches of {smaller} windows, not {size}"
        )

    def close(self) -> None:
        """Frees the network."""
        self._encoder = None

    # Inside ---------------------------------------------------------------------------------

    @cached_property
    def config(self) -> Any:
        """The network's configuration."""
        return load_config(self.request)

    @cached_property
    def frontend(self) -> dict[str, Any]:
        """Settings of the feature extractor: the checkpoint's own, else the family's."""
        if self.request.untrained:
            return self.default_frontend()
        folder = checkpoint_folder(self.request)
        path = folder / "preprocessor_config.json"
        if not path.is_file():
            self.request.notify(
                f"{self.request.model.name}: {folder} has no preprocessor_config.json; "
                "sound is prepared as the family's published models have it"
            )
            return self.default_frontend()
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PluginError(f"{path}: not JSON ({error})") from None
        return {**self.default_frontend(), **found}

    @property
    def rate(self) -> int:
        """Samples per second that the network was trained on."""
        return int(self.frontend["sampling_rate"])

    def _windows(self, story: Story) -> list[AudioWindow]:
        self.check_window()
        audio = story.need_audio()
        n_samples = n_samples_at(audio, self.rate)
        windows = audio_windows(n_samples, self.rate, self.rule.length, self.rule.stride)
        if self.rule.full_context:
            size = round(self.rule.length * self.rate)
            windows = [window for window in windows if window.stop - window.start == size]
        if not windows:
            needed = self.rule.length if self.rule.full_context else self.rule.stride
            raise UsageError(
                f"story {story.name!r}: its sound lasts {audio.duration:g} s, less than one "
                f"{'window' if self.rule.full_context else 'stride'} ({needed:g} s)"
            )
        return windows

    @torch.inference_mode()
    def _forward(
        self, stream: SoundStream, windows: Sequence[AudioWindow], layers: Sequence[int]
    ) -> NDArray[np.float32]:
        assert self._encoder is not None
        device = self.request.device
        first = windows[0].start
        span = torch.from_numpy(stream.span(first, windows[-1].stop)).to(device)
        endings = [torch.from_numpy(stream.ending(window.stop)).to(device) for window in windows]
        within = [AudioWindow(window.start - first, window.stop - first) for window in windows]
        states = self._encoder.states(Batch(span, within, endings), layers)
        found: NDArray[np.float32] = states.float().cpu().numpy()
        return found


def next_windows(
    windows: Sequence[AudioWindow], first: int, size: int, equal_lengths: bool
) -> Sequence[AudioWindow]:
    """Windows from ``first`` on, ``size`` at most, of one length where ``equal_lengths``."""
    few = windows[first : first + size]
    if equal_lengths:
        length = few[0].stop - few[0].start
        few = [window for window in few if window.stop - window.start == length]
    return few


# --------------------------------------------------------------------------------- attention


def attention(module: Any, query: Tensor, hidden: Tensor, bias: Bias | None = None) -> Tensor:
    """Multi-head attention of ``query`` (window, frame, unit) to all of ``hidden``.

    ``module`` holds the projections under the names that transformers gives them.
    """
    if query.shape[1] == 1:
        return _attend_once(module, query, hidden, bias)

    def heads(states: Tensor) -> Tensor:
        split: Tensor = states.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        return split

    q, k, v = (
        heads(module.q_proj(query)),
        heads(module.k_proj(hidden)),
        heads(module.v_proj(hidden)),
    )
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        attended = _attend_by_head(q, k, v, bias)
    else:
        mask = None if bias is None else bias.all_heads()
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out: Tensor = module.out_proj(attended.transpose(1, 2).flatten(2))
    return out


def _attend_once(module: Any, query: Tensor, hidden: Tensor, bias: Bias | None) -> Tensor:
    """Attention of one frame, whose keys and values are never made.

    A query's products with all keys are those of ``W_k' q`` with all of ``hidden``, and the mean of
    the values is ``W_v`` times a mean of ``hidden``. A key's bias adds the same to every score.
    """
    n_heads = module.num_heads
    q = module.q_proj(query).unflatten(-1, (n_heads, -1)).transpose(1, 2)
    q = q * q.shape[-1] ** -0.5
    keys = module.k_proj.weight.unflatten(0, (n_heads, -1))
    scores = (q @ keys)[:, :, 0] @ hidden.transpose(1, 2)  # (window, head, frame)
    if bias is not None:
        scores = scores + bias.all_heads()[:, :, 0]
    seen = torch.softmax(scores, -1) @ hidden
    values = module.v_proj.weight.unflatten(0, (n_heads, -1))
    heard = (values @ seen[..., None])[..., 0].flatten(1)
    if module.v_proj.bias is not None:
        heard = heard + module.v_proj.bias
    out: Tensor = module.out_proj(heard)[:, None]
    return out


CACHE_BYTES = 2_500_000
"""Scores that a CPU keeps at hand between the steps of attention."""


def _attend_by_head(q: Tensor, k: Tensor, v: Tensor, bias: Bias | None) -> Tensor:
    """Attention a head at a time: nearly twice as fast as torch's in bfloat16 on a CPU.

    A part of one head's scores stays in the cache, in memory that is not asked for anew. They are
    rounded to bfloat16, as what they are made of was; the softmax computes in float32.
    """
    out = torch.empty(q.shape, dtype=q.dtype)
    q = q * q.shape[-1] ** -0.5
    n, n_keys = q.shape[-2], k.shape[-2]
    step = math.ceil(n / math.ceil(n * n_keys * q.itemsize / CACHE_BYTES))
    scores = torch.empty(step, n_keys, dtype=q.dtype)
    weights = torch.empty_like(scores)
    for window in range(q.shape[0]):
        for head in range(q.shape[1]):
            added = None if bias is None else bias.of(window, head)
            for start in range(0, n, step):
                rows = slice(start, min(start + step, n))
                part, share = scores[: rows.stop - start], weights[: rows.stop - start]
                torch.mm(q[window, head, rows], k[window, head].T, out=part)
                if added is not None:
                    part += added[rows]
                torch.softmax(part, -1, out=share)
                torch.mm(share, v[window, head], out=out[window, head, rows])
    return out


@dataclass(frozen=True)
class Bias:
    """What is added to scores: a bias by distance, which every frame gates.

    ``gate`` is (window, head, query, 1), ``distance`` (window or 1, head, query, key).
    """

    gate: Tensor
    distance: Tensor

    def all_heads(self) -> Tensor:
        """(window, head, query, key)."""
        return self.gate * self.distance

    def of(self, window: int, head: int) -> Tensor:
        """One head's, (query, key)."""
        distance = self.distance[min(window, len(self.distance) - 1), head]
        return self.gate[window, head] * distance


# ----------------------------------------------------------------- encoders that hear a waveform


class WaveformEncoder(SpeechEncoder):
    """Networks of wav2vec 2.0's build: convolutions over the waveform, then a transformer.

    HuBERT, WavLM, wav2vec 2.0 and data2vec-audio. ``normalise`` brings each window to zero mean and
    unit variance, as the checkpoint's feature extractor says.

    Hidden states are those of transformers 5: where blocks norm their input (``stable`` layer
    norm: the large models), the last one is the residual stream. transformers 4 normed it.
    """

    def __init__(self, model: Any, normalise: bool) -> None:
        self.model = model
        self.normalise = normalise
        self.dtype = next(model.parameters()).dtype
        config = model.config
        self.pre_norm = "StableLayerNorm" in type(self.model.encoder).__name__
        self.convs = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        for module in list(model.modules()):  # weights that would be worked out at every pass
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")
        positions = model.encoder.pos_conv_embed
        normed = getattr(positions, "batch_norm", None) is not None
        self._long_conv = (
            LongConvolution(positions.conv) if hasattr(positions, "conv") and not normed else None
        )

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Convolutions, projection and positions; every window ends with its last frame."""
        sound = torch.stack([batch.sound(i) for i in range(len(batch))])
        if self.normalise:
            wide = sound.double()
            variance = wide.var(dim=1, correction=0, keepdim=True)
            wide = (wide - wide.mean(dim=1, keepdim=True)) / torch.sqrt(variance + 1e-7)
            sound = wide.float()
        if sound.device.type == "cpu":
            heard = torch.stack([self._convolve_in_tiles(one) for one in sound])
        else:
            heard = self.model.feature_extractor(sound.to(self.dtype))
        projected = self.model.feature_projection(heard.transpose(1, 2))
        hidden = projected if isinstance(projected, Tensor) else projected[0]
        hidden = hidden + self._positions(hidden)
        if not self.pre_norm:
            hidden = self.model.encoder.layer_norm(hidden)
        last = torch.full((len(batch),), hidden.shape[1] - 1, device=hidden.device)
        return hidden, last

    def _positions(self, hidden: Tensor) -> Tensor:
        """What the encoder adds to each frame to say where it is, from frames about it."""
        positions = self.model.encoder.pos_conv_embed
        if self._long_conv is None or hidden.device.type != "cpu":
            added: Tensor = positions(hidden)
        else:
            added = positions.activation(self._long_conv(hidden))
        return added

    def _convolve_in_tiles(self, sound: Tensor) -> Tensor:
        """The convolutions' output (unit, frame) for one window, a cache's worth at a time.

        They have no padding, so tiles give what the whole gives. Only the base models' group norm
        looks at all of the window; it is folded into the first convolution.
        """
        first, *rest = self.model.feature_extractor.conv_layers
        weight, bias = first.conv.weight, first.conv.bias
        grouped = isinstance(getattr(first, "layer_norm", None), nn.GroupNorm)
        if grouped:
            weight, bias = fold_group_norm(sound, first.conv, first.layer_norm)
        n_frames = conv_frames(len(sound), self.convs)
        hop = math.prod(stride for _, stride in self.convs)
        reach = 1
        for kernel, stride in reversed(self.convs):
            reach = (reach - 1) * stride + kernel
        tiles = []
        for frame in range(0, n_frames, TILE):
            n = min(TILE, n_frames - frame)
            tile = sound[None, None, frame * hop : (frame + n - 1) * hop + reach].to(self.dtype)
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

    def attend(self, layer: Any, query: Tensor, hidden: Tensor, read: Tensor | None) -> Tensor:
        """Self-attention of ``query``, which is ``hidden`` or its frame ``read``."""
        return attention(layer.attention, query, hidden)

    def _block(self, layer: Any) -> Block:
        def pre_norm(hidden: Tensor, read: Tensor | None) -> Tensor:
            normed = layer.layer_norm(hidden)
            attended = self.attend(layer, at_frame(normed, read), normed, read)
            out: Tensor = at_frame(hidden, read) + attended
            out = out + layer.feed_forward(layer.final_layer_norm(out))
            if getattr(layer, "adapter_layer", None) is not None:
                out = out + layer.adapter_layer(out)
            return out

        def post_norm(hidden: Tensor, read: Tensor | None) -> Tensor:
            query = at_frame(hidden, read)
            out = layer.layer_norm(query + self.attend(layer, query, hidden, read))
            normed: Tensor = layer.final_layer_norm(out + layer.feed_forward(out))
            return normed

        return pre_norm if self.pre_norm else post_norm


class LongConvolution:
    """A padded, grouped convolution over frames by Fourier transform, in float32.

    The kernel spans 128 frames: on a CPU this takes a sixth of the plain sum's time. Its spectrum
    is kept, some 150 MB for a base model.
    """

    STEP = 512

    def __init__(self, conv: nn.Conv1d) -> None:
        self.conv = conv
        self.n = 0
        self.spectrum = torch.empty(0)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(window, frame, unit) to the same."""
        windows, frames, units = hidden.shape
        groups, before = self.conv.groups, int(self.conv.padding[0])
        self._reach(frames + self.conv.kernel_size[0])
        spectrum = torch.fft.rfft(hidden.float().transpose(1, 2).contiguous(), self.n)
        spectrum = spectrum.view(windows, groups, units // groups, -1).permute(3, 1, 0, 2)
        product = spectrum.flatten(0, 1).bmm(self.spectrum)
        product = product.view(-1, groups, windows, units // groups).permute(2, 1, 3, 0)
        sums = torch.fft.irfft(product.reshape(windows, units, -1), self.n)
        # Frame t sums the frames from t - before on, which a circle of n has at its end.
        out = torch.cat(
            [sums[..., self.n - before :], sums[..., : max(0, frames - before)]], dim=-1
        )
        out = out[..., :frames]
        if self.conv.bias is not None:
            out = out + self.conv.bias.float()[:, None]
        return out.transpose(1, 2).to(hidden.dtype)

    def _reach(self, n: int) -> None:
        """Makes the spectrum (frequency * group, input, output) fit ``n`` frames."""
        if n <= self.n:
            return
        self.n = -(-n // self.STEP) * self.STEP
        weight = self.conv.weight.float()
        spectrum = torch.fft.rfft(weight, self.n).conj()
        spectrum = spectrum.view(self.conv.groups, -1, *spectrum.shape[1:])
        self.spectrum = spectrum.permute(3, 0, 2, 1).flatten(0, 1).contiguous()


def fold_group_norm(sound: Tensor, conv: nn.Conv1d, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``conv`` followed by ``norm``, as one convolution of this ``sound``.

    The norm has a group a channel: over time it brings the convolution's output to zero mean and
    unit variance. That output is linear in frames of ``kernel`` samples, so its mean and variance
    follow from theirs, a handful of numbers, and half a million activations are never normed.
    """
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    frames = sound.double().unfold(0, kernel, stride)
    mean = frames.mean(dim=0)
    covariance = (frames - mean).T @ (frames - mean) / len(frames)
    weight = conv.weight[:, 0].double()
    variance = ((weight @ covariance) * weight).sum(dim=1)
    gain = norm.weight.double() / torch.sqrt(variance + norm.eps)
    # The convolution's own bias, if any, goes with the mean.
    bias = norm.bias.double() - gain * (weight @ mean)
    folded = (gain[:, None] * weight)[:, None]
    return folded.to(conv.weight.dtype), bias.to(conv.weight.dtype)


class WaveformExtractor(SpeechExtractor):
    """Extractor of a family whose networks hear a waveform."""

    def default_frontend(self) -> dict[str, Any]:
        """16 kHz; each window normalised."""
        return {"sampling_rate": 16000, "do_normalize": True}

    def check_window(self) -> None:
        """The first window, one stride long, must hold a frame."""
        if conv_frames(self.shortest_window(), self.convolutions()) < 1:
            raise self.too_short()

    def shortest_window(self) -> int:
        """Samples of the first window."""
        rule = self.rule
        return round((rule.length if rule.full_context else rule.stride) * self.rate)

    def too_short(self) -> UsageError:
        """Says that the first window holds no frame."""
        return UsageError(
            f"stride {self.rule.stride:g} s: the first window would be too short for one frame of "
            f"{self.request.model.name} (25 ms); use a longer stride or full_context"
        )

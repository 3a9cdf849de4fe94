"""Extractors for speech encoders: states at the ends of causal windows of sound.

A state at time ``t`` is the last frame of a window of sound that ends at ``t``. Nothing later can
reach it, although the encoder itself looks both ways within the window.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    halved,
    n_samples_at,
)
from voxelzoo_transformers.checkpoints import checkpoint_folder
from voxelzoo_transformers.configuration import NetworkConfig, load_config, source_fingerprint
from voxelzoo_transformers.cost import (
    NetworkSize,
    block_size,
    built_size,
    item_bytes,
    library_bytes,
    load_seconds,
    overhead_seconds,
    seconds,
    weight_bytes,
)
from voxelzoo_transformers.speech.windows import GPU_BATCH, WindowRule, conv_frames, next_windows

if TYPE_CHECKING:
    from voxelzoo_transformers.speech.encoder import SpeechEncoder


class SpeechExtractor(ABC):
    """Extracts states of speech encoders at the ends of causal windows of sound.

    A family overrides :meth:`default_frontend` and :meth:`build_encoder`, and whichever of the
    other methods below does not describe its networks. :class:`WaveformExtractor` does so for
    networks built like wav2vec 2.0.

    Parameters
    ----------
    request : ExtractorRequest
        The model and how to run it. Its ``options`` are

        - ``window``: seconds of sound in a window, at most (16.1);
        - ``stride``: seconds between states (0.1);
        - ``full_context``: ``true`` drops the shorter windows at the beginning (``false``).

    Attributes
    ----------
    request : ExtractorRequest
        As given.
    rule : WindowRule
        Length and stride of the windows.
    config : NetworkConfig
        The network's configuration. The base class reads ``num_hidden_layers``, ``hidden_size``,
        ``intermediate_size``, ``conv_kernel``, ``conv_stride`` and ``conv_dim`` of it.
    frontend : dict
        Settings of the feature extractor; the base class reads ``sampling_rate``.

    Raises
    ------
    UsageError
        If an option has an invalid value.
    """

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request
        self.rule = WindowRule.parse(request.options)
        self._encoder: SpeechEncoder | None = None

    # What a family overrides ----------------------------------------------------------------

    @abstractmethod
    def default_frontend(self) -> dict[str, Any]:
        """Settings of the family's feature extractor, for models whose checkpoint has none.

        Returns
        -------
        dict
            JSON values, ``sampling_rate`` (Hz) among them.
        """

    @abstractmethod
    def build_encoder(self, model: Any) -> SpeechEncoder:
        """Wraps the loaded network.

        Parameters
        ----------
        model : nn.Module
            The network that ``transformers.AutoModel`` builds of the configuration, with its
            weights, on the requested device.

        Returns
        -------
        SpeechEncoder
            The network as a speech encoder.
        """

    def check_window(self) -> None:
        """Raises :class:`UsageError` for windows that the network cannot hear."""
        return

    def convolutions(self) -> list[tuple[int, int]]:
        """Kernel and stride of each convolution before the blocks."""
        return list(zip(self.config.conv_kernel, self.config.conv_stride, strict=True))

    def n_frames(self, n_samples: int) -> int:
        """Frames that pass through the blocks for a window of sound.

        Parameters
        ----------
        n_samples : int
            Length of the window.

        Returns
        -------
        int
        """
        return conv_frames(n_samples, self.convolutions())

    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.config.num_hidden_layers)

    def network_size(self) -> NetworkSize:
        """Parameters of the network, for estimates of its cost."""
        total, inner = self.request.model.n_parameters, self.config.stated("intermediate_size")
        if total is None or inner is None:
            return built_size(self.config)
        block = self.block_size(int(self.config.hidden_size), int(inner))
        return NetworkSize(total, self.n_layers() * block)

    def block_size(self, width: int, inner: int) -> int:
        """Parameters of one block.

        Parameters
        ----------
        width : int
            Units of a hidden state.
        inner : int
            Units of the MLP.

        Returns
        -------
        int
        """
        return block_size(width, inner)

    def convolution_flops(self, n_samples: int) -> float:
        """Operations of the convolutions for a window of sound.

        Parameters
        ----------
        n_samples : int
            Length of the window.

        Returns
        -------
        float
            A multiplication and an addition count as two.
        """
        flops, inputs = 0.0, 1
        for i, (kernel, _) in enumerate(self.convolutions()):
            units = int(self.config.conv_dim[i])
            frames = conv_frames(n_samples, self.convolutions()[: i + 1])
            flops += 2.0 * kernel * inputs * units * frames
            inputs = units
        return flops

    # What the host asks ---------------------------------------------------------------------

    def layers(self) -> list[int]:
        """Every hidden state, from 0, the input of the first block, to the number of blocks."""
        return list(range(self.n_layers() + 1))

    def fingerprint(self) -> dict[str, Any]:
        """Window rule, settings of the feature extractor, and the source of the weights."""
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

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """States of ``layers`` from row ``start`` on, one block per forward pass.

        Memory does not grow with the length of the story.
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
            encoder = self._encoder
            few = next_windows(windows, done, encoder.batch_size, encoder.equal_lengths)
            try:
                states = self._forward(encoder, stream, few, layers)
            except (RuntimeError, MemoryError) as error:
                self._reduce_batch(encoder, error, len(few))
                continue
            yield StateBlock(done, states)
            done += len(few)

    def close(self) -> None:
        """Frees the network's memory."""
        self._encoder = None

    def cost(self, story: Story, layers: Sequence[int]) -> Cost:
        """Estimates what extracting ``layers`` of a story takes; loads nothing."""
        windows = self._windows(story)
        size = self._size
        width, depth = int(self.config.hidden_size), max(layers)
        lengths = [window.stop - window.start for window in windows]
        frames = [self.n_frames(length) for length in lengths]
        # The deepest block computes one frame, but the keys and values of all frames.
        share = max(0.0, depth - 1 + 1 / 6) / self.n_layers()
        flops = 2.0 * share * size.per_position * sum(frames)
        flops += 4.0 * share * self.n_layers() * width * sum(n * n for n in frames)
        flops += sum(self.convolution_flops(length) for length in lengths)
        batch = 2 if self.request.device == "cpu" else GPU_BATCH
        n_frames, n_batches = batch * max(frames), -(-len(windows) // batch)
        heads = self.config.stated("num_attention_heads") or -(-width // 64)
        inner = 4 * width
        activations = n_frames * (8 * width + 3 * inner) * item_bytes(self.request.dtype)
        sound = 8 * 4 * lengths[-1]
        weights = size.total * weight_bytes(self.request)
        return Cost(
            n_passes=len(windows),
            n_fed=sum(frames),
            flops=flops,
            seconds=seconds(self.request, flops, width)
            + overhead_seconds(self.request, frames, n_batches, depth, heads),
            peak_bytes=weights + activations + sound + library_bytes(self.request),
            load_seconds=load_seconds(self.request, size.total),
        )

    # The model ------------------------------------------------------------------------------

    @cached_property
    def config(self) -> NetworkConfig:
        """The network's configuration."""
        return load_config(self.request)

    @cached_property
    def _size(self) -> NetworkSize:
        return self.network_size()

    @cached_property
    def frontend(self) -> dict[str, Any]:
        """Settings of the feature extractor: the checkpoint's, otherwise the family's."""
        if self.request.untrained:
            return self.default_frontend()
        folder = checkpoint_folder(self.request)
        path = folder / "preprocessor_config.json"
        if not path.is_file():
            self.request.notify(
                f"{self.request.model.name}: {folder} has no preprocessor_config.json; "
                "using the settings of the family's published models"
            )
            return self.default_frontend()
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise PluginError(f"{path}: not JSON ({error})") from None
        return {**self.default_frontend(), **settings}

    @property
    def rate(self) -> int:
        """Samples per second that the network was trained on."""
        return int(self.frontend["sampling_rate"])

    def open(self) -> SpeechEncoder:
        """Loads the network.

        Returns
        -------
        SpeechEncoder
            What :meth:`build_encoder` makes of it.
        """
        from voxelzoo_transformers.loading import load_model

        return self.build_encoder(load_model(self.request, self.config))

    # Windows of a story ---------------------------------------------------------------------

    def _windows(self, story: Story) -> list[AudioWindow]:
        self.check_window()
        audio = story.need_audio()
        n_samples = n_samples_at(audio, self.rate)
        windows = audio_windows(n_samples, self.rate, self.rule.length, self.rule.stride)
        if self.rule.full_context:
            size = round(self.rule.length * self.rate)
            windows = [window for window in windows if window.stop - window.start == size]
        if not windows:
            raise UsageError(
                f"story {story.name!r}: its sound lasts {audio.duration:g} s, less than one "
                f"{'window' if self.rule.full_context else 'stride'} ({self.rule.shortest:g} s)"
            )
        return windows

    def _forward(
        self,
        encoder: SpeechEncoder,
        stream: SoundStream,
        windows: Sequence[AudioWindow],
        layers: Sequence[int],
    ) -> NDArray[np.float32]:
        import torch

        from voxelzoo_transformers.speech.encoder import SoundBatch

        device = self.request.device
        first = windows[0].start
        with torch.inference_mode():
            span = torch.from_numpy(stream.span(first, windows[-1].stop)).to(device)
            endings = [
                torch.from_numpy(stream.ending(window.stop)).to(device) for window in windows
            ]
            within = [AudioWindow(window.start - first, window.stop - first) for window in windows]
            states = encoder.states(SoundBatch(span, within, endings), layers)
            array: NDArray[np.float32] = states.float().cpu().numpy()
        return array

    def _reduce_batch(self, encoder: SpeechEncoder, error: Exception, size: int) -> None:
        """Halves the batch after memory ran out; raises any other error again."""
        smaller = halved(size, error)
        name = self.request.model.name
        if smaller is None:
            raise ZooError(
                f"{name}: out of memory with one window of {self.rule.length:g} s; use a shorter "
                "window, --dtype bfloat16 or another device"
            ) from None
        encoder.limit_batches(smaller)
        self.request.notify(
            f"{name}: out of memory; continuing with batches of {smaller} windows instead of {size}"
        )


class WaveformExtractor(SpeechExtractor):
    """Extracts states of networks built like wav2vec 2.0, which hear the waveform itself.

    Complete for HuBERT, wav2vec 2.0 and data2vec-audio. A family whose attention differs overrides
    :meth:`build_encoder`; one whose models hear windows that are not normalised,
    :meth:`default_frontend`.
    """

    def default_frontend(self) -> dict[str, Any]:
        """16 kHz, each window normalised."""
        return {"sampling_rate": 16000, "do_normalize": True}

    @property
    def normalises(self) -> bool:
        """Whether each window is brought to zero mean and unit variance."""
        return bool(self.frontend["do_normalize"])

    def build_encoder(self, model: Any) -> SpeechEncoder:
        """The network as a :class:`WaveformEncoder`."""
        from voxelzoo_transformers.speech.waveform import WaveformEncoder

        return WaveformEncoder(model, self.normalises)

    def check_window(self) -> None:
        """The shortest window must make at least one frame."""
        if conv_frames(self.shortest_window(), self.convolutions()) < 1:
            raise self.too_short()

    def shortest_window(self) -> int:
        """Samples of the shortest window."""
        return round(self.rule.shortest * self.rate)

    def too_short(self) -> UsageError:
        """The error for a shortest window that makes no frame."""
        return UsageError(
            f"stride {self.rule.stride:g} s: the first window would be too short for one frame of "
            f"{self.request.model.name} (25 ms); use a longer stride or full_context"
        )

"""Whisper's encoder: its spectrogram, its 30 s of sound, and its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers import WhisperFeatureExtractor

from voxelzoo.api import PluginError
from voxelzoo_transformers.api import Block, SoundBatch, SpeechEncoder, at_frame, attention

SILENCE = -10.0
"""Log10 power of silence: power is floored at 1e-10."""

SPARE = 2
"""Frames beyond the last sound that the convolutions still reach."""

RANGE = 8.0
"""Decades below a window's loudest moment at which its spectrogram is floored."""


class LogMel:
    """Whisper's log-mel spectrogram of overlapping windows, which share Fourier transforms.

    A frame is the spectrum of ``n_fft`` samples around a multiple of ``hop``. Windows that begin a
    multiple of ``hop`` apart have their inner frames in common. Each has two frames of its own at
    the beginning, where the sound is mirrored, and some at the end, where silence follows.

    Parameters
    ----------
    settings : mapping of str to Any
        Settings of the feature extractor.
    n_frames : int
        Frames of a spectrogram: 30 s.
    device : str
        Where spectrograms are computed.

    Raises
    ------
    PluginError
        If the settings have dither, which would make states random.
    """

    def __init__(self, settings: Mapping[str, Any], n_frames: int, device: str) -> None:
        extractor = WhisperFeatureExtractor(**settings)
        if extractor.dither:
            raise PluginError("preprocessor_config.json: dither would make states random; set 0.0")
        self.n_fft: int = extractor.n_fft
        self.hop: int = extractor.hop_length
        self.n_frames = n_frames
        self.filters = torch.tensor(extractor.mel_filters, dtype=torch.float32, device=device).T
        self.taper = torch.hann_window(self.n_fft, device=device)

    def __call__(self, batch: SoundBatch) -> Tensor:
        """Spectrograms (window, mel, frame)."""
        half = self.n_fft // 2
        first = -(-half // self.hop)  # frames before it reach back beyond the window
        lead = first * self.hop - half
        shared = self._log_power(batch.span[lead:])
        logs = batch.span.new_full((len(batch), len(self.filters), self.n_frames), SILENCE)
        for i, (log, window) in enumerate(zip(logs, batch.windows, strict=True)):
            sound = batch.sound(i)
            n, n_shared = len(sound), batch.n_shared(i)
            end = min((n + half - 1) // self.hop + 1, self.n_frames)  # silence from here on
            tail = min(
                max((n_shared - half) // self.hop + 1, first), end
            )  # frames of its own from here on
            head = pad(sound[: lead + self.n_fft], (0, max(0, self.n_fft - n)))
            head = pad(head[None], (half, 0), mode="reflect")[0]
            log[:, :first] = self._log_power(head)[:, :first]
            if tail > first:
                at, odd = divmod(window.start, self.hop)
                inner = self._log_power(sound[lead:]) if odd else shared[:, at:]
                log[:, first:tail] = inner[:, : tail - first]
            if end > tail:
                last = sound[tail * self.hop - half :]
                length = (end - tail - 1) * self.hop + self.n_fft
                log[:, tail:end] = self._log_power(pad(last, (0, length - len(last))))
        loudest = logs.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logs, loudest - RANGE) + 4.0) / 4.0

    def _log_power(self, sound: Tensor) -> Tensor:
        """Log10 mel power (mel, frame) of every whole frame of ``sound``, floored."""
        if len(sound) < self.n_fft:
            return sound.new_empty((len(self.filters), 0))
        spectrum = torch.fft.rfft(sound.unfold(0, self.n_fft, self.hop) * self.taper)
        power = self.filters @ spectrum.abs().square().T
        return power.clamp(min=10.0**SILENCE).log10()


class WhisperEncoder(SpeechEncoder):
    """Whisper's encoder, which hears 30 s at a time, whatever the window's length.

    Parameters
    ----------
    model : nn.Module
        The encoder as transformers builds it.
    mel : LogMel
        Its spectrogram.
    """

    equal_lengths = False

    def __init__(self, model: nn.Module, mel: LogMel) -> None:
        self.model: Any = model
        self.mel = mel
        self.dtype = next(model.parameters()).dtype

    def embed(self, batch: SoundBatch) -> tuple[Tensor, Tensor]:
        """Spectrogram, convolutions and positions."""
        model = self.model
        mel = self.mel(batch).to(self.dtype)
        n = model.embed_positions.num_embeddings
        # The silence that fills the 30 s is the same throughout: the convolutions are given a short
        # one, and a frame within it stands for the rest.
        longest = max(window.stop - window.start for window in batch.windows)
        heard = min(self.last_frame(longest) + 1 + SPARE, n - 2 * SPARE)
        mel = torch.cat([mel[:, :, : 2 * heard], mel[:, :, -4 * SPARE :]], dim=2)
        hidden = gelu(model.conv2(gelu(model.conv1(mel)))).transpose(1, 2)
        same = hidden[:, heard : heard + 1].expand(-1, n - hidden.shape[1], -1)
        hidden = torch.cat([hidden[:, :heard], same, hidden[:, heard:]], dim=1)
        frame = [self.last_frame(window.stop - window.start) for window in batch.windows]
        return hidden + model.embed_positions.weight, torch.tensor(frame, device=hidden.device)

    def last_frame(self, n_samples: int) -> int:
        """The last frame that sound reaches through the convolutions.

        The last output ``i`` of a convolution that depends on input ``j`` is the largest with
        ``i * stride - padding <= j``.

        Parameters
        ----------
        n_samples : int
            Length of the window.

        Returns
        -------
        int
            Index of the frame: 805 of 1,500 for 16.1 s.
        """
        last = -(-n_samples // self.mel.hop) - 1
        n_frames = self.mel.n_frames
        for conv in (self.model.conv1, self.model.conv2):
            (kernel,), (stride,), (padding,) = conv.kernel_size, conv.stride, conv.padding
            n_frames = (n_frames + 2 * padding - kernel) // stride + 1
            last = min((last + padding) // stride, n_frames - 1)
        return last

    def blocks(self) -> Sequence[Block]:
        """The encoder's layers; the last hidden state is normalised."""
        layers = list(self.model.layers)
        return [self._block(layer, last=layer is layers[-1]) for layer in layers]

    def _block(self, layer: Any, last: bool) -> Block:
        def block(hidden: Tensor, frame: Tensor | None) -> Tensor:
            normed = layer.self_attn_layer_norm(hidden)
            attended = attention(layer.self_attn, at_frame(normed, frame), normed)
            out: Tensor = at_frame(hidden, frame) + attended
            out = out + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(out))))
            if out.dtype == torch.float16:  # as transformers does, to avoid fp16 overflow
                limit = torch.finfo(out.dtype).max - 1000
                out = out.clamp(-limit, limit)
            return self.model.layer_norm(out) if last else out

        return block

"""Whisper's encoder: hidden states through causal windows. Those of its decoder are out of scope.

Whisper hears exactly 30 s. A window is padded to that with silence, as its feature extractor does,
and the frame that is read is the last one that any sound reaches through the convolutions: frame
805 of 1,500 for 16.1 s. The last frame of all, which some tools read, has only heard padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voxelzoo.api import UsageError
from voxelzoo_transformers.api import NetworkSize, SpeechExtractor, block_size, built_size

if TYPE_CHECKING:
    from voxelzoo_whisper.encoder import WhisperEncoder


class WhisperExtractor(SpeechExtractor):
    """Extracts states of Whisper's encoder."""

    def default_frontend(self) -> dict[str, Any]:
        """30 s at 16 kHz in steps of 10 ms, with as many mel bands as the network has inputs."""
        return {
            "sampling_rate": 16000,
            "hop_length": 160,
            "feature_size": int(self.config.num_mel_bins),
        }

    def build_encoder(self, model: Any) -> WhisperEncoder:
        """Keeps the encoder of the network; its decoder is freed."""
        from voxelzoo_whisper.encoder import LogMel, WhisperEncoder

        n_frames = 2 * int(self.config.max_source_positions)
        return WhisperEncoder(model.encoder, LogMel(self.frontend, n_frames, self.request.device))

    def check_window(self) -> None:
        """A window must fit into the 30 s that the network hears."""
        hop_seconds = int(self.frontend["hop_length"]) / self.rate
        seconds = 2 * int(self.config.max_source_positions) * hop_seconds
        if self.rule.length > seconds:
            raise UsageError(
                f"window {self.rule.length:g} s: {self.request.model.name} hears at most "
                f"{seconds:g} s"
            )

    def n_layers(self) -> int:
        """Blocks of the encoder."""
        return int(self.config.encoder_layers)

    def n_frames(self, n_samples: int) -> int:
        """30 s of frames, whatever the window."""
        return int(self.config.max_source_positions)

    def network_size(self) -> NetworkSize:
        """Parameters of the encoder that runs, and of the decoder that is loaded beside it."""
        stated = self.config.stated
        encoder = self.request.model.n_parameters
        inner, decoder_inner = stated("encoder_ffn_dim"), stated("decoder_ffn_dim")
        n_decoder, vocabulary = stated("decoder_layers"), stated("vocab_size")
        if None in (encoder, inner, decoder_inner, n_decoder, vocabulary):
            return built_size(self.config)
        width = int(self.config.hidden_size)
        # A block of the decoder also attends to the encoder.
        decoder = n_decoder * (block_size(width, decoder_inner) + 4 * width * width)
        total = encoder + decoder + vocabulary * width
        return NetworkSize(total, self.n_layers() * block_size(width, inner))

    def convolution_flops(self, n_samples: int) -> float:
        """Operations of the two convolutions over the spectrogram."""
        width = int(self.config.hidden_size)
        bands = int(self.config.num_mel_bins)
        return 2.0 * 3 * width * (2 * bands + width) * self.n_frames(n_samples)

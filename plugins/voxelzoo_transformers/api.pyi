"""Base classes for families of models: each name, and the module that defines it."""

from .configuration import NetworkConfig as NetworkConfig
from .cost import NetworkSize as NetworkSize, block_size as block_size, built_size as built_size
from .loading import load_model as load_model
from .specs import (
    SPEECH_OPTIONS as SPEECH_OPTIONS,
    TEXT_NEUTRAL_OPTIONS as TEXT_NEUTRAL_OPTIONS,
    TEXT_OPTIONS as TEXT_OPTIONS,
    TINY_WAVEFORM as TINY_WAVEFORM,
    speech_spec as speech_spec,
    text_spec as text_spec,
)
from .speech.attention import PositionBias as PositionBias, attention as attention
from .speech.encoder import (
    Block as Block,
    SoundBatch as SoundBatch,
    SpeechEncoder as SpeechEncoder,
    at_frame as at_frame,
)
from .speech.extractor import (
    SpeechExtractor as SpeechExtractor,
    WaveformExtractor as WaveformExtractor,
)
from .speech.waveform import WaveformEncoder as WaveformEncoder
from .speech.windows import WindowRule as WindowRule, conv_frames as conv_frames
from .text.extractor import (
    CausalLMExtractor as CausalLMExtractor,
    PredictionExtractor as PredictionExtractor,
)

"""Base classes for families of models: each name, and the module that defines it."""

from .configuration import NetworkConfig as NetworkConfig
from .cost import NetworkSize as NetworkSize
from .cost import block_size as block_size
from .cost import built_size as built_size
from .loading import load_model as load_model
from .specs import SPEECH_OPTIONS as SPEECH_OPTIONS
from .specs import TEXT_NEUTRAL_OPTIONS as TEXT_NEUTRAL_OPTIONS
from .specs import TEXT_OPTIONS as TEXT_OPTIONS
from .specs import TINY_WAVEFORM as TINY_WAVEFORM
from .specs import speech_spec as speech_spec
from .specs import text_spec as text_spec
from .speech.attention import PositionBias as PositionBias
from .speech.attention import attention as attention
from .speech.encoder import Block as Block
from .speech.encoder import SoundBatch as SoundBatch
from .speech.encoder import SpeechEncoder as SpeechEncoder
from .speech.encoder import at_frame as at_frame
from .speech.extractor import SpeechExtractor as SpeechExtractor
from .speech.extractor import WaveformExtractor as WaveformExtractor
from .speech.waveform import WaveformEncoder as WaveformEncoder
from .speech.windows import WindowRule as WindowRule
from .speech.windows import conv_frames as conv_frames
from .text.extractor import CausalLMExtractor as CausalLMExtractor
from .text.extractor import PredictionExtractor as PredictionExtractor

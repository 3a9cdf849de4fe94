"""Whisper speech encoders: hidden states at the ends of causal audio windows."""

"""WavLM speech models: hidden states at the ends of causal audio windows."""

"""Hidden states of speech encoders at the ends of causal windows of sound."""

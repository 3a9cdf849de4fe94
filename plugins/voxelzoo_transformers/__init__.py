"""Causal language models of the Hugging Face Hub, and base classes for model families."""

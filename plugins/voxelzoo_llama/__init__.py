"""LLaMA language models: hidden states of words in their preceding context."""

"""One run: what is to be done, states of models, fits, and their results."""

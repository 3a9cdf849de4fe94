"""Hidden states and predictions of language models at the words of a story."""

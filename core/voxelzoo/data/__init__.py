"""Opens, checks, guards, imports and fetches datasets."""

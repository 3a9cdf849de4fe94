"""Artefacts on disk, and results read from them."""

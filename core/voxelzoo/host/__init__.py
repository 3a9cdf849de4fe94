"""Finds, isolates, blocks and calls plugins, and reads the catalogue of models."""

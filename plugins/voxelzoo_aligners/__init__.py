"""Aligners: resample model states to scan times."""

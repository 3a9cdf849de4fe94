"""Datasets: published ones as they lie on disk, a plain folder, and a simulated one."""

"""Datasets: a plain folder, Alice in Wonderland, and a simulated one."""

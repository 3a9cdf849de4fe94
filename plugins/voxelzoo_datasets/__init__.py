"""Datasets: published studies, plain folders of your own data, and a simulated study."""

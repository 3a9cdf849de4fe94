"""What the WavLM models cite."""

CHEN2022WAVLM = """@article{chen2022wavlm,
  author = {Chen, Sanyuan and others},
  title = {{WavLM}: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing},
  journal = {IEEE Journal of Selected Topics in Signal Processing},
  year = {2022},
  eprint = {2110.13900},
  archivePrefix = {arXiv},
  volume = {16},
  number = {6},
  pages = {1505--1518},
  doi = {10.1109/JSTSP.2022.3188113},
}"""

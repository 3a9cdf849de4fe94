"""What the OPT models cite."""

ZHANG2022OPT = """@article{zhang2022opt,
  author = {Zhang, Susan and others},
  title = {{OPT}: Open Pre-trained Transformer Language Models},
  year = {2022},
  eprint = {2205.01068},
  archivePrefix = {arXiv},
}"""

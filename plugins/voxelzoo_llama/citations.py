"""What the LLaMA models cite."""

TOUVRON2023LLAMA = """@article{touvron2023llama,
  author = {Touvron, Hugo and others},
  title = {{LLaMA}: Open and Efficient Foundation Language Models},
  year = {2023},
  eprint = {2302.13971},
  archivePrefix = {arXiv},
}"""

TOUVRON2023LLAMA2 = """@article{touvron2023llama2,
  author = {Touvron, Hugo and others},
  title = {Llama 2: Open Foundation and Fine-Tuned Chat Models},
  year = {2023},
  eprint = {2307.09288},
  archivePrefix = {arXiv},
}"""

GRATTAFIORI2024LLAMA3 = """@article{grattafiori2024llama3,
  author = {Grattafiori, Aaron and others},
  title = {The {Llama} 3 Herd of Models},
  year = {2024},
  eprint = {2407.21783},
  archivePrefix = {arXiv},
}"""

"""What the Whisper models cite."""

RADFORD2023WHISPER = """@inproceedings{radford2023whisper,
  author = {Radford, Alec and Kim, Jong Wook and Xu, Tao and Brockman, Greg and McLeavey,
    Christine and Sutskever, Ilya},
  title = {Robust Speech Recognition via Large-Scale Weak Supervision},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2212.04356},
  archivePrefix = {arXiv},
  series = {Proceedings of Machine Learning Research},
  volume = {202},
  pages = {28492--28518},
}"""

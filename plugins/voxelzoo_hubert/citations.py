"""What the HuBERT models cite."""

HSU2021HUBERT = """@article{hsu2021hubert,
  author = {Hsu, Wei-Ning and Bolte, Benjamin and Tsai, Yao-Hung Hubert and Lakhotia, Kushal and
    Salakhutdinov, Ruslan and Mohamed, Abdelrahman},
  title = {{HuBERT}: Self-Supervised Speech Representation Learning by Masked Prediction of
    Hidden Units},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  year = {2021},
  eprint = {2106.07447},
  archivePrefix = {arXiv},
  volume = {29},
  pages = {3451--3460},
  doi = {10.1109/TASLP.2021.3122291},
}"""

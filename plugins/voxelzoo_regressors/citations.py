"""What the regressors cite."""

LIN2024STACKING = """@article{lin2024stacking,
  author = {Lin, Ruogu and Naselaris, Thomas and Kay, Kendrick and Wehbe, Leila},
  title = {Stacked regressions and structured variance partitioning for interpretable brain maps},
  journal = {NeuroImage},
  volume = {298},
  pages = {120772},
  year = {2024},
  doi = {10.1016/j.neuroimage.2024.120772},
}"""

DUPRELATOUR2022BANDED = r"""@article{duprelatour2022banded,
  author = {Dupr{\'e} la Tour, Tom and Eickenberg, Michael and Nunez-Elizalde, Anwar O. and
    Gallant, Jack L.},
  title = {Feature-space selection with banded ridge regression},
  journal = {NeuroImage},
  volume = {264},
  pages = {119728},
  year = {2022},
  doi = {10.1016/j.neuroimage.2022.119728},
}"""

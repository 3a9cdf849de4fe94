"""BibTeX entries of the datasets."""

BRENNAN2016 = """@article{brennan2016,
  author = {Brennan, Jonathan R. and Stabler, Edward P. and Van Wagenen, Sarah E. and Luh,
    Wen-Ming and Hale, John T.},
  title = {Abstract linguistic structure correlates with temporal activity during naturalistic
    comprehension},
  journal = {Brain and Language},
  volume = {157--158},
  pages = {81--94},
  year = {2016},
  doi = {10.1016/j.bandl.2016.04.008},
}"""

LEBEL2023 = """@article{lebel2023,
  author = {LeBel, Amanda and Wagner, Lauren and Jain, Shailee and Adhikari-Desai, Aneesh and
    Gupta, Bhavin and Morgenthal, Allyson and Tang, Jerry and Xu, Lixiang and Huth, Alexander G.},
  title = {A natural language {fMRI} dataset for voxelwise encoding models},
  journal = {Scientific Data},
  volume = {10},
  pages = {555},
  year = {2023},
  number = {1},
  doi = {10.1038/s41597-023-02437-z},
}"""

ANTONELLO2023SCALING = """@inproceedings{antonello2023scaling,
  author = {Antonello, Richard and Vaidya, Aditya and Huth, Alexander G.},
  title = {Scaling laws for language encoding models in {fMRI}},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023},
  eprint = {2305.11863},
  archivePrefix = {arXiv},
  volume = {36},
  pages = {21895--21907},
}"""

NASTASE2021 = """@article{nastase2021,
  author = {Nastase, Samuel A. and Liu, Yun-Fei and Hillman, Hanna and Zadbood, Asieh and
    Hasenfratz, Liat and Keshavarzian, Neggin and Chen, Janice and Honey, Christopher J. and
    Yeshurun, Yaara and Regev, Mor and Nguyen, Mai and Chang, Claire H. C. and Baldassano,
    Christopher and Lositsky, Olga and Simony, Erez and Chow, Michael A. and Leong, Yuan Chang
    and Brooks, Paula P. and Micciche, Emily and Choe, Gina and Goldstein, Ariel and Vanderwal,
    Tamara and Halchenko, Yaroslav O. and Norman, Kenneth A. and Hasson, Uri},
  title = {The ``{Narratives}'' {fMRI} dataset for evaluating models of naturalistic language
    comprehension},
  journal = {Scientific Data},
  volume = {8},
  pages = {250},
  year = {2021},
  doi = {10.1038/s41597-021-01033-3},
}"""

LI2022 = """@article{li2022,
  author = {Li, Jixing and Bhattasali, Shohini and Zhang, Shulin and Franzluebbers, Berta and
    Luh, Wen-Ming and Spreng, R. Nathan and Brennan, Jonathan R. and Yang, Yiming and Pallier,
    Christophe and Hale, John},
  title = {Le Petit Prince multilingual naturalistic {fMRI} corpus},
  journal = {Scientific Data},
  volume = {9},
  pages = {530},
  year = {2022},
  doi = {10.1038/s41597-022-01625-7},
}"""

ZADA2025 = """@article{zada2025,
  author = {Zada, Zaid and Nastase, Samuel A. and Aubrey, Bobbi and Jalon, Itamar and others},
  title = {The ``{Podcast}'' {ECoG} dataset for modeling neural activity during natural language
    comprehension},
  journal = {Scientific Data},
  volume = {12},
  pages = {1135},
  year = {2025},
  doi = {10.1038/s41597-025-05462-2},
}"""

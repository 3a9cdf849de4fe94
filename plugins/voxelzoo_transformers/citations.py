"""What the models of the Hugging Face hub cite."""

RADFORD2019GPT2 = """@techreport{radford2019gpt2,
  author = {Radford, Alec and Wu, Jeffrey and Child, Rewon and Luan, David and Amodei, Dario and
    Sutskever, Ilya},
  title = {Language Models are Unsupervised Multitask Learners},
  institution = {OpenAI},
  year = {2019},
}"""

BIDERMAN2023PYTHIA = """@inproceedings{biderman2023pythia,
  author = {Biderman, Stella and others},
  title = {Pythia: A Suite for Analyzing Large Language Models Across Training and Scaling},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2304.01373},
  archivePrefix = {arXiv},
  series = {Proceedings of Machine Learning Research},
  volume = {202},
  pages = {2397--2430},
}"""

BIGSCIENCE2022BLOOM = """@article{bigscience2022bloom,
  author = {{BigScience Workshop}},
  title = {{BLOOM}: A 176B-Parameter Open-Access Multilingual Language Model},
  year = {2022},
  eprint = {2211.05100},
  archivePrefix = {arXiv},
}"""

JIANG2023MISTRAL = """@article{jiang2023mistral,
  author = {Jiang, Albert Q. and others},
  title = {Mistral 7{B}},
  year = {2023},
  eprint = {2310.06825},
  archivePrefix = {arXiv},
}"""

JIANG2024MIXTRAL = """@article{jiang2024mixtral,
  author = {Jiang, Albert Q. and others},
  title = {Mixtral of Experts},
  year = {2024},
  eprint = {2401.04088},
  archivePrefix = {arXiv},
}"""

OLMO2025OLMO2 = """@article{olmo2025olmo2,
  author = {{Team OLMo}},
  title = {2 {OLMo} 2 Furious},
  year = {2025},
  eprint = {2501.00656},
  archivePrefix = {arXiv},
}"""

GEMMA2024GEMMA2 = """@article{gemma2024gemma2,
  author = {{Gemma Team}},
  title = {Gemma 2: Improving Open Language Models at a Practical Size},
  year = {2024},
  eprint = {2408.00118},
  archivePrefix = {arXiv},
}"""

GEMMA2025GEMMA3 = """@article{gemma2025gemma3,
  author = {{Gemma Team}},
  title = {Gemma 3 Technical Report},
  year = {2025},
  eprint = {2503.19786},
  archivePrefix = {arXiv},
}"""

QWEN2024QWEN25 = """@article{qwen2024qwen25,
  author = {{Qwen Team}},
  title = {{Qwen2.5} Technical Report},
  year = {2024},
  eprint = {2412.15115},
  archivePrefix = {arXiv},
}"""

QWEN2025QWEN3 = """@article{qwen2025qwen3,
  author = {{Qwen Team}},
  title = {{Qwen3} Technical Report},
  year = {2025},
  eprint = {2505.09388},
  archivePrefix = {arXiv},
}"""

BAEVSKI2020WAV2VEC2 = """@inproceedings{baevski2020wav2vec2,
  author = {Baevski, Alexei and Zhou, Yuhao and Mohamed, Abdelrahman and Auli, Michael},
  title = {wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020},
  eprint = {2006.11477},
  archivePrefix = {arXiv},
  volume = {33},
  pages = {12449--12460},
}"""

BAEVSKI2022DATA2VEC = """@inproceedings{baevski2022data2vec,
  author = {Baevski, Alexei and Hsu, Wei-Ning and Xu, Qiantong and Babu, Arun and Gu, Jiatao and
    Auli, Michael},
  title = {data2vec: A General Framework for Self-supervised Learning in Speech, Vision and
    Language},
  booktitle = {International Conference on Machine Learning},
  year = {2022},
  eprint = {2202.03555},
  archivePrefix = {arXiv},
  pages = {1298--1312},
}"""

SEAMLESS2023 = """@article{seamless2023,
  author = {{Seamless Communication}},
  title = {Seamless: Multilingual Expressive and Streaming Speech Translation},
  year = {2023},
  eprint = {2312.05187},
  archivePrefix = {arXiv},
}"""

TEXT_MODELS = (
    RADFORD2019GPT2,
    BIDERMAN2023PYTHIA,
    BIGSCIENCE2022BLOOM,
    JIANG2023MISTRAL,
    JIANG2024MIXTRAL,
    OLMO2025OLMO2,
    GEMMA2024GEMMA2,
    GEMMA2025GEMMA3,
    QWEN2024QWEN25,
    QWEN2025QWEN3,
)
"""Entries of causal language models."""

SPEECH_MODELS = (BAEVSKI2020WAV2VEC2, BAEVSKI2022DATA2VEC, SEAMLESS2023)
"""Entries of speech encoders."""

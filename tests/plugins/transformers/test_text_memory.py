"""Extraction keeps a batch, not a story."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import resource, sys
from text_models import extractor_for, story_of, tiny_row

layers = int(sys.argv[1])
row = tiny_row("opt", num_hidden_layers=layers, hidden_size=256, word_embed_proj_dim=256)
extractor = extractor_for(row)
extractor.load()
for block in extractor.extract(story_of(["word"] * 600), extractor.layers()):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for block in extractor.extract(story_of(["word"] * 5000), extractor.layers()):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def grown(layers: int) -> float:
    """MiB by which the peak grows from a story of 600 words to one of 5,000."""
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(layers)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ended.stdout)


@pytest.mark.slow
def test_peak_memory_of_5000_words_stays_flat_as_layers_double() -> None:
    """All states of the story would be 5 MiB a layer: 40 MiB more for 8 more layers."""
    few, many = grown(8), grown(16)
    assert many - few < 16
    assert many < 64

"""A family of models needs a few lines and two modules' names: ours, and anybody's."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelzoo_transformers.api as family_api
from hermetic import Site
from speech import assert_same_states, noise, plain_loop, story_of as sound_of
from text_models import story_of
from voxelzoo.api import ExtractorRequest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "tests" / "example_family"
OURS = ("whisper", "hubert", "wavlm", "opt", "llama")


def imported(package: Path) -> Iterator[tuple[str, str]]:
    """Every module of ours that a package imports, as (file, module)."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.split(".")[0].startswith("voxelzoo"):
                    yield path.name, name


@pytest.mark.parametrize(
    "package",
    [*(ROOT / "plugins" / f"voxelzoo_{name}" for name in OURS), EXAMPLE / "voxelzoo_family"],
    ids=lambda package: package.name,
)
def test_a_family_imports_only_the_public_api(package: Path) -> None:
    allowed = {"voxelzoo.api", "voxelzoo_transformers.api"}
    other = {
        (file, name)
        for file, name in imported(package)
        if name not in allowed and name.split(".")[0] != package.name
    }
    assert not other


def test_every_name_of_the_api_exists_and_says_what_it_is() -> None:
    for name in family_api.__all__:
        thing = getattr(family_api, name)
        assert not callable(thing) or name == "Block" or thing.__doc__, name


def test_the_example_in_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written there: two modules, which register and read a story."""
    text = (family_api.__doc__ or "").partition(".. code-block:: python\n")[2]
    lines = [line for line in text.splitlines() if line.startswith("    ") or not line]
    source = "\n".join(line[4:] for line in lines)
    plugin, _, extractor = source.partition("# acme_extractor.py\n")
    (tmp_path / "acme_plugin.py").write_text(plugin)
    (tmp_path / "acme_extractor.py").write_text(extractor)
    monkeypatch.syspath_prepend(str(tmp_path))

    (spec,) = importlib.import_module("acme_plugin").zoo_register_extractors()
    module, _, name = spec.target.partition(":")
    acme = getattr(importlib.import_module(module), name)(
        ExtractorRequest(spec.tiny, untrained=True)
    )

    assert acme.fingerprint()["first_tokens"] == [2]
    (block,) = acme.extract(story_of("once upon a time"), acme.layers())
    assert block.states.shape == (3, 4, 32)
    assert np.ptp(block.states[2], axis=0).all()  # words differ in every unit


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    plugin = importlib.import_module("voxelzoo_family.plugin")
    return {spec.name: spec for spec in plugin.zoo_register_extractors()}


def test_the_example_family_of_speech_encoders_equals_a_plain_loop(specs: dict[str, Any]) -> None:
    model = specs["unispeech"].tiny
    extractor = importlib.import_module("voxelzoo_family.extractor").UniSpeechExtractor(
        ExtractorRequest(model, untrained=True, options={"window": "1.0", "stride": "0.1"})
    )
    sound = noise(1.7)
    blocks = list(extractor.extract(sound_of(sound), extractor.layers()))
    states = np.concatenate([block.states for block in blocks], axis=1)
    assert_same_states(states, plain_loop(model, sound, 1.0, 0.1, normalise=True))


@pytest.mark.slow
def test_the_example_family_passes_zoo_check(tmp_path: Path) -> None:
    info = tmp_path / "voxelzoo_family-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voxelzoo-family\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[voxelzoo.plugins]\nfamily = voxelzoo_family.plugin\n")
    path = os.pathsep.join([str(tmp_path), str(EXAMPLE), os.environ.get("PYTHONPATH", "")])
    ended = Site(tmp_path).zoo("check", "family", PYTHONPATH=path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "family/gemma" in ended.stdout
    assert "family/unispeech" in ended.stdout


def test_examples_in_docstrings_are_true() -> None:
    from voxelzoo_transformers.speech import windows

    results = doctest.testmod(windows)
    assert results.attempted > 0
    assert results.failed == 0

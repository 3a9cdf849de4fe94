"""Edited code never returns the results of the code before."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from data_folder import write_study
from hermetic import Site
from voxelzoo.host import source_code
from voxelzoo.host.source_code import source_digest

PLUGIN = """
    from voxelzoo.api import AlignerSpec, ExtractorSpec, ModelEntry, RegressorSpec, hookimpl

    @hookimpl
    def zoo_register_extractors():
        yield ExtractorSpec("letters", "letters_heavy:Letters", "text", "Letters of a word.")

    @hookimpl
    def zoo_register_models():
        yield ModelEntry(name="letters", plugin="letters", modality="text")

    @hookimpl
    def zoo_register_aligners():
        yield AlignerSpec("boxes", "letters_heavy:Boxes", "Mean of states near a scan.")

    @hookimpl
    def zoo_register_regressors():
        yield RegressorSpec("plain", "letters_heavy:Plain", "Ridge.")
"""
HEAVY = """
    import numpy as np
    from voxelzoo.api import StateBlock
    from letters_more import scale

    class Letters:
        def __init__(self, request): pass
        def layers(self): return range(1)
        def fingerprint(self): return {}
        def times(self, story): return np.asarray(story.need_words().onsets)
        def extract(self, story, layers):
            n = [[[scale(len(word)) for word in story.words.text]]]
            yield StateBlock(0, np.asarray(n, dtype=np.float32).transpose(0, 2, 1))
        def close(self): pass

    class Boxes:
        def __init__(self, width="4"): self.width = float(width)
        def fingerprint(self): return {}
        def weights(self, times, scans):
            return (abs(scans[:, None] - times) < self.width).astype(np.float32)

    class Plain:
        def __init__(self, alpha=1.0): self.alpha = float(alpha)
        def get_params(self, deep=True): return {}
        def set_params(self, **values): return self
        def fit(self, X, Y, groups=None):
            X = np.asarray(X, float); A = X.T @ X + self.alpha * np.eye(X.shape[1])
            self.w = np.linalg.solve(A, X.T @ np.asarray(Y, float)); return self
        def predict(self, X): return np.asarray(X, float) @ self.w
"""
MORE = "def scale(n): return {expression}\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "source")
    more = {"letters_heavy": HEAVY, "letters_more": MORE.format(expression="n")}
    site.add("letters", {"letters": PLUGIN}, other=more)
    write_study(site.folder / "study", n_trs=40, n_voxels=3)
    return site


def run(site: Site, *more: str) -> list[str]:
    """The lines of a run, one a result."""
    call = ("run", "-q", "-p", "letters", "--dataset", "./study", "--delays", "1", "--store", "st")
    ended = site.zoo(*call, *more)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[1:]


def computed(lines: list[str]) -> bool:
    (line,) = lines
    return "yes" in line.split("\t")


def test_edited_code_is_run_again_and_unedited_code_is_not(site: Site) -> None:
    assert computed(run(site))
    assert not computed(run(site))
    more = site.folder / "letters_more.py"  # imported by the plugin, and no part of it
    more.write_text(MORE.format(expression="n ** 3 + n % 2"))
    assert computed(run(site))
    more.write_text(MORE.format(expression="n"))
    assert not computed(run(site))


@pytest.mark.parametrize(
    ("option", "plugin", "setting"),
    [("--aligner", "boxes", "width"), ("--regressor", "plain", "alpha")],
)
def test_an_option_that_a_plugin_does_not_account_for_is_in_the_key(
    site: Site, option: str, plugin: str, setting: str
) -> None:
    first, second = ((option, f"{plugin}:{setting}={value}") for value in (4, 9))
    assert computed(run(site, *first))
    assert computed(run(site, *second))
    assert not computed(run(site, *first))


def test_an_installed_distribution_with_hashes_needs_no_digest(tmp_path: Path) -> None:
    assert source_digest("numpy.linalg", "numpy") is None
    assert source_digest("voxelzoo.runs", "voxelzoo") is None
    assert source_digest("no_such_package", "no-such-distribution") is None


def test_a_digest_is_of_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "digested"
    package.mkdir()
    (package / "__init__.py").write_text("import os, numpy\n")
    seen = set()
    for name, text in [("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("c/d.py", "")]:
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text)
        source_code._digest.cache_clear()
        importlib.invalidate_caches()
        seen.add(source_digest("digested.a", "none"))
    assert len(seen) == 4
    assert None not in seen
    assert "digested" not in sys.modules
    assert len(hashlib.sha256().hexdigest()) == len(seen.pop() or "")

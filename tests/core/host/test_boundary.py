"""Whatever a plugin does ends in a line that names it, and the others go on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from data_folder import write_study
from hermetic import Site

PLUGIN = """
    from voxelzoo.api import DatasetSpec, ExtractorSpec, ModelEntry, RegressorSpec, hookimpl
    {top}

    @hookimpl
    def zoo_register_extractors():
        {hook}
        yield ExtractorSpec("odd", "odd_heavy:Odd", "text", "Odd.")

    @hookimpl
    def zoo_register_models():
        yield ModelEntry(name="odd-model", plugin="odd", modality="text"{row})

    @hookimpl
    def zoo_register_datasets():
        yield DatasetSpec("odd-data", "odd_heavy:Odd", "Odd.", needs_path=True,
                          recognise=lambda path: {recognise})
"""
HEAVY = """
    import os, sys, time
    import numpy as np
    from voxelzoo.api import StateBlock

    class Odd:
        def __init__(self, request):
            {init}
        def layers(self): return range(1)
        def fingerprint(self): return {fingerprint}
        def times(self, story): return {times}
        def extract(self, story, layers):
            {extract}
            words = story.need_words()
            states = np.random.default_rng(0).normal(size=(1, len(words.text), 3))
            yield StateBlock(0, {states})
        def close(self): pass
"""
DEFAULTS = {
    "top": "", "hook": "pass", "row": "", "recognise": "False", "init": "pass",
    "fingerprint": "{}", "times": "np.asarray(story.need_words().onsets)", "extract": "pass",
    "states": "states.astype(np.float32)",
}  # fmt: skip


def site(tmp_path: Path, **changed: str) -> Site:
    """A plugin with one fault."""
    parts = {**DEFAULTS, **changed}
    made = Site(tmp_path / "site")
    made.add(
        "odd-dist",
        {"odd": PLUGIN.format(**parts)},
        other={"odd_heavy": HEAVY.format(**parts)},
    )
    write_study(made.folder / "study", n_trs=40, n_voxels=3)
    return made


RUN = ("run", "-q", "--json", "--dataset", "folder:./study", "--delays", "1")

FAULTS = {
    "raises in the middle": {"extract": "raise ZeroDivisionError('odd')"},
    "SystemExit": {"extract": "raise SystemExit(0)"},
    "KeyboardInterrupt": {"extract": "raise KeyboardInterrupt"},
    "another BaseException": {"extract": "raise type('Odd', (BaseException,), {{}})('odd')"},
    "RecursionError": {"extract": "f = lambda: f(); f()"},
    "raises when built": {"init": "int('x')"},
    "exits when built": {"init": "sys.exit(3)"},
    "a fingerprint that is no JSON": {"fingerprint": "{'a': object()}"},
    "times that are lists of text": {"times": "['x']"},
    "times that are NaN": {"times": "np.asarray(story.words.onsets) * np.nan"},
    "times in milliseconds": {"times": "np.asarray(story.words.onsets) * 1000"},
    "times that decrease": {"times": "np.asarray(story.words.onsets)[::-1]"},
    "times in two columns": {"times": "np.ones((2, 2))"},
    "states that are a list": {"states": "states.tolist()"},
    "states of half precision": {"states": "states.astype(np.float16)"},
    "states that are whole numbers": {"states": "states.astype(int)"},
    "states of another width": {"row": ", n_layers=0, embed_dim=9"},
    "too few states": {"states": "states[:, :-1].astype(np.float32)"},
    "no block": {"extract": "return"},
}


def test_a_good_plugin_runs(tmp_path: Path) -> None:
    ended = site(tmp_path).zoo(*RUN, "-p", "odd-model")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=[] if i in (1, 10) else [pytest.mark.slow])
        for i, name in enumerate(FAULTS)
    ],
)
def test_a_fault_is_a_line_that_names_the_plugin_and_the_others_go_on(
    tmp_path: Path, fault: str
) -> None:
    ended = site(tmp_path, **FAULTS[fault]).zoo(*RUN, "-p", "odd-model", "-p", "word-rate")
    assert ended.returncode == 1, ended.stderr
    document = json.loads(ended.stdout)
    assert [result["model"] for result in document["results"]] == ["word-rate"]
    (line,) = [line for line in ended.stderr.splitlines() if "odd" in line]
    assert "internal error" not in line
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("top", "raise KeyboardInterrupt"),
        pytest.param("top", "import time; time.sleep(60)", marks=pytest.mark.slow),
        pytest.param("hook", "raise type('Odd', (BaseException,), {})", marks=pytest.mark.slow),
        ("hook", "import time; time.sleep(60)"),
        ("hook", "while True: yield ExtractorSpec('odd', 'odd_heavy:Odd', 'text', 'Odd.')"),
    ],
)
def test_a_hook_that_fails_or_never_ends_costs_only_its_plugin(
    tmp_path: Path, where: str, what: str
) -> None:
    begun = time.monotonic()
    made = site(tmp_path, **{where: what})
    ended = made.zoo("list", "--match", "word-rate", ZOO_PLUGIN_SECONDS="1")
    assert ended.returncode == 0, ended.stderr
    assert "word-rate" in ended.stdout
    assert "not loaded: odd (odd-dist)" in ended.stderr
    assert time.monotonic() - begun < 30


def test_what_a_plugin_prints_goes_to_stderr(tmp_path: Path) -> None:
    shout = "print('one'); os.write(1, b'two'); os.system('echo three')"
    made = site(tmp_path, top=f"import os; {shout}", init=shout, extract=shout)
    ended = made.zoo(*RUN, "-p", "odd-model")
    assert ended.returncode == 0, ended.stderr
    assert [result["model"] for result in json.loads(ended.stdout)["results"]] == ["odd-model"]
    for word in ("one", "two", "three"):
        assert word in ended.stderr


@pytest.mark.parametrize("recognise", ["__import__('time').sleep(60) or 1 / 0"])
def test_recognise_of_one_plugin_breaks_no_folder_of_another(
    tmp_path: Path, recognise: str
) -> None:
    made = site(tmp_path, recognise=recognise)
    ended = made.zoo("data", "describe", "./study", ZOO_PLUGIN_SECONDS="1")
    assert ended.returncode == 0, ended.stderr
    (made.folder / "empty").mkdir()
    ended = made.zoo("data", "describe", "./empty", ZOO_PLUGIN_SECONDS="1")
    assert ended.returncode == 6
    assert "odd/odd-data of odd-dist 1.2 failed" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("row", [", languages='en'", ", n_layers='three'"])
def test_a_row_with_a_bad_field_is_named(tmp_path: Path, row: str) -> None:
    made = site(tmp_path, row=row)
    assert "row 'odd-model'" in made.zoo("list").stderr
    checked = made.zoo("check", "odd")
    assert checked.returncode == 1
    assert "rows of the catalogue are valid\tfailed" in checked.stdout
    assert "row 'odd-model'" in made.zoo("doctor").stdout


@pytest.mark.slow
def test_an_alias_takes_no_name_away(tmp_path: Path) -> None:
    made = site(tmp_path, row=", aliases=('word-rate',)")
    assert made.zoo("show", "word-rate").returncode == 0
    assert "baselines/word-rate" in made.zoo("show", "word-rate", "--json").stdout

"""The examples in docstrings of the core give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

from floors import modules

EXAMPLES = [name for name, path in modules().items() if ">>> " in path.read_text()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_say(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted
    assert not results.failed

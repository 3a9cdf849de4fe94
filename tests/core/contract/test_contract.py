"""The contract is whole: what the host reads of plugins is declared, and it names none of them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from floors import CORE
from voxelzoo import api
from voxelzoo.contract import interfaces, regression
from voxelzoo.host.catalogue import load_catalogue
from voxelzoo.host.loading import load_host

SOURCES = sorted(CORE.rglob("*.py"))

READS_OTHER_OBJECTS = {
    "bounded_yaml.py": {"yaml"},
    "cli/application.py": {"import_module(module)", "parameter", "error"},
    "data/memory.py": {"words"},
    "host/catalogue_merging.py": {"registered.spec"},
    "host/loading.py": {"plugin"},
    "host/plugin_points.py": {"finder", "plugin"},
    "host/targets.py": {"target"},
    "reports/controls.py": {"record", "example"},
    "reports/curves.py": {"each.record", "old", "record", "result.record.scores"},
    "reports/laws.py": {"self.interaction"},
    "reports/options.py": {"options"},
    "runs/options.py": {"self"},
    "store/result_list.py": {"record"},
    "strict_yaml.py": {"yaml"},
    "testing/extractor_checks.py": {"self.tiny", "row"},
}
"""Where ``getattr`` and ``hasattr`` are used, and on what: records, specs and modules, none of them
an extractor, aligner, regressor or dataset."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_host_reads_plugins_objects_through_protocols_only(path: Path) -> None:
    read = {
        ast.unparse(node.args[0])
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
    }
    unknown = read - READS_OTHER_OBJECTS.get(str(path.relative_to(CORE)), set())
    assert not unknown, f"declare what is read of {unknown} in contract/"


def protocols() -> list[str]:
    return [
        name
        for module in (interfaces, regression)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and getattr(value, "_is_protocol", False)
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", protocols())
def test_every_protocol_is_api_and_documented(name: str) -> None:
    protocol = getattr(api, name)
    assert inspect.getdoc(protocol)
    for member, value in vars(protocol).items():
        if inspect.isfunction(value) and not member.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{member} has no docstring"


# ----------------------------------------------------------------------------------- no names

ENGLISH = {
    "alignment", "autocorrelation", "baselines", "datasets", "aligners", "regressors", "exact",
    "family", "features", "folder", "imported", "last", "mean", "position", "simulated", "speech",
    "sum", "transformers",
}  # fmt: skip
"""Names of plugins, models and tools that are also plain words: they may be part of a sentence or a
longer key, but not a whole string."""

ALLOWED = {
    # Examples in help texts: nothing is looked up by them.
    ("cli", "word-rate"),
    ("cli", "whisper-tiny"),
    ("cli", "whisper"),
    ("cli", "hubert"),
    ("cli", "opt"),
    ("cli", "lanczos"),
    ("cli", "ridge"),
    ("cli", "bootstrap-ridge"),
    ("reports", "ridge"),
    # Words of the host's own that happen to be names as well.
    ("contract", "position"),  # kinds of control
    ("contract", "autocorrelation"),
    ("reports", "position"),
    ("reports", "autocorrelation"),
    ("data", "features"),  # a folder of an imported dataset
    ("data", "mean"),  # an array
    ("recipes", "mean"),
    ("recipes", "last"),  # a layer
    ("runs", "last"),
    ("runs", "regressors"),  # a folder of the store
    ("recipes", "stacking"),  # a kind of figure
    ("testing", "transformers"),  # a package that a light module must not import
}
"""(folder, name)."""


def registered_names() -> set[str]:
    host = load_host(first_party_only=True)
    specs = (*host.extractors, *host.aligners, *host.regressors, *host.datasets)
    names = {each.spec.name for each in specs} | {record.name for record in host.records}
    for entry in load_catalogue(host).entries:
        names |= {entry.name, entry.family or entry.name}
    return names


def texts(path: Path) -> Iterator[str]:
    """String constants of a file that are not docstrings."""
    tree = parsed(path)
    documentation = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in documentation:
            yield text


def test_the_host_names_no_model_dataset_aligner_or_regressor() -> None:
    names = registered_names()
    assert {"whisper-large", "ridge", "lanczos", "alice", "features", "opt"} <= names
    named = []
    for path in SOURCES:
        folder = path.relative_to(CORE).parts[0].removesuffix(".py")
        for text in texts(path):
            words = set(re.findall(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", text)) - ENGLISH
            for name in names & ({text} | words):
                if (folder, name) not in ALLOWED:
                    named.append(f"{path.relative_to(CORE)}: {name!r} in {text[:60]!r}")
    assert not named, "\n".join(named)

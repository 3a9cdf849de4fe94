"""Tables of the pages list what there is."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from pages import ROOT
from voxelzoo.data.leaks import GUARDS
from voxelzoo.host.loading import load_host
from voxelzoo.recipes.reproduction import Status
from voxelzoo.science.ceilings import METHODS


def first_column(page: str, header: str) -> list[str]:
    """Names in the first column of the table whose header begins so."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.partition(f"\n| {header} |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    return [re.sub(r"`| \(default\)", "", row) for row in rows]


def datasets() -> list[str]:
    return [registered.spec.name for registered in load_host(first_party_only=True).datasets]


@pytest.mark.parametrize(
    ("page", "header", "names"),
    [
        ("your-data.md", "guard", list(GUARDS)),
        ("your-data.md", "name", datasets()),
        ("significance.md", "`--ceiling`", list(METHODS)),
        ("reproduce.md", "status", list(get_args(Status))),
    ],
    ids=["guards", "datasets", "ceilings", "statuses"],
)
def test_a_table_lists_what_there_is(page: str, header: str, names: list[str]) -> None:
    assert sorted(first_column(page, header)) == sorted(names)

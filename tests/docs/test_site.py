"""The site: built as CI builds it, complete, and without anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import voxelzoo
import voxelzoo.api
import voxelzoo_regressors
import voxelzoo_transformers.api
from command_reference import commands
from pages import ROOT
from roles import as_markdown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning; its notebook was executed on the way."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser would load of a page: scripts, styles, pictures, fonts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(given.get("href") or "")


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert not [each for each in loaded.addresses if re.match(r"(https?:)?//", each)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_notebook_shows_what_its_cells_gave(site: Path) -> None:
    page = (site / "from-python" / "index.html").read_text(encoding="utf-8")
    assert "Traceback" not in page
    assert "array(" in page or "dataframe" in page or "<img" in page


def test_the_reference_has_every_command_and_public_name(site: Path) -> None:
    page = (site / "reference" / "command-line" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{command.name.replace(" ", "-")}"' in page for command in commands())
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for module in (voxelzoo, voxelzoo.api, voxelzoo_regressors, voxelzoo_transformers.api):
        missing = [n for n in module.__all__ if f'id="{module.__name__}.{n}"' not in page]
        assert not missing, module.__name__
    assert ":class:" not in page


def test_no_page_asks_for_what_nobody_generated(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.search(
            r"<!-- (commands|exit codes|names of|notebook|file)", page.read_text("utf-8")
        )


def test_roles_become_markdown() -> None:
    assert as_markdown("See :class:`~a.b.Ridge` and :meth:`fit` ::") == "See `Ridge` and `fit`:"
    assert as_markdown("Examples\n\n::\n\n    code") == "Examples\n\n\n\n    code"
    assert as_markdown("As in [1]_.\n\n.. [1] A paper.") == "As in [1].\n\n1. A paper."

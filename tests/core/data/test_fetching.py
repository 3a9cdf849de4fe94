"""``zoo data fetch``: what arrives is what the manifest says, and an interruption costs nothing."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_folder import write_study
from voxelzoo.api import DataError
from voxelzoo.data.fetching import read_manifest
from zoo_cli import Zoo


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return write_study(tmp_path / "mirror", n_trs=60)


def write_manifest(path: Path, mirror: Path, base: str) -> Path:
    files = [
        {
            "path": str(file.relative_to(mirror)),
            "url": f"{base}/{file.relative_to(mirror)}",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(mirror.rglob("*"))
        if file.is_file()
    ]
    path.write_text(yaml.safe_dump({"files": files}))
    return path


@pytest.fixture
def manifest(tmp_path: Path, mirror: Path) -> Path:
    return write_manifest(tmp_path / "manifest.yaml", mirror, f"file://{mirror}")


@pytest.fixture
def served(mirror: Path) -> Iterator[str]:
    """The mirror on a server that knows no ranges, as many do not."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(mirror))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_fetched_is_a_dataset(zoo: Zoo, manifest: Path, tmp_path: Path) -> None:
    call = ("data", "fetch", "folder", tmp_path / "here", "--manifest", manifest, "--json", "-q")
    first = zoo(*call)
    assert first.code == 0, first.err
    assert (first.json["n_fetched"], first.json["n_kept"]) == (7, 0)
    assert not (tmp_path / "here" / ".parts").exists()
    assert zoo("run", "-p", "word-rate", "--dataset", tmp_path / "here", "-q").code == 0
    again = zoo(*call).json
    assert (again["n_fetched"], again["n_kept"], again["n_bytes"]) == (0, 7, 0)


def test_over_http(zoo: Zoo, mirror: Path, served: str, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "http.yaml", mirror, served)
    here = tmp_path / "here"
    digest = hashlib.sha256((mirror / "responses/ann/one.npy").read_bytes()).hexdigest()
    (here / ".parts").mkdir(parents=True)
    (here / ".parts" / digest).write_bytes(b"what was read before")
    ended = zoo("data", "fetch", "folder", here, "--manifest", manifest, "-q")
    assert ended.code == 0, ended.err
    for name in ("one", "two", "three"):
        np.testing.assert_array_equal(
            np.load(here / f"responses/ann/{name}.npy"),
            np.load(mirror / f"responses/ann/{name}.npy"),
        )


def test_a_download_continues_after_an_interruption(
    zoo: Zoo, mirror: Path, manifest: Path, tmp_path: Path
) -> None:
    here, file = tmp_path / "here", mirror / "responses/ann/one.npy"
    whole = file.read_bytes()
    (here / ".parts").mkdir(parents=True)
    (here / ".parts" / hashlib.sha256(whole).hexdigest()).write_bytes(whole[:3000])
    total = sum(p.stat().st_size for p in mirror.rglob("*") if p.is_file())
    ended = zoo("data", "fetch", "folder", here, "--manifest", manifest, "--json", "-q")
    assert ended.json["n_bytes"] == total - 3000
    assert (here / "responses/ann/one.npy").read_bytes() == whole


def test_other_content_is_refused_and_not_kept(
    zoo: Zoo, mirror: Path, manifest: Path, tmp_path: Path
) -> None:
    here, file = tmp_path / "here", mirror / "stories/one/words.csv"
    right = file.read_text()
    file.write_text(right + "more,1,2\n")
    call = ("data", "fetch", "folder", here, "--manifest", manifest, "-q")
    ended = zoo(*call)
    assert ended.code == 6
    assert "stories/one/words.csv" in ended.err
    assert "SHA-256" in ended.err
    assert not (here / "stories/one/words.csv").exists()
    file.write_text(right)
    assert zoo(*call).code == 0
    (here / "stories/one/words.csv").write_text("mine")
    ended = zoo(*call)
    assert ended.code == 6
    assert "move it away" in ended.err
    assert (here / "stories/one/words.csv").read_text() == "mine"


def test_what_cannot_be_reached_is_missing(
    zoo: Zoo, mirror: Path, manifest: Path, tmp_path: Path
) -> None:
    (mirror / "responses/ann/two.npy").unlink()
    call = ("data", "fetch", "folder", tmp_path / "here", "--manifest", manifest, "-q")
    ended = zoo(*call)
    assert ended.code == 5
    assert "two.npy" in ended.err
    assert (tmp_path / "here/responses/ann/one.npy").exists()


def test_without_checksums_the_commands_are_printed(zoo: Zoo, tmp_path: Path) -> None:
    ended = zoo("data", "fetch", "lebel2023", tmp_path / "there")
    assert ended.code == 5
    assert (
        f"datalad clone https://github.com/OpenNeuroDatasets/ds003020.git {tmp_path}" in ended.out
    )
    assert "no checksums of dataset" in ended.err
    assert not (tmp_path / "there").exists()
    document = zoo("data", "fetch", "lebel2023", tmp_path / "there", "--json")
    assert document.json["commands"]
    assert zoo("data", "fetch", "simulated", tmp_path / "there").code == 2
    assert zoo("data", "fetch", "nobody", tmp_path / "there").code == 3


GOOD = {"path": "a/b.csv", "url": "https://example.org/b.csv", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"files": []}, "files"),
        ({"files": [GOOD, GOOD]}, "a/b.csv is listed twice"),
        ({"files": [GOOD | {"sha256": "abc"}]}, "files.0.sha256"),
        ({"files": [GOOD | {"path": "../b.csv"}]}, "files.0.path"),
        ({"files": [GOOD | {"path": "/etc/passwd"}]}, "files.0.path"),
        ({"files": [GOOD | {"path": ".parts/x"}]}, "files.0.path"),
        ({"files": [GOOD | {"url": "b.csv"}]}, "files.0.url"),
        ({"files": [GOOD | {"md5": "0"}]}, "files.0.md5"),
        ([], "content"),
        (None, "content"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, content: object, said: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=r"manifest.yaml") as caught:
        read_manifest(path)
    assert said in str(caught.value)

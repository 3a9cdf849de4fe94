"""Files of the public formats, damaged: they are read, or one line names the file and the fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, strategies as st

import brain_images
from damage import damaged_bytes, damaged_text, examples, reads_or_names
from voxelzoo.api import Words, ZooError
from voxelzoo_datasets import images, narratives
from voxelzoo_datasets.pickles import read_pickle
from voxelzoo_datasets.tables import make_words, place_untimed, read_table

ROWS = np.random.default_rng(0).normal(size=(6, 4))
GENTLE = {
    "words": [
        {"case": "success", "word": "one", "start": 0.5, "end": 0.75},
        {"case": "not-found-in-audio", "word": "two"},
        {"case": "success", "word": "three", "start": 1.5, "end": 2.25},
    ]
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damaged")
    brain_images.labelled(root / "mask.nii.gz", [1, 1, 1, 1])
    for name in ("volume.nii", "volume.nii.gz"):
        brain_images.volume(root / name, ROWS, 2.0)
    brain_images.surface(root / "surface.func.gii", ROWS)
    brain_images.cifti(root / "cifti.dtseries.nii", ROWS, 2.0)
    joblib.dump({"a": ROWS, "b": [np.float32(1), "x", {"y": None}]}, root / "plain.jbl")
    joblib.dump({"a": ROWS, "b": [np.float32(1), "x", {"y": None}]}, root / "packed.jbl", 3)
    (root / "align.json").write_text(json.dumps(GENTLE, indent=1))
    (root / "align.csv").write_text("one,one,0.5,0.75\ntwo,<unk>,,\nthree,three,1.5,2.25\n")
    (root / "events.tsv").write_text(
        "onset\tduration\ttrial_type\tstim_file\n0.0\t13.0\tmusic\tpieman_audio.wav\n"
        "15.0\t422.0\tstory\tpieman_audio.wav\n"
    )
    (root / "confounds.tsv").write_text("csf\ttrans_x\n1.0\tn/a\n2.0\t0.5\n3.0\t-0.5\n")
    (root / "words.csv").write_text("word,onset,offset,section\na,1,2,1\nb,2,3,1\n")
    return root


def read_image(path: Path) -> np.ndarray:
    images.header_tr(path)
    images.n_volumes(path)
    mask = images.load_image(path.with_name("mask.nii.gz"))
    rows, _ = images.read_rows([path], mask)
    assert rows.ndim == 2
    assert rows.dtype == np.float32
    return rows


def read_aligned(path: Path) -> Words:
    items = narratives._from_json(path) if path.suffix == ".json" else narratives._from_csv(path)
    words = make_words(path, place_untimed(path, items, "spread"))
    assert np.isfinite(words.onsets).all()
    return words


def read_word_table(path: Path) -> Words:
    rows = read_table(path, need=("word", "onset", "offset", "section"))
    items = [(row.text("word"), row.number("onset"), row.number("offset")) for row in rows]
    return make_words(path, items)


READERS: dict[str, Callable[[Path], Any]] = {
    "volume.nii": read_image,
    "volume.nii.gz": read_image,
    "surface.func.gii": read_image,
    "cifti.dtseries.nii": read_image,
    "plain.jbl": read_pickle,
    "packed.jbl": read_pickle,
    "align.json": read_aligned,
    "align.csv": read_aligned,
    "events.tsv": narratives._first_event,
    "confounds.tsv": lambda path: images.read_confounds(path, ["trans_*", "csf"]),
    "words.csv": read_word_table,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
@examples(60)
@given(data=st.data())
def test_a_damaged_file_is_read_or_named(here: Path, name: str, data: st.DataObject) -> None:
    path = here / name
    whole = path.read_bytes()
    text = path.suffix in (".json", ".csv", ".tsv", ".gii") and data.draw(st.booleans())
    raw = data.draw(damaged_text(whole.decode()) if text else damaged_bytes(whole))
    try:
        path.write_bytes(raw)
        reads_or_names(lambda: READERS[name](path), path)
    finally:
        path.write_bytes(whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in READERS if READERS[name] is read_image])
def test_an_undamaged_image_gives_its_rows(here: Path, name: str) -> None:
    np.testing.assert_allclose(read_image(here / name), ROWS, atol=1e-6)
    assert images.n_volumes(here / name) == len(ROWS)


@pytest.mark.parametrize("name", ["plain.jbl", "packed.jbl"])
def test_an_undamaged_pickle_gives_its_content(here: Path, name: str) -> None:
    content = READERS[name](here / name)
    np.testing.assert_array_equal(content["a"], ROWS)
    assert content["b"] == [1.0, "x", {"y": None}]


@pytest.mark.parametrize("name", ["align.json", "align.csv"])
def test_an_undamaged_alignment_gives_its_words(here: Path, name: str) -> None:
    words = read_aligned(here / name)
    assert words.text[::2] == ("one", "three")
    np.testing.assert_array_equal(words.onsets, [0.5, 0.75, 1.5])
    np.testing.assert_array_equal(words.offsets, [0.75, 1.5, 2.25])


def test_undamaged_tables_give_their_values(here: Path) -> None:
    assert READERS["events.tsv"](here / "events.tsv") == ("pieman", 0.0)
    np.testing.assert_array_equal(
        READERS["confounds.tsv"](here / "confounds.tsv"), [[0, 1], [0.5, 2], [-0.5, 3]]
    )
    words = read_word_table(here / "words.csv")
    assert words.text == ("a", "b")
    np.testing.assert_array_equal(words.onsets, [1, 2])


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_without_its_content_is_refused(here: Path, name: str, content: bytes) -> None:
    path = here / name
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(ZooError, match=name):
            READERS[name](path)
    finally:
        path.write_bytes(whole)

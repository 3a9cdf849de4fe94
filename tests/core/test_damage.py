"""Thousands of damaged files: a line that names the file and the fault, or what the file says."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given, strategies as st

from damage import damaged_bytes, damaged_text, examples, reads_or_names
from data_folder import write_study
from voxelzoo.api import DataError, Words, read_textgrid, read_words_csv
from voxelzoo.data.check import check_dataset
from voxelzoo.data.opening import open_dataset
from voxelzoo.host.catalogue import load_catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host
from voxelzoo_datasets.description import Description, read_description
from voxelzoo_datasets.lebel import LebelDataset
from voxelzoo_datasets.triggers import read_report

WORDS = "word,onset,offset\n" + "".join(f"w{i},{i * 0.5},{i * 0.5 + 0.4}\n" for i in range(8))
GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 4\n'
    "tiers? <exists>\nsize = 2\nitem []:\n"
    + "".join(
        f'    item [{tier}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
        "        xmin = 0\n        xmax = 4\n        intervals: size = 4\n"
        + "".join(
            f"        intervals [{i + 1}]:\n            xmin = {i}\n            xmax = {i + 1}\n"
            f'            text = "{label}"\n'
            for i, label in enumerate(("sp", "one", "two", "three"))
        )
        for tier, name in ((1, "phone"), (2, "word"))
    )
)
SHORT_GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n4\n<exists>\n1\n'
    '"IntervalTier"\n"word"\n0\n4\n4\n'
    '0\n1\n"sp"\n1\n2\n"one"\n2\n3\n"two"\n3\n4\n"three"\n'
)
REPORT = "5.0 init-trigger\n" + "".join(f"{5 + 2 * i}.0 trigger\n" for i in range(1, 30))
REPORT = REPORT.replace("15.0 trigger\n", "15.0 trigger\n15.1 sound-start\n")
DESCRIPTION = yaml.safe_dump(
    {
        "name": "study",
        "tr": 2.0,
        "start": 0.0,
        "stories": {"train": ["one", "two"], "test": ["three"]},
        "subjects": ["ann"],
        "licence": "CC0",
    }
)


def are_words(words: object) -> bool:
    """Whether times are finite and in order, whatever the damage."""
    assert isinstance(words, Words)
    assert len(words)
    assert np.isfinite(words.onsets).all()
    assert (np.diff(words.onsets) >= 0).all()
    assert (words.offsets >= words.onsets).all()
    return True


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


@examples(800)
@given(raw=damaged_text(WORDS))
def test_words_csv(here: Path, raw: bytes) -> None:
    file = here / "words.csv"
    file.write_bytes(raw)
    words = reads_or_names(lambda: read_words_csv(file), file)
    if words is not None:
        assert are_words(words)
        assert isinstance(words, Words)
        # What is read is what a plain reader of the file sees, row by row.
        rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
        names = {name.strip().lower(): name for name in rows[0] if isinstance(name, str)}
        seen = [(r[names["word"]].strip(), float(r[names["onset"]])) for r in rows]
        assert seen == list(zip(words.text, words.onsets, strict=True))


@examples(800)
@given(raw=st.one_of(damaged_text(GRID), damaged_text(SHORT_GRID)))
def test_textgrid(here: Path, raw: bytes) -> None:
    file = here / "story.TextGrid"
    file.write_bytes(raw)
    words = reads_or_names(lambda: read_textgrid(file), file)
    assert words is None or are_words(words)


@examples(800)
@given(raw=damaged_text(REPORT))
def test_trigger_log(here: Path, raw: bytes) -> None:
    file = here / "story.report"
    file.write_bytes(raw)
    triggers: Any = reads_or_names(lambda: read_report(file), file)
    if triggers is not None:
        assert np.isfinite(triggers.times).all()
        assert (np.diff(triggers.times) > 0).all()
        assert len(triggers.times) < 10_000
        gaps = np.diff(triggers.times)
        assert gaps.max() <= 1.6 * np.median(gaps) + 1e-9


@examples(500)
@given(raw=damaged_text(DESCRIPTION))
def test_dataset_yaml(here: Path, raw: bytes) -> None:
    file = here / "dataset.yaml"
    file.write_bytes(raw)
    said = reads_or_names(lambda: read_description(file), file)
    if said is not None:
        assert isinstance(said, Description)
        assert 0 < said.tr < float("inf")
        assert not set(said.stories.train) & set(said.stories.test)
        for name in (*said.stories.train, *said.stories.test, *said.subjects):
            assert (Path("a") / name).resolve().parent == Path("a").resolve()


@pytest.fixture(scope="module")
def host() -> Host:
    return load_host()


@examples(150)
@given(
    raw=damaged_text(
        "schema_version: 1\nmodels:\n- name: mine\n  plugin: opt\n  modality: text\n"
        "  repo: a/b\n  n_layers: 2\n  embed_dim: 8\n"
    )
)
def test_registry_yaml(here: Path, host: Host, raw: bytes) -> None:
    file = here / "registry.yaml"
    file.write_bytes(raw)
    reads_or_names(lambda: load_catalogue(host, [file]), file)


READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "words.csv": (read_words_csv, WORDS),
    "story.TextGrid": (read_textgrid, GRID),
    "short.TextGrid": (read_textgrid, SHORT_GRID),
    "story.report": (read_report, REPORT),
    "dataset.yaml": (read_description, DESCRIPTION),
}


@pytest.mark.parametrize("name", READERS)
def test_the_file_before_any_damage_is_read(here: Path, name: str) -> None:
    read, whole = READERS[name]
    (here / name).write_text(whole)
    assert read(here / name)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("words.csv", "w3,1.5,1.9", ",1.5,1.9"),  # a silence
        ("words.csv", "w3,1.5,1.9", '"a, b",1.5,1.9'),
        ("words.csv", "w3,1.5,1.9", "nan,1.5,1.9"),  # a word like any other
        ("words.csv", "word,onset,offset", " Word,ONSET , offset"),
        ("story.TextGrid", '"two"', '""'),
        ("story.TextGrid", '"two"', '"inf"'),
        ("story.report", "11.0 trigger", "11.0 button"),  # a lost trigger, which is put back
        ("dataset.yaml", "start: 0.0", "start: -1"),
        ("dataset.yaml", "licence: CC0", "licence: null"),
        ("dataset.yaml", "name: study", "name: é"),
    ],
)
def test_what_is_unusual_but_right_is_read(here: Path, name: str, old: str, new: str) -> None:
    read, whole = READERS[name]
    assert old in whole
    (here / name).write_text(whole.replace(old, new))
    assert read(here / name)


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("words.csv", "word,onset", "text,onset", "words.csv:1: no column word"),
        ("words.csv", "w3,1.5,1.9", "w3,nan,1.9", "word 4 ('w3') has no finite time"),
        ("words.csv", "w3,1.5,1.9", "w3,1e400,1.9", "word 4 ('w3') has no finite time"),
        ("words.csv", "w3,1.5,1.9", "w3,1.5,", "words.csv:5: onset '1.5' and offset ''"),
        ("words.csv", "w3,1.5,1.9", "w3,1.5", "words.csv:5: 2 fields, expected 3"),
        ("words.csv", "w3,1.5,1.9", "w3,1,5,1,9", "words.csv:5: 5 fields, expected 3"),
        ("words.csv", "w3,1.5,1.9", "w3,-1,1.9", "begins at -1 s, before the word"),
        ("words.csv", "w3,1.5,1.9", '"w3,1.5,1.9', "is closed in a later line"),
        ("words.csv", "w3", "w\0", "NUL"),
        ("story.TextGrid", "xmin = 2\n", "xmin = nan\n", "expected a number"),
        ("story.TextGrid", "size = 4", "size = 5", "expected a number"),
        ("story.TextGrid", '"two"', '"two', "expected a number"),
        ("short.TextGrid", '"one"\n', "", "expected text"),
        ("story.report", "11.0 trigger", "nan trigger", "story.report:4"),
        ("story.report", "11.0 trigger", "99 trigger", "a trigger at 13 s, not after the last"),
        ("dataset.yaml", "tr: 2.0", "tr: 0", "tr: input should be greater than 0"),
        ("dataset.yaml", "tr: 2.0", "tr: fast", "tr: input should be a valid number"),
        ("dataset.yaml", "tr: 2.0", "ty: 2.0", "ty: no such field"),
        ("dataset.yaml", "  - three", "  - one", "'one' is in both train and test"),
        ("dataset.yaml", "name: study", "name: ../x", "'../x' is not a valid folder name"),
        ("dataset.yaml", "- ann", "- !!python/object/apply:os.system [x]", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(here: Path, name: str, old: str, new: str, line: str) -> None:
    read, whole = READERS[name]
    assert old in whole
    (here / name).write_text(whole.replace(old, new))
    with pytest.raises(DataError) as caught:
        read(here / name)
    assert name in str(caught.value)
    assert line in str(caught.value)


# -------------------------------------------------------------------------------- whole folders

FILES = (
    "dataset.yaml",
    "stories/one/words.csv",
    "stories/three/words.csv",
    "responses/ann/one.npy",
    "responses/bob/three.npy",
    "responses/ann/voxels.csv",
)


@pytest.fixture(scope="module")
def study(here: Path) -> Path:
    root = write_study(here / "study", n_trs=20, n_voxels=5, subjects=("ann", "bob"))
    (root / "responses/ann/voxels.csv").write_text("label\n" + "AC\n" * 5)
    return root


@examples(250)
@given(data=st.data(), file=st.sampled_from(FILES))
def test_a_folder_with_a_damaged_file(
    study: Path, host: Host, data: st.DataObject, file: str
) -> None:
    """The report goes through, says nothing of tracebacks, and names the file that it refuses."""
    path = study / file
    whole = path.read_bytes()
    text = file.endswith((".csv", ".yaml"))
    raw = data.draw(damaged_text(whole.decode()) if text else damaged_bytes(whole))
    try:
        path.write_bytes(raw)
        errors = report_errors(host, study)
        for kind, line in errors:
            assert "the dataset plugin fails" not in line, line
            assert "\n" not in line, line
            if kind in ("dataset", "story", "clock"):
                assert any(name in line for name in (path.name, "no story", "no subject", "TRs")), (
                    line
                )
    finally:
        path.write_bytes(whole)


def report_errors(host: Host, root: Path) -> list[tuple[str, str]]:
    """(kind, message) of each error that ``zoo data check`` would list."""
    try:
        dataset = open_dataset(host, str(root))
    except DataError as error:
        return [("dataset", str(error))]
    report = check_dataset(dataset)
    return [(f.kind, f.message) for f in report.findings if f.severity == "error"]


def rows(file: str, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], str]:
    def damage(root: Path) -> str:
        np.save(
            root / "responses" / f"{file}.npy", edit(np.load(root / "responses" / f"{file}.npy"))
        )
        return file.partition("/")[2]

    return damage


def remove(path: str) -> Callable[[Path], str]:
    def damage(root: Path) -> str:
        target = root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return target.name

    return damage


WRONG = st.one_of(
    st.integers(1, 19).map(lambda n: rows("ann/one", lambda y: y[:-n])),
    st.integers(1, 30).map(lambda n: rows("ann/two", lambda y: np.concatenate([y, y[:1]] * n))),
    st.integers(1, 4).map(lambda n: rows("bob/two", lambda y: y[:, n:])),
    st.sampled_from((complex, "U5", bool)).map(lambda t: rows("bob/one", lambda y: y.astype(t))),
    st.just(rows("ann/three", lambda y: y[None, None])),
    st.just(rows("ann/three", lambda y: y.ravel())),
    st.just(rows("ann/three", lambda y: y * np.inf)),
    st.just(rows("ann/three", lambda y: y[:0])),
    st.just(rows("ann/three", lambda y: np.full_like(y, np.nan))),
    st.just(rows("ann/three", lambda y: np.full_like(y, 3.0))),
    st.sampled_from(
        (
            "stories/one",
            "stories/one/words.csv",
            "responses/ann/two.npy",
            "responses/bob",
            "dataset.yaml",
        )
    ).map(remove),
)


@examples(60)
@given(damage=WRONG)
def test_a_folder_that_is_wrong_is_never_called_right(
    here: Path, study: Path, host: Host, damage: Callable[[Path], str]
) -> None:
    wrong = here / "wrong"
    shutil.rmtree(wrong, ignore_errors=True)
    shutil.copytree(study, wrong)
    damage(wrong)
    assert report_errors(host, wrong)


# --------------------------------------------------------------------------- the lab's layout


@pytest.fixture(scope="module")
def lebel(here: Path) -> Path:
    root = here / "lebel"
    derivative = root / "derivative"
    (derivative / "TextGrids").mkdir(parents=True)
    (derivative / "preprocessed_data" / "UTS03").mkdir(parents=True)
    (root / "trfiles").mkdir()
    for seed, story in enumerate(("alpha", "wheretheressmoke")):
        (derivative / "TextGrids" / f"{story}.TextGrid").write_text(GRID)
        (root / "trfiles" / f"{story}.report").write_text(
            REPORT + "".join(f"{65 + 2 * i}.0 trigger\n" for i in range(20))
        )
        rng = np.random.default_rng(seed)
        with h5py.File(derivative / "preprocessed_data" / "UTS03" / f"{story}.hf5", "w") as file:
            file["data"] = rng.normal(size=(30, 4))
    (derivative / "respdict.json").write_text(json.dumps({"alpha": 50, "wheretheressmoke": 50}))
    return root


LEBEL_FILES = (
    "derivative/TextGrids/alpha.TextGrid",
    "derivative/respdict.json",
    "derivative/preprocessed_data/UTS03/alpha.hf5",
    "trfiles/alpha.report",
)


@examples(250)
@given(data=st.data(), file=st.sampled_from(LEBEL_FILES))
def test_the_lab_layout_with_a_damaged_file(
    lebel: Path, host: Host, data: st.DataObject, file: str
) -> None:
    path = lebel / file
    whole = path.read_bytes()
    binary = file.endswith("hf5")
    raw = data.draw(damaged_bytes(whole) if binary else damaged_text(whole.decode()))
    try:
        path.write_bytes(raw)
        for kind, line in report_errors(host, lebel):
            assert "the dataset plugin fails" not in line, line
            assert "\n" not in line, line
            if kind in ("dataset", "story", "clock", "responses"):
                assert path.name in line, line
    finally:
        path.write_bytes(whole)


@examples(200)
@given(lost=st.sets(st.integers(1, 48), max_size=12))
def test_triggers_that_were_not_logged_never_move_the_clock(lebel: Path, lost: set[int]) -> None:
    """Lost triggers are put back, or the log is refused: no row is ever a volume off."""
    path = lebel / "trfiles/alpha.report"
    whole = path.read_text()
    right = LebelDataset(lebel).clock("alpha")
    lines = whole.splitlines(keepends=True)
    triggers = [line for line in lines if "trigger" in line]
    gone = {triggers[i] for i in lost}
    try:
        path.write_text("".join(line for line in lines if line not in gone))
        clock: Any = reads_or_names(lambda: LebelDataset(lebel).clock("alpha"), path)
        if clock is not None:
            assert abs(clock.times - right.times).max() < 0.2
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("lost", ["first", "second"])
def test_a_lost_first_trigger_does_not_shift_the_clock(lebel: Path, lost: str) -> None:
    path = lebel / "trfiles/alpha.report"
    whole = path.read_text()
    right = LebelDataset(lebel).clock("alpha")
    lines = whole.splitlines(keepends=True)
    del lines[0 if lost == "first" else 1]
    try:
        path.write_text("".join(lines))
        clock: Any = reads_or_names(lambda: LebelDataset(lebel).clock("alpha"), path)
        assert clock is None or abs(clock.times - right.times).max() < 0.2
    finally:
        path.write_text(whole)

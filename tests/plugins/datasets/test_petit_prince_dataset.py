"""ds003643 in miniature: nine runs whose labels do not count from one, three languages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import brain_images
from heard import answer, word_times
from voxelzoo.api import DataError, Dataset, UsageError
from voxelzoo_datasets.petit_prince import PetitPrinceDataset
from voxelzoo_datasets.plugin import is_bids, is_narratives, is_petit_prince
from zoo_cli import Zoo

TR = 2.0
VOLUMES = [60 + 3 * i for i in range(9)]
LABELS = (8, 9, 10, 11, 12, 13, 14, 15, 17)
"""As published runs are labelled; by name, run-10 would come before run-8."""


def image(root: Path, subject: str, label: int) -> Path:
    name = f"{subject}_task-lpp{subject[4:6]}_run-{label}_space-MNIColin27_desc-preproc_bold.nii.gz"
    return root / "derivatives" / subject / "func" / name


def table(root: Path, language: str = "EN") -> Path:
    return root / "annotation" / language / f"lpp{language}_word_information.csv"


@pytest.fixture
def prince(tmp_path: Path) -> Path:
    """Two English listeners, one of whom lacks a run, and a Chinese one."""
    rng = np.random.default_rng(0)
    heard = [word_times(rng, TR * n - 8) for n in VOLUMES]
    for language in ("EN", "CN"):
        lines = [
            f"{i},{language}{section}w{i},{a},{b},{section}"
            for section, words in enumerate(heard, start=1)
            for i, (a, b) in enumerate(words)
        ]
        path = table(tmp_path, language)
        path.parent.mkdir(parents=True)
        path.write_text(",word,onset,offset,section\n" + "\n".join(lines) + "\n")
    for subject in ("sub-EN057", "sub-EN058", "sub-CN001"):
        for label, n, words in zip(LABELS, VOLUMES, heard, strict=True):
            if (subject, label) == ("sub-EN058", 12):
                continue
            rows = 1000 + answer(rng, words, TR * np.arange(n), TR)
            brain_images.volume(image(tmp_path, subject, label), rows, TR)
    brain_images.labelled(tmp_path / "mask.nii.gz", [1, 1])
    return tmp_path


def opened(root: Path, **options: str) -> PetitPrinceDataset:
    return PetitPrinceDataset(
        root, **({"language": "EN", "mask": str(root / "mask.nii.gz")} | options)
    )


def test_the_published_layout_is_read(prince: Path) -> None:
    dataset = opened(prince)
    assert isinstance(dataset, Dataset)
    assert is_petit_prince(prince)
    assert not is_narratives(prince)
    assert not is_bids(prince)
    assert dataset.subjects() == ("sub-EN057",)
    assert dataset.unusable_subjects() == {"sub-EN058": "has 8 runs, not 9"}
    assert dataset.train_stories() == tuple(f"section{i}" for i in range(1, 9))
    assert dataset.test_stories() == ("section9",)
    assert dataset.story("section2").need_words().text[0] == "EN2w0"
    assert opened(prince, language="CN").story("section2").need_words().text[0] == "CN2w0"
    assert opened(prince, test="section3").test_stories() == ("section3",)


def test_sections_are_runs_in_the_order_they_were_acquired(prince: Path) -> None:
    dataset = opened(prince)
    assert [dataset.clock(f"section{i}").n_trs for i in range(1, 10)] == VOLUMES
    assert {(dataset.clock(s).tr, dataset.clock(s).start) for s in dataset.train_stories()} == {
        (2.0, 0.0)
    }


def test_without_a_mask_one_is_made_of_each_listeners_first_run(prince: Path) -> None:
    """A bright ball is brain; the dim air around it is not."""
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(*[np.arange(20) - 9.5] * 3, indexing="ij"))
    ball = (at**2).sum(axis=0) < 49
    for label in LABELS:
        grid = np.where(ball, 1000, 10)[..., None] + rng.normal(size=(20, 20, 20, 12))
        made = brain_images.nibabel.Nifti1Image(grid.astype(np.float32), brain_images.AFFINE)
        made.header.set_xyzt_units("mm", "sec")
        made.header.set_zooms((3, 3, 3, TR))
        brain_images.nibabel.save(made, image(prince, "sub-EN057", label))
    dataset = PetitPrinceDataset(prince, language="EN")
    counts = {dataset.responses("sub-EN057", f"section{i}").shape[1] for i in (1, 9)}
    assert len(counts) == 1
    assert abs(counts.pop() - ball.sum()) < 0.05 * ball.sum()


def test_it_runs_end_to_end(prince: Path, zoo: Zoo) -> None:
    options = ["--dataset-option=language=EN", f"--dataset-option=mask={prince / 'mask.nii.gz'}"]
    checked = zoo("data", "check", prince, *options, "--json")
    assert checked.json["ok"], checked.out
    said = [found["message"] for found in checked.json["findings"]]
    assert "section1: 60 TRs, published with 282" in said
    ended = zoo("run", "--plugin", "word-rate", "--dataset", prince, *options, "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json["results"]
    assert (record["dataset"], record["subject"]) == ("petit-prince", "sub-EN057")
    assert (record["n_train"], record["n_test"]) == (sum(VOLUMES[:8]), VOLUMES[8])
    assert record["best_voxel_r"] > 0.6


def test_a_language_must_be_chosen_where_there_are_several(prince: Path) -> None:
    with pytest.raises(UsageError, match=r"listeners of CN, EN; choose one: .*language=EN"):
        PetitPrinceDataset(prince)
    with pytest.raises(UsageError, match=r"language='DE': must be CN or EN or FR"):
        PetitPrinceDataset(prince, language="DE")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: table(root).unlink(), "lppEN_word_information.csv: cannot be read"),
        (
            lambda root: table(root).write_text("word,onset,offset\na,1,2\n"),
            "csv:1: no column section",
        ),
        (
            lambda root: table(root).write_text("word,onset,offset,section\na,1,2,1\nb,x,3,1\n"),
            "csv:3: onset is 'x', expected a number",
        ),
        (
            lambda root: table(root).write_text("word,onset,offset,section\na,1,2,2\n"),
            "no words of section 1",
        ),
        (
            lambda root: table(root).write_text("/annex/objects/MD5E-s1--00.csv\n"),
            "not fetched yet (git-annex)",
        ),
    ],
)
def test_damage_is_named(prince: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(prince)
    with pytest.raises(DataError) as caught:
        opened(prince).story("section1")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_blank_lines_of_the_table_are_no_words(prince: Path) -> None:
    table(prince).write_text("word,onset,offset,section\na,1,2,1\n ,2,2,1\n,,,1\nb,3,4,1\n")
    assert opened(prince).story("section1").need_words().text == ("a", "b")


def test_what_is_read_is_held_against_what_was_published(prince: Path) -> None:
    said = opened(prince).disagreements()
    assert "section1: 60 TRs, published with 282" in said
    assert len(said) == 9

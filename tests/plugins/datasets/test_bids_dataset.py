"""fMRIPrep's derivatives in miniature: each kind of image, clock, cleaning, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import brain_images
from heard import answer, word_times
from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError
from voxelzoo_datasets.bids import BidsDataset
from voxelzoo_datasets.plugin import is_bids, is_narratives, is_petit_prince
from zoo_cli import Zoo

TR = 1.5
ONSET = 6.0
SPACE = "space-MNI152NLin2009cAsym"
STORIES = {"alpha": 200, "beta": 180}

Responses = dict[tuple[str, str], np.ndarray]


def func(root: Path, subject: str) -> Path:
    return root / "derivatives" / "fmriprep" / subject / "func"


def write_derivatives(root: Path, kind: str = "volume") -> tuple[Path, Responses]:
    """Two subjects of two stories; words are in the raw events, 6 s after the first volume."""
    rng = np.random.default_rng(0)
    prep = root / "derivatives" / "fmriprep"
    prep.mkdir(parents=True)
    (prep / "dataset_description.json").write_text(
        json.dumps({"Name": "mini", "DatasetType": "derivative", "License": "CC0"})
    )
    written: Responses = {}
    for story, n in STORIES.items():
        words = word_times(rng, TR * n - ONSET)
        for subject in ("sub-01", "sub-02"):
            rows = answer(rng, words, TR * np.arange(n) - ONSET, TR)
            rows = 500 + np.concatenate([rows, rng.normal(size=(n, 2))], axis=1)
            written[subject, story] = rows
            stem = func(root, subject) / f"{subject}_task-{story}"
            if kind == "volume":
                brain_images.volume(Path(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz"), rows, TR)
                brain_images.labelled(Path(f"{stem}_{SPACE}_desc-brain_mask.nii.gz"), [1, 1, 1, 1])
            elif kind == "surface":
                for side, part in (("L", rows[:, :2]), ("R", rows[:, 2:])):
                    brain_images.surface(
                        Path(f"{stem}_hemi-{side}_space-fsaverage5_bold.func.gii"), part
                    )
                    sidecar = Path(f"{stem}_hemi-{side}_space-fsaverage5_bold.json")
                    sidecar.write_text(json.dumps({"RepetitionTime": TR}))
            else:
                brain_images.cifti(Path(f"{stem}_space-fsLR_den-91k_bold.dtseries.nii"), rows, TR)
            raw = root / subject / "func"
            raw.mkdir(parents=True, exist_ok=True)
            lines = [f"{a + ONSET}\t{b - a}\tword\t{story}{i}" for i, (a, b) in enumerate(words)]
            (raw / f"{subject}_task-{story}_events.tsv").write_text(
                f"onset\tduration\ttrial_type\tword\n{ONSET}\t1\tstory\tn/a\n" + "\n".join(lines)
            )
    return prep, written


@pytest.fixture
def prep(tmp_path: Path) -> Path:
    return write_derivatives(tmp_path)[0]


def standard(rows: np.ndarray) -> np.ndarray:
    standardised: np.ndarray = (rows - rows.mean(0)) / rows.std(0, ddof=1)
    return standardised


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("volume", None),
        ("surface", ["hemi-L", "hemi-L", "hemi-R", "hemi-R"]),
        ("cifti", ["CORTEX_LEFT", "CORTEX_LEFT", "CORTEX_RIGHT", "CORTEX_RIGHT"]),
    ],
)
def test_each_kind_of_image_is_read(tmp_path: Path, kind: str, labels: list[str] | None) -> None:
    prep, written = write_derivatives(tmp_path, kind)
    dataset = BidsDataset(prep, test="beta")
    assert isinstance(dataset, Dataset)
    assert is_bids(prep)
    assert not is_narratives(prep)
    assert not is_petit_prince(prep)
    assert dataset.subjects() == ("sub-01", "sub-02")
    assert (dataset.train_stories(), dataset.test_stories()) == (("alpha",), ("beta",))
    for (subject, story), rows in written.items():
        np.testing.assert_allclose(dataset.responses(subject, story), standard(rows), atol=1e-3)
    assert dataset.voxel_labels("sub-01") == labels
    clock = dataset.clock("alpha")
    assert (clock.tr, clock.start, clock.n_trs) == (TR, 0.0, 200)
    assert dataset.info().licence == "CC0"


@pytest.mark.parametrize("kind", ["volume", "surface", "cifti"])
def test_it_runs_end_to_end(tmp_path: Path, zoo: Zoo, kind: str) -> None:
    prep, _ = write_derivatives(tmp_path, kind)
    option = ("--dataset-option", "test=beta")
    checked = zoo("data", "check", prep, *option, "--json")
    assert checked.json["ok"], checked.out
    ended = zoo("run", "--plugin", "word-rate", "--dataset", prep, *option, "--json")
    assert ended.code == 0, ended.err
    for record in ended.json["results"]:
        assert (record["dataset"], record["n_train"], record["n_test"]) == ("bids", 200, 180)
        assert record["best_voxel_r"] > 0.5


def test_repeats_are_sessions(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    for session in ("1", "2"):
        stem = prep / "sub-01" / f"ses-{session}" / "func" / f"sub-01_ses-{session}_task-gamma"
        brain_images.volume(
            Path(f"{stem}_{SPACE}_desc-preproc_bold.nii.gz"), written["sub-01", "beta"], TR
        )
        brain_images.labelled(Path(f"{stem}_{SPACE}_desc-brain_mask.nii.gz"), [1, 1, 1, 1])
    dataset = BidsDataset(prep, subjects="sub-01", stories="alpha", test="gamma")
    assert dataset.responses("sub-01", "gamma").shape == (2, 180, 4)
    assert BidsDataset(prep).train_stories() == ("alpha", "beta")
    left_out = BidsDataset(prep, stories="alpha", test="gamma").unusable_subjects()
    assert left_out == {"sub-02": "has no gamma"}


# ----------------------------------------------------------------------------------------- voxels


def test_masks_say_which_voxels_there_are(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    stem = func(tmp_path, "sub-01")
    brain_images.labelled(stem / f"sub-01_task-alpha_{SPACE}_desc-brain_mask.nii.gz", [1, 1, 0, 1])
    brain_images.labelled(stem / f"sub-01_task-beta_{SPACE}_desc-brain_mask.nii.gz", [1, 1, 1, 0])
    found = BidsDataset(prep).responses("sub-01", "alpha")
    expected = standard(written["sub-01", "alpha"])[:, :2]  # what is in both runs' masks
    np.testing.assert_allclose(found, expected, atol=1e-3)
    brain_images.labelled(tmp_path / "mask.nii.gz", [0, 0, 1, 0])
    one = BidsDataset(prep, mask=str(tmp_path / "mask.nii.gz")).responses("sub-01", "alpha")
    np.testing.assert_allclose(one, standard(written["sub-01", "alpha"])[:, 2:3], atol=1e-3)


def test_a_parcellation_averages_its_regions(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    brain_images.labelled(tmp_path / "atlas.nii.gz", [5, 5, 9, 0])
    dataset = BidsDataset(prep, parcellation=str(tmp_path / "atlas.nii.gz"), standardise="no")
    rows = written["sub-01", "alpha"]
    expected = np.stack([rows[:, :2].mean(axis=1), rows[:, 2]], axis=1)
    np.testing.assert_allclose(dataset.responses("sub-01", "alpha"), expected, rtol=1e-5)
    labels = dataset.voxel_labels("sub-01")
    assert labels is not None
    assert len(labels) == 2


def test_voxels_without_data_stay_so(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path, "surface")
    rows = written["sub-01", "alpha"][:, :2].copy()
    rows[3, 1] = np.nan
    stem = func(tmp_path, "sub-01") / "sub-01_task-alpha_hemi-L_space-fsaverage5"
    brain_images.surface(Path(f"{stem}_bold.func.gii"), rows)
    found = BidsDataset(prep, confounds="", drift="cosine").responses("sub-01", "alpha")
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, [0, 2, 3]]).all()


# --------------------------------------------------------------------------------------- cleaning


def with_confounds(root: Path, prep: Path) -> np.ndarray:
    """A table as fMRIPrep writes it: differences have no value in the first row."""
    rng = np.random.default_rng(1)
    motion = rng.normal(size=(200, 2))
    header = "trans_x\ttrans_x_derivative1\trot_z\n"
    lines = [
        f"{x}\t{'n/a' if i == 0 else x - motion[i - 1, 0]}\t{z}" for i, (x, z) in enumerate(motion)
    ]
    table = func(root, "sub-01") / "sub-01_task-alpha_desc-confounds_timeseries.tsv"
    table.write_text(header + "\n".join(lines) + "\n")
    return np.stack([motion[:, 0], np.diff(motion[:, 0], prepend=motion[0, 0]), motion[:, 1]], 1)


def residual(rows: np.ndarray, nuisances: np.ndarray) -> np.ndarray:
    """By least squares, one voxel at a time."""
    design = np.column_stack([np.ones(len(rows)), nuisances])
    left = [y - design @ np.linalg.lstsq(design, y, rcond=None)[0] for y in rows.T]
    return standard(np.stack(left, axis=1))


def test_confounds_and_drift_are_regressed_out_at_once(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    confounds = with_confounds(tmp_path, prep)
    rows = written["sub-01", "alpha"]
    only = {"subjects": "sub-01", "stories": "alpha"}
    at = np.linspace(-1, 1, 200)
    cosines = [
        np.cos(np.pi * k * (np.arange(200) + 0.5) / 200) for k in range(1, 1 + 200 * 3 // 128)
    ]
    for options, nuisances in (
        ({"confounds": "trans_*,rot_z"}, confounds),
        ({"confounds": "rot_z"}, confounds[:, 2:]),
        ({"drift": "polynomial", "drift_order": "2"}, np.stack([at, at**2], 1)),
        (
            {"drift": "polynomial", "confounds": "trans_x"},
            np.stack([at, at**2, confounds[:, 0]], 1),
        ),
        ({"drift": "cosine", "drift_period": "128"}, np.stack(cosines, 1)),
        (
            {"drift": "cosine", "confounds": "rot_z"},
            np.column_stack([np.stack(cosines, 1), confounds[:, 2]]),
        ),
    ):
        found = BidsDataset(prep, **only, **options).responses("sub-01", "alpha")
        np.testing.assert_allclose(
            found, residual(rows, nuisances), atol=2e-3, err_msg=str(options)
        )


def test_options_that_change_responses_change_the_fingerprint(tmp_path: Path) -> None:
    prep, _ = write_derivatives(tmp_path)
    with_confounds(tmp_path, prep)
    one = {"subjects": "sub-01", "stories": "alpha"}
    brain_images.labelled(tmp_path / "mask.nii.gz", [0, 0, 1, 0])
    prints = [
        BidsDataset(prep, **one, **options).fingerprint("sub-01", "alpha")
        for options in (
            {},
            {"confounds": "rot_z"},
            {"drift": "cosine"},
            {"drop": "2"},
            {"standardise": "no"},
            {"mask": str(tmp_path / "mask.nii.gz")},
        )
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == BidsDataset(prep, **one).fingerprint("sub-01", "alpha")


# ------------------------------------------------------------------------------------------ clock


def test_the_clock_is_explicit(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    dropped = BidsDataset(prep, drop="3", standardise="no")
    clock = dropped.clock("alpha")
    assert (clock.start, clock.n_trs, clock.n_dropped) == (3 * TR, 197, 3)
    np.testing.assert_allclose(
        dropped.responses("sub-01", "alpha"), written["sub-01", "alpha"][3:], rtol=1e-5
    )
    assert BidsDataset(prep, start="-2.5").clock("alpha").start == -2.5


@pytest.mark.parametrize(
    ("said", "first_sample"),
    [
        ({"RepetitionTime": TR}, TR / 2),
        ({"RepetitionTime": TR, "SliceTimingCorrected": True, "StartTime": 0.7}, 0.7),
        ({"RepetitionTime": TR, "SliceTimingCorrected": False, "StartTime": 0.7}, TR / 2),
    ],
)
def test_slice_timing_moves_the_sample(
    tmp_path: Path, said: dict[str, object], first_sample: float
) -> None:
    prep, _ = write_derivatives(tmp_path)
    for subject in ("sub-01", "sub-02"):
        for story in STORIES:
            stem = func(tmp_path, subject) / f"{subject}_task-{story}_{SPACE}_desc-preproc_bold"
            stem.with_suffix(".json").write_text(json.dumps(said))
    assert BidsDataset(prep).clock("alpha").times[0] == pytest.approx(first_sample)


def test_a_tr_that_the_files_do_not_agree_on_is_named(tmp_path: Path) -> None:
    """2.0 against 2.0045 s: over ten minutes the clocks part by more than a second."""
    prep, _ = write_derivatives(tmp_path)
    sidecar = func(tmp_path, "sub-02") / f"sub-02_task-alpha_{SPACE}_desc-preproc_bold.json"
    sidecar.write_text(json.dumps({"RepetitionTime": 1.5045}))
    with pytest.raises(DataError, match=r"TR 1.5 s in its header, 1.5045 s in its sidecar"):
        BidsDataset(prep).clock("alpha")
    assert BidsDataset(prep, tr="1.5045").clock("alpha").tr == 1.5045


def test_surfaces_have_no_tr_of_their_own(tmp_path: Path) -> None:
    prep, _ = write_derivatives(tmp_path, "surface")
    for sidecar in prep.glob("*/func/*.json"):
        sidecar.unlink()
    with pytest.raises(DataError, match=r"no RepetitionTime .* --dataset-option tr=SECONDS"):
        BidsDataset(prep).clock("alpha")
    (tmp_path / "task-alpha_bold.json").write_text('{"RepetitionTime": 1.5}')
    assert BidsDataset(prep).clock("alpha").tr == 1.5


def test_runs_that_differ_in_length_are_named(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    image = func(tmp_path, "sub-02") / f"sub-02_task-alpha_{SPACE}_desc-preproc_bold.nii.gz"
    brain_images.volume(image, written["sub-02", "alpha"][:195], TR)
    with pytest.raises(DataError, match=r"sub-02.*195 rows, but sub-01.* has 200; .*rows=195"):
        BidsDataset(prep).clock("alpha")
    with pytest.raises(DataError, match=r"180 rows, fewer than rows=195"):
        BidsDataset(prep, rows="195").clock("beta")
    only = BidsDataset(prep, rows="195", stories="alpha")
    assert only.responses("sub-01", "alpha").shape == only.responses("sub-02", "alpha").shape


# ------------------------------------------------------------------------------------------ words


def test_words_come_from_the_events(prep: Path) -> None:
    words = BidsDataset(prep).story("alpha").need_words()
    assert words.text[:2] == ("alpha0", "alpha1")
    assert words.onsets[0] > ONSET


def test_words_and_sound_in_folders_begin_with_the_sound(prep: Path, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    for story in STORIES:
        (folder / f"{story}.csv").write_text("word,onset,offset\nhello,1,2\nthere,2.5,3\n")
        soundfile.write(folder / f"{story}.wav", np.zeros(1600), 16_000)
    dataset = BidsDataset(prep, words=str(folder), audio=str(folder))
    assert dataset.story("alpha").need_words().onsets.tolist() == [1 + ONSET, 2.5 + ONSET]
    assert dataset.story("alpha").need_audio().start == ONSET
    later = BidsDataset(prep, words=str(folder), sound_start="-4")
    assert later.story("alpha").need_words().onsets.tolist() == [-3, -1.5]
    for events in tmp_path.glob("sub-*/func/*_events.tsv"):
        events.unlink()
    with pytest.raises(UsageError, match=r"'alpha' has no events.tsv; pass the onset of its sound"):
        BidsDataset(prep, words=str(folder)).story("alpha")
    (folder / "beta.csv").unlink()
    with pytest.raises(DataError, match=r"no beta.TextGrid or beta.csv"):
        BidsDataset(prep, words=str(folder), sound_start="0").story("beta")


def test_a_story_that_subjects_heard_at_other_times_is_refused(prep: Path, tmp_path: Path) -> None:
    events = tmp_path / "sub-02/func/sub-02_task-alpha_events.tsv"
    lines = events.read_text().splitlines()
    lines[5] = lines[5].replace("word", "speech", 1)
    events.write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=r"sub-02_task-alpha_events.tsv: its words differ from those"
    ):
        BidsDataset(prep).story("alpha")
    assert len(BidsDataset(prep, subjects="sub-02").story("alpha").need_words())


# ------------------------------------------------------------------------------------ what is wrong


def bold(root: Path) -> Path:
    return func(root, "sub-01") / f"sub-01_task-alpha_{SPACE}_desc-preproc_bold.nii.gz"


def off_grid(root: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    brain_images.volume(bold(root), np.ones((200, 4)), TR, affine)


@pytest.mark.parametrize(
    ("damage", "options", "said"),
    [
        (lambda root: bold(root).write_bytes(b"x"), {}, "bold.nii.gz: not a brain image"),
        (
            lambda root: bold(root).write_bytes(bold(root).read_bytes()[:3000]),
            {},
            "bold.nii.gz: not a brain image, or damaged",
        ),
        (
            lambda root: bold(root).write_text("version https://git-lfs.github.com/spec/v1\n"),
            {"subjects": "sub-01"},
            "not fetched yet (git LFS)",
        ),
        (off_grid, {}, "grid (3, 3, 4) or its affine differs from the mask"),
        (
            lambda root: (
                bold(root).with_name(f"sub-01_task-alpha_{SPACE}_desc-brain_mask.nii.gz").unlink()
            ),
            {},
            "no brain mask next to it; pass --dataset-option mask=PATH",
        ),
        (
            lambda root: None,
            {"confounds": "csf"},
            "no ..._desc-confounds_timeseries.tsv next to it",
        ),
        (
            lambda root: (
                bold(root)
                .with_name("sub-01_task-alpha_desc-confounds_timeseries.tsv")
                .write_text("csf\n1\n2\n")
            ),
            {"confounds": "csf"},
            "2 rows for the 200 volumes",
        ),
        (
            lambda root: (
                bold(root)
                .with_name("sub-01_task-alpha_desc-confounds_timeseries.tsv")
                .write_text("csf\n1\nn/a\n")
            ),
            {"confounds": "csf"},
            "timeseries.tsv:3: no csf",
        ),
        (
            lambda root: (
                bold(root)
                .with_name("sub-01_task-alpha_desc-confounds_timeseries.tsv")
                .write_text("csf\n1\n")
            ),
            {"confounds": "wm*"},
            "no column 'wm*'",
        ),
        (lambda root: None, {"mask": "/nowhere"}, "mask='/nowhere': no such file"),
        (lambda root: None, {"drift": "linear"}, "drift='linear': must be none or cosine or"),
        (lambda root: None, {"smooth": "5"}, "no option 'smooth'"),
        (lambda root: None, {"stories": "gamma"}, "no story 'gamma'; it has alpha, beta"),
        (lambda root: None, {"subjects": "sub-09"}, "no subject 'sub-09'; it has sub-01, sub-02"),
        (lambda root: None, {"space": "T1w"}, "no space 'T1w'"),
        (lambda root: None, {"stories": "alpha", "test": "alpha"}, "both stories and test: a leak"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, damage: Callable[[Path], object], options: dict[str, str], said: str
) -> None:
    prep, _ = write_derivatives(tmp_path)
    damage(tmp_path)
    with pytest.raises((DataError, UsageError, NotFoundError)) as caught:
        BidsDataset(prep, **options).responses("sub-01", "alpha")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_spaces_need_a_choice(tmp_path: Path) -> None:
    prep, written = write_derivatives(tmp_path)
    native = func(tmp_path, "sub-01") / "sub-01_task-alpha_space-T1w_desc-preproc_bold.nii.gz"
    brain_images.volume(native, written["sub-01", "alpha"], TR)
    with pytest.raises(UsageError, match=r"runs in MNI152NLin2009cAsym, T1w; choose"):
        BidsDataset(prep)
    assert BidsDataset(prep, space="MNI152NLin2009cAsym").subjects() == ("sub-01", "sub-02")


def test_one_hemisphere_is_not_a_run(tmp_path: Path) -> None:
    prep, _ = write_derivatives(tmp_path, "surface")
    next(func(tmp_path, "sub-01").glob("*alpha*hemi-R*.gii")).unlink()
    with pytest.raises(DataError, match=r"hemi-L.*: the other hemisphere's file is missing"):
        BidsDataset(prep)

"""Alice as published: the clock is right, the zeros are refused, and word rate predicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared_data import SHARED, needs_shared
from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError
from voxelzoo_datasets.alice import AliceDataset
from voxelzoo_datasets.plugin import is_alice, is_folder

ALICE = SHARED / "data" / "alice"

pytestmark = needs_shared


@pytest.fixture(scope="module")
def alice() -> AliceDataset:
    return AliceDataset(ALICE)


def test_what_is_published_is_what_is_read(alice: AliceDataset) -> None:
    assert isinstance(alice, Dataset)
    assert len(alice.subjects()) == 15
    assert alice.subjects()[-1] == "group"
    assert "s33" not in alice.subjects()
    words = alice.story("alice").need_words()
    assert len(words.spoken()) == 2127
    assert words.spoken().text[:3] == ("Alice", "was", "beginning")
    clock = alice.clock("alice")
    assert (clock.tr, clock.start, clock.n_trs) == (2.0, 20.0, 362)
    assert alice.voxel_labels("s18") == ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
    assert alice.info().licence == "CC BY 4.0"


def test_listener_is_cleaned_and_standardised(alice: AliceDataset) -> None:
    raw = np.loadtxt(ALICE / "alice_data_shared/10mm/s18-timecourses.txt")
    cleaned = alice.responses("s18", "alice")
    assert cleaned.shape == (362, 6)
    assert cleaned.dtype == np.float32
    np.testing.assert_allclose(cleaned.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(cleaned.std(axis=0), 1, rtol=1e-5)
    untouched = AliceDataset(ALICE, drift="none").responses("s18", "alice")
    np.testing.assert_allclose(untouched, (raw - raw.mean(0)) / raw.std(0), atol=1e-5)
    # Drift: power slower than 1 / 300 s is nearly gone, and was there.
    slow = np.abs(np.fft.rfft(untouched, axis=0))[1:3].mean()
    assert np.abs(np.fft.rfft(cleaned, axis=0))[1:3].mean() < 0.1 * slow


def test_group_is_the_mean_of_the_valid(alice: AliceDataset) -> None:
    each = [alice.responses(subject, "alice") for subject in alice.subjects()[:-1]]
    np.testing.assert_allclose(alice.responses("group", "alice"), np.mean(each, 0), atol=1e-6)


def test_motion_loses_the_dropped_volumes(alice: AliceDataset) -> None:
    (file,) = (ALICE / "alice_data_shared").glob("s53-rp_*.txt")
    published = np.loadtxt(file)
    assert len(published) == 372
    np.testing.assert_array_equal(alice.motion("s53"), published[10:])


def test_regressing_motion_leaves_none(alice: AliceDataset) -> None:
    from scipy.signal import savgol_filter

    motion = alice.motion("s18") - savgol_filter(alice.motion("s18"), 61, 2, axis=0)
    without = AliceDataset(ALICE, motion="regress").responses("s18", "alice")
    correlation = np.corrcoef(motion.T, without.T)[:6, 6:]
    assert np.abs(correlation).max() < 1e-5
    assert np.abs(np.corrcoef(motion.T, alice.responses("s18", "alice").T)[:6, 6:]).max() > 0.05


def test_s33_is_refused_with_the_reason(alice: AliceDataset) -> None:
    with pytest.raises(DataError, match=r"s33 cannot be used: .* constant"):
        alice.responses("s33", "alice")
    with pytest.raises(NotFoundError, match="no subject 's99'"):
        alice.responses("s99", "alice")
    with pytest.raises(NotFoundError, match="no story 'bob'"):
        alice.story("bob")


def test_options_are_strict() -> None:
    with pytest.raises(UsageError, match="no option 'smooth'; it has radius"):
        AliceDataset(ALICE, smooth="6mm")
    with pytest.raises(UsageError, match="radius='8mm': must be 10mm or 6mm"):
        AliceDataset(ALICE, radius="8mm")
    with pytest.raises(UsageError, match="shift='late': must be seconds"):
        AliceDataset(ALICE, shift="late")


def test_words_can_be_shifted_as_a_control(alice: AliceDataset) -> None:
    late = AliceDataset(ALICE, shift="40").story("alice")
    on_time = alice.story("alice")
    np.testing.assert_allclose(late.need_words().times, on_time.need_words().times + 40)
    assert late.digest("text") != on_time.digest("text")


def test_fingerprint_tells_preparations_apart(alice: AliceDataset) -> None:
    variants: list[dict[str, str]] = [
        {},
        {"radius": "6mm"},
        {"drift": "none"},
        {"motion": "regress"},
    ]
    prints = {AliceDataset(ALICE, **how).fingerprint("s18", "alice") for how in variants}
    assert len(prints) == 4
    assert alice.fingerprint("s18", "alice") != alice.fingerprint("group", "alice")
    assert AliceDataset(ALICE).fingerprint("s18", "alice") in prints


def test_layout_is_recognised(tmp_path: Path) -> None:
    assert is_alice(ALICE)
    assert is_alice(ALICE / "alice_data_shared")
    assert not is_folder(ALICE)
    assert not is_alice(tmp_path)
    with pytest.raises(DataError, match="no alice_data_shared"):
        AliceDataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1 2 3\n", "values, expected"),
        ("", "values, expected"),
        ("a b c d e f\n", "not a table of numbers"),
        ("1 2 3 4 5 nan\n" * 362, "column 6 is not a finite number"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, content: str, said: str) -> None:
    shutil.copytree(ALICE / "alice_stim_shared", tmp_path / "alice_stim_shared")
    data = tmp_path / "alice_data_shared" / "10mm"
    data.mkdir(parents=True)
    (data / "s18-timecourses.txt").write_text(content)
    with pytest.raises(DataError, match=r"s18-timecourses.txt") as caught:
        AliceDataset(tmp_path)
    assert said in str(caught.value)


def held_out_r(alice: AliceDataset, shift: float) -> NDArray[np.float64]:
    """Word rate by Lanczos, delays 1 to 4, six contiguous folds with a 5-TR gap, least squares."""
    responses = alice.responses("group", "alice")
    clock = alice.clock("alice")
    word_times = alice.story("alice").need_words().spoken().shifted(shift).times
    lag = (clock.times[:, None] - word_times) / clock.tr
    rate = np.where(np.abs(lag) <= 3, np.sinc(lag) * np.sinc(lag / 3), 0).sum(axis=1)
    rate = (rate - rate.mean()) / rate.std()
    delayed = [np.concatenate([np.zeros(d), rate[:-d]]) for d in (1, 2, 3, 4)]
    design = np.stack([*delayed, np.ones(clock.n_trs)], axis=1)
    predicted = np.zeros(responses.shape)
    for fold in np.array_split(np.arange(clock.n_trs), 6):
        rows = np.arange(clock.n_trs)
        train = (rows < fold[0] - 5) | (rows > fold[-1] + 5)
        weights = np.linalg.lstsq(design[train], responses[train], rcond=None)[0]
        predicted[fold] = design[fold] @ weights
    return np.array([np.corrcoef(predicted[:, i], responses[:, i])[0, 1] for i in range(6)])


def test_word_rate_predicts_and_only_on_the_right_clock(alice: AliceDataset) -> None:
    right = held_out_r(alice, 0.0)
    np.testing.assert_allclose(right, [0.17, 0.22, 0.24, 0.38, 0.34, 0.08], atol=0.04)
    assert right.mean() == pytest.approx(0.24, abs=0.02)
    assert abs(held_out_r(alice, 40.0).mean()) < 0.08
    assert abs(held_out_r(alice, -40.0).mean()) < 0.08

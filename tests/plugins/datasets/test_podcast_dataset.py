"""ds005574 in miniature: high-gamma power in bins, the transcript, and what is not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heard import answer, word_times, write_noise
from voxelzoo.api import DataError, Dataset, UsageError
from voxelzoo_datasets.plugin import is_podcast
from voxelzoo_datasets.podcast import PodcastDataset
from zoo_cli import Zoo

mne = pytest.importorskip("mne", reason="pip install 'voxelzoo[ecog]'")

RATE = 64.0
BIN = 1.0
SECONDS = 300


def recording(root: Path, subject: str) -> Path:
    name = f"{subject}_task-podcast_desc-highgamma_ieeg.fif"
    return root / "derivatives" / "ecogprep" / subject / "ieeg" / name


def write_recording(path: Path, power: np.ndarray, bad: list[str]) -> None:
    """(sample, electrode) as the lab's derivative."""
    names = [f"G{i}" for i in range(power.shape[1])]
    info = mne.create_info(names, RATE, "ecog")
    info["bads"] = bad
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = mne.io.RawArray(power.T, info, verbose="ERROR")
    raw.save(path, overwrite=True, verbose="ERROR")


@pytest.fixture
def podcast(tmp_path: Path) -> Path:
    """Two patients of three electrodes, one of them bad; a word lacks its time."""
    rng = np.random.default_rng(0)
    words = word_times(rng, SECONDS - 5)
    lines = [f"w{i},{a},{b}" for i, (a, b) in enumerate(words)]
    lines.insert(1, "lost,,")
    stimuli = tmp_path / "stimuli"
    stimuli.mkdir()
    (stimuli / "podcast_transcript.csv").write_text("word,start,end\n" + "\n".join(lines) + "\n")
    write_noise(stimuli / "podcast.wav", SECONDS)
    for subject in ("sub-01", "sub-02"):
        bins = answer(rng, words, np.arange(SECONDS / BIN) * BIN, BIN)
        samples = np.repeat(bins, int(RATE * BIN), axis=0)
        samples = np.concatenate([samples, np.ones((len(samples), 1))], axis=1)
        write_recording(recording(tmp_path, subject), samples, ["G2"])
    return tmp_path


@pytest.mark.filterwarnings("ignore:This filename:RuntimeWarning")
def test_the_published_layout_is_read(podcast: Path) -> None:
    dataset = PodcastDataset(podcast, bin="1")
    assert isinstance(dataset, Dataset)
    assert is_podcast(podcast)
    assert dataset.subjects() == ("sub-01", "sub-02")
    clock = dataset.clock("podcast")
    assert (clock.tr, clock.start, clock.n_trs) == (1.0, 0.0, SECONDS)
    words = dataset.story("podcast").need_words()
    assert words.text[:3] == ("w0", "lost", "w1")
    dropped = PodcastDataset(podcast, untimed="drop").story("podcast").need_words()
    assert dropped.text[:2] == ("w0", "w1")


def test_bins_are_means_of_good_electrodes(podcast: Path) -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(1000, 3))
    write_recording(recording(podcast, "sub-01"), samples, ["G1"])
    dataset = PodcastDataset(podcast, subjects="sub-01", bin="0.25")
    n = int(1000 / RATE / 0.25)
    expected = np.stack([samples[16 * i : 16 * i + 16, [0, 2]].mean(0) for i in range(n)])
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(dataset.responses("sub-01", "podcast"), expected, atol=1e-5)


def test_it_runs_end_to_end(podcast: Path, zoo: Zoo) -> None:
    """Electrode 0 answers each word 4 s later, which four bins of a second just reach."""
    option = ("--dataset-option", "bin=1")
    checked = zoo("data", "check", podcast, *option, "--json")
    assert checked.json["ok"], checked.out
    ended = zoo("run", "--plugin", "word-rate", "--dataset", podcast, *option, "--json")
    assert ended.code == 0, ended.err
    for record in ended.json["results"]:
        assert record["dataset"] == "podcast-ecog"
        assert record["best_voxel_r"] > 0.4


@pytest.mark.parametrize(
    ("damage", "options", "said"),
    [
        (
            lambda root: [recording(root, s).unlink() for s in ("sub-01", "sub-02")],
            {},
            "only the high-gamma derivative is supported, not raw voltages",
        ),
        (lambda root: recording(root, "sub-01").write_bytes(b"x" * 99), {}, "not a FIF recording"),
        (
            lambda root: recording(root, "sub-01").write_text("/annex/objects/SHA256E-s1--0.fif\n"),
            {},
            "not fetched yet (git-annex)",
        ),
        (lambda root: None, {"bin": "0.001"}, "64 Hz, so a bin of 0.001 s has no sample"),
        (lambda root: None, {"bin": "200"}, "300 s are 1 bins"),
        (lambda root: None, {"band": "theta"}, "no option 'band'"),
        (
            lambda root: write_recording(recording(root, "sub-02"), np.ones((640, 2)), []),
            {"bin": "1"},
            "10 bins from 0 s, but sub-01 has 300 from 0 s",
        ),
        (
            lambda root: write_recording(recording(root, "sub-01"), np.ones((640, 1)), ["G0"]),
            {"bin": "1", "subjects": "sub-01"},
            "every electrode is marked as bad",
        ),
    ],
)
def test_what_is_wrong_is_named(
    podcast: Path, damage: Callable[[Path], object], options: dict[str, str], said: str
) -> None:
    damage(podcast)
    with pytest.raises((DataError, UsageError)) as caught:
        PodcastDataset(podcast, **options).responses("sub-01", "podcast")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_read_is_held_against_what_was_published(podcast: Path) -> None:
    assert PodcastDataset(podcast, subjects="sub-01").disagreements() == [
        "sub-01: 64 Hz, published with 512 Hz"
    ]

"""The simulated dataset keeps its word: drivers drive, noise is noise, ceilings are ceilings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from voxelzoo.api import (
    Dataset,
    ExtractorRequest,
    NotFoundError,
    StateBlock,
    Story,
    UsageError,
)
from voxelzoo_baselines.extractors import MelSpectrogram, WordRate
from voxelzoo_baselines.plugin import zoo_register_models
from voxelzoo_datasets.simulated import (
    DRIVERS,
    GENERATION,
    SimulatedDataset,
    band_energies,
    haemodynamic_response,
)
from voxelzoo_datasets.speech import VOCABULARY, syllables

Floats = NDArray[np.float64]

TINY = {"stories": "2", "seconds": "20", "voxels": "8", "subjects": "1", "repeats": "2"}
SOUND = [-0.004395, -0.014834, -0.027451]
ROW = [-0.32155, 3.12887, -3.60165, 0.38418]


@pytest.fixture(scope="module")
def simulated() -> SimulatedDataset:
    return SimulatedDataset()


def columnwise_r(a: Floats, b: Floats) -> Floats:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return (a * b).sum(axis=0) / np.where(scale > 0, scale, 1)


def test_it_is_a_dataset_of_the_size_asked_for() -> None:
    dataset = SimulatedDataset(None, **TINY, tr="2.0", test_stories="2")
    assert isinstance(dataset, Dataset)
    assert dataset.train_stories() == ("story01", "story02")
    assert dataset.test_stories() == ("test01", "test02")
    assert dataset.subjects() == ("sub-01",)
    assert dataset.clock("story01").n_trs == 10
    assert dataset.responses("sub-01", "story01").shape == (10, 8)
    assert dataset.responses("sub-01", "test02").shape == (2, 10, 8)
    assert dataset.voxel_labels("sub-01") == tuple(np.repeat(DRIVERS, 2))
    assert dataset.story("story01").need_audio().duration == 20.0


def test_words_are_where_they_are_heard(simulated: SimulatedDataset) -> None:
    story = simulated.story("story01")
    words, sound = story.need_words(), story.need_audio().read(16_000)
    assert set(words.text) <= set(VOCABULARY)
    assert 1.5 < len(words) / 75 < 4
    assert words.offsets[-1] <= 75
    spoken = np.zeros(len(sound), dtype=bool)
    for onset, offset in zip(words.onsets, words.offsets, strict=True):
        spoken[int(onset * 16_000) : int(offset * 16_000)] = True
    # The voice is as loud as the scene behind it, and there while words are said.
    assert sound[spoken].std() > 1.2 * sound[~spoken].std()
    assert np.abs(sound).max() < 1


def test_the_same_seed_gives_the_same_data_in_another_process() -> None:
    program = (
        "from voxelzoo.api import content_digest;"
        "from voxelzoo_datasets.simulated import SimulatedDataset as D;"
        f"d = D(None, **{TINY});"
        "print(d.fingerprint('sub-01', 'test01'), d.story('test01').digest('any'));"
        "print(content_digest(d.responses('sub-01', 'test01')));"
        "print(content_digest(d.story('test01').need_audio().array()))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hashseed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashseed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    other = SimulatedDataset(None, **TINY, seed="1")
    assert other.fingerprint("sub-01", "test01") != outputs[0].split()[0]
    assert other.story("test01").digest("any") != outputs[0].split()[1]


def test_values_belong_to_their_generation() -> None:
    """Digests are of options and seed: values that change need another ``GENERATION``."""
    dataset = SimulatedDataset(None, **TINY)
    sound = dataset.story("test01").need_audio().array()
    rows = dataset.responses("sub-01", "test01")
    assert GENERATION == 1
    np.testing.assert_allclose(sound[16_000:16_003], SOUND, atol=1e-5)
    np.testing.assert_allclose(rows[0, 5, ::2], ROW, atol=1e-4)


def test_words_digests_clocks_and_shapes_need_no_sound() -> None:
    program = (
        "import sys; from voxelzoo_datasets.simulated import SimulatedDataset as D;"
        "d = D(); s = d.story('test01'); s.digest('any'); s.end; d.clock('test01').times;"
        "d.fingerprint('sub-01', 'test01'); r = d.open_responses('sub-01', 'test01').__enter__();"
        "print(r.shape, r.dtype, 'scipy' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "(4, 50, 160) float32 False"


def test_more_stories_leave_the_others_as_they_were() -> None:
    few = SimulatedDataset(None, **TINY)
    more = SimulatedDataset(None, **(TINY | {"stories": "3"}))
    assert few.story("story02").digest("any") == more.story("story02").digest("any")


@pytest.mark.parametrize("seed", ["0", "3"])
def test_ceiling_is_what_the_true_signal_reaches(seed: str) -> None:
    dataset = SimulatedDataset(None, seed=seed, seconds="75", test_stories="6", stories="1")
    stories = dataset.test_stories()
    signal = np.concatenate([dataset.signal("sub-02", s) for s in stories])
    heard = np.concatenate([dataset.responses("sub-02", s).mean(axis=0) for s in stories])
    reached, declared = columnwise_r(signal, heard), dataset.ceiling("sub-02")
    noise = np.array(dataset.drivers()) == "noise"
    assert (declared[noise] == 0).all()
    assert (signal[:, noise] == 0).all()
    # The sampling error of r over n TRs is (1 - r^2) / sqrt(n).
    error = (reached - declared)[~noise] / ((1 - declared[~noise] ** 2) / np.sqrt(len(signal)))
    assert np.abs(error).max() < 5
    assert abs(error.mean()) < 5 / np.sqrt(error.size)


def test_opened_responses_are_the_responses(simulated: SimulatedDataset) -> None:
    for story in ("story01", "test01"):
        expected = simulated.responses("sub-01", story)
        with simulated.open_responses("sub-01", story) as opened:
            assert opened.shape == expected.shape
            np.testing.assert_array_equal(opened[..., 3:9], expected[..., 3:9])
    with pytest.raises(NotFoundError), simulated.open_responses("sub-09", "story01"):
        pass


def test_responses_are_signal_and_fresh_noise(simulated: SimulatedDataset) -> None:
    repeats = simulated.responses("sub-01", "test01")
    noise = repeats - simulated.signal("sub-01", "test01")
    between = columnwise_r(noise[0], noise[1])
    assert abs(between.mean()) < 5 / np.sqrt(between.size * noise.shape[1])
    other = simulated.responses("sub-02", "test01") - simulated.signal("sub-02", "test01")
    assert abs(columnwise_r(noise[0], other[0]).mean()) < 5 / np.sqrt(160 * 50)


def test_noise_follows_nothing_before_it(simulated: SimulatedDataset) -> None:
    """White noise: the autocorrelation at one TR is within its sampling error of zero."""
    noise = np.array(simulated.drivers()) == "noise"
    rows = np.concatenate(
        [simulated.responses("sub-01", s)[:, noise] for s in simulated.train_stories()]
    )
    assert abs(columnwise_r(rows[1:], rows[:-1]).mean()) < 5 / np.sqrt(rows.size)


class WordIdentity:
    """One column a word of the vocabulary: all that a text model could know of a word alone."""

    def times(self, story: Story) -> Floats:
        return story.need_words().times

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        said = [VOCABULARY.index(word) for word in story.need_words().text]
        yield StateBlock(0, np.eye(len(VOCABULARY), dtype=np.float32)[said][None])


def predict(
    dataset: SimulatedDataset, extractor: MelSpectrogram | WordRate | WordIdentity
) -> Floats:
    """r of ridge on the extractor's features by Lanczos with delays 1 to 4, (voxel,)."""

    def design(name: str) -> Floats:
        story, clock = dataset.story(name), dataset.clock(name)
        states = np.concatenate([block.states[0] for block in extractor.extract(story, [0])])
        lag = (clock.times[:, None] - extractor.times(story)) / clock.tr
        kernel = np.where(np.abs(lag) <= 3, np.sinc(lag) * np.sinc(lag / 3), 0)
        rows = kernel @ states
        spread = rows.std(axis=0)
        rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
        empty = np.zeros_like(rows)
        return np.concatenate([np.concatenate([empty[:d], rows[:-d]]) for d in (1, 2, 3, 4)], 1)

    train, test = dataset.train_stories(), dataset.test_stories()
    X = np.concatenate([design(story) for story in train])
    Y = np.concatenate([dataset.responses("sub-01", story) for story in train])
    ridge = RidgeCV(np.logspace(0, 6, 13), alpha_per_target=True).fit(X, Y)
    predicted = ridge.predict(np.concatenate([design(story) for story in test]))
    heard = np.concatenate([dataset.responses("sub-01", s).mean(axis=0) for s in test])
    return columnwise_r(predicted, heard)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_each_feature_predicts_what_it_drives_and_no_noise(seed: str) -> None:
    dataset = SimulatedDataset(None, seed=seed)
    rows = {row.name: ExtractorRequest(model=row) for row in zoo_register_models()}
    drivers = np.array(dataset.drivers())
    by_rate = predict(dataset, WordRate(rows["word-rate"]))
    by_mel = predict(dataset, MelSpectrogram(rows["mel-spectrogram"]))
    assert by_rate[drivers == "word-rate"].mean() > 0.7
    assert by_mel[drivers == "sound"].mean() > 0.55
    assert by_mel[drivers == "sound"].mean() > by_rate[drivers == "sound"].mean() + 0.15
    assert by_rate[drivers == "word-rate"].mean() > by_mel[drivers == "word-rate"].mean() + 0.15
    n_voxels, n_test = (drivers == "noise").sum(), dataset.clock("test01").n_trs
    for r in (by_rate, by_mel):
        assert abs(r[drivers == "noise"].mean()) < 4 / np.sqrt(n_voxels * n_test)


def test_words_predict_context_better_than_their_rate_does() -> None:
    dataset = SimulatedDataset(None, stories="8", test_stories="2", subjects="1")
    row = next(row for row in zoo_register_models() if row.name == "word-rate")
    context = np.array(dataset.drivers()) == "context"
    by_identity = predict(dataset, WordIdentity())[context].mean()
    by_rate = predict(dataset, WordRate(ExtractorRequest(model=row)))[context].mean()
    assert by_identity > 0.35
    assert by_identity > by_rate + 0.15


def test_haemodynamic_response_peaks_at_five_seconds() -> None:
    response = haemodynamic_response()
    assert np.argmax(response) * 0.1 == pytest.approx(5.0)
    assert response.sum() == pytest.approx(1.0)
    assert (response[:10] < 0.01 * response.max()).all()


def test_band_energies_hear_the_right_band() -> None:
    t = np.arange(32_000) / 16_000
    tone = np.where(t < 1, np.sin(2 * np.pi * 200 * t), np.sin(2 * np.pi * 3000 * t))
    energies = band_energies(tone.astype(np.float32), 20)
    assert energies.shape == (20, 12)
    edges = np.geomspace(80, 7000, 13)
    low, high = (np.searchsorted(edges, f) - 1 for f in (200, 3000))
    assert energies[5].argmax() == low
    assert energies[15].argmax() == high


def test_syllables_make_up_the_word() -> None:
    assert syllables("window") == ["wi", "ndow"]
    assert all("".join(syllables(word)) == word for word in VOCABULARY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"story": "3"}, "no option 'story'; it has stories"),
        ({"voxels": "10"}, "multiple of 4"),
        ({"voxels": "many"}, "whole number"),
        ({"repeats": "0"}, "whole number >= 1"),
        ({"tr": "nan"}, "must be seconds"),
        ({"seconds": "1"}, "at least 10"),
    ],
)
def test_options_are_strict(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SimulatedDataset(None, **options)


def test_unknown_names(simulated: SimulatedDataset) -> None:
    with pytest.raises(NotFoundError, match=r"no subject 'sub-09'.*sub-01"):
        simulated.responses("sub-09", "story01")
    with pytest.raises(NotFoundError, match="no story 'story99'"):
        simulated.responses("sub-01", "story99")


def test_each_test_story_may_have_its_own_repeats_and_scans_lose_their_ends() -> None:
    options = {"test_stories": "3", "repeats": "10,5,5", "seconds": "60", "tr": "2"}
    whole = SimulatedDataset(None, **options)
    trimmed = SimulatedDataset(None, **options, trim="5")
    assert [whole.responses("sub-01", s).shape[0] for s in whole.test_stories()] == [10, 5, 5]
    assert trimmed.clock("test01").n_trs == whole.clock("test01").n_trs - 10
    np.testing.assert_array_equal(trimmed.clock("test01").times, whole.clock("test01").times[5:-5])
    # The same moments of the same stimulus, up to the scale of what is left.
    kept, all_ = trimmed.signal("sub-01", "test01"), whole.signal("sub-01", "test01")[5:-5]
    driven = np.ptp(kept, axis=0) > 0
    ratio = kept[:, driven] / all_[:, driven]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-9)


@pytest.mark.parametrize("options", [{"repeats": "4,4"}, {"trim": "40"}, {"repeats": "4,x"}])
def test_repeats_and_trims_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        SimulatedDataset(None, **options)

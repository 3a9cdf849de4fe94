"""Run, plan and extract from Python: what is read once, what a key is made of, what fails."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_folder import write_study
from voxelzoo.api import DataError, Dataset, NotFoundError, Story, UsageError
from voxelzoo.data.opening import open_dataset
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.runs import execute
from voxelzoo.runs.models import Model
from voxelzoo.runs.options import RunOptions
from voxelzoo.science.splits import HeldOutStories
from voxelzoo.store.store import Store


@pytest.fixture(scope="module")
def plugins() -> Zoo:
    return open_zoo(None, None, True)


@pytest.fixture
def study(tmp_path: Path, plugins: Zoo) -> Dataset:
    folder = write_study(tmp_path / "study", n_voxels=4, subjects=("ann", "bob"))
    return open_dataset(plugins.host, str(folder))


class Watched:
    """A dataset that counts how often each story is read; bob alone heard story two."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.reads: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def train_stories(self) -> tuple[str, ...]:
        return ("one",)

    def own_stories(self, subject: str) -> tuple[str, ...]:
        return ("two",) if subject == "bob" else ()

    def story(self, name: str) -> Story:
        self.reads[name] += 1
        return self.dataset.story(name)


@pytest.fixture
def fingerprints(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often models are asked what determines their states, and stories likewise."""
    counts: Counter[str] = Counter()
    of_model, of_story = Model.provenance, Story.digest

    def provenance(model: Model) -> dict[str, Any]:
        counts[model.request.model.name] += 1
        return of_model(model)

    def digest(story: Story, modality: str) -> str:
        counts[story.name] += 1
        return of_story(story, modality)

    monkeypatch.setattr(Model, "provenance", provenance)
    monkeypatch.setattr(Story, "digest", digest)
    return counts


def test_keys_are_made_once_for_a_model_and_a_story(
    plugins: Zoo, study: Dataset, tmp_path: Path, fingerprints: Counter[str]
) -> None:
    store, models = Store(tmp_path / "store"), ["word-rate", "word-length"]
    report = execute.run(plugins, models, study, store)
    assert [result.computed for result in report.results] == [True, True] * len(models)
    assert fingerprints == dict.fromkeys(models, 1) | dict.fromkeys(
        ("one", "two", "three"), len(models)
    )


def test_a_result_is_found_again_however_its_evaluation_is_worded(
    plugins: Zoo, study: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    first = execute.run(plugins, ["word-rate"], study, store)
    monkeypatch.setattr(HeldOutStories, "__str__", lambda self: "some stories were not trained on")
    again = execute.run(plugins, ["word-rate"], study, store)
    assert [result.key for result in again.results] == [result.key for result in first.results]
    assert not any(result.computed for result in again.results)


def test_subjects_with_stories_of_their_own_read_each_story_once(
    plugins: Zoo, study: Dataset, tmp_path: Path
) -> None:
    watched = Watched(study)
    store = Store(tmp_path / "store")
    options = RunOptions(own_stories=True)
    ann, bob = execute.run(plugins, ["word-rate"], watched, store, options).results
    assert (ann.record.subject, bob.record.subject) == ("ann", "bob")
    assert ann.record.train_stories == ("one",)
    assert bob.record.train_stories == ("one", "two")
    assert ann.record.mean_train_stories == 1.5
    assert watched.reads == {"one": 1, "two": 1, "three": 1}
    # Alone, bob is fitted on the same stories and gets the same scores.
    plain = execute.run(
        plugins, ["word-rate"], study, Store(tmp_path / "other"), RunOptions(subjects=["bob"])
    )
    np.testing.assert_array_equal(plain.results[0].map("r"), bob.map("r"))


def test_own_stories_that_are_not_used_are_counted_in_one_line(
    plugins: Zoo, study: Dataset, tmp_path: Path
) -> None:
    class Lines:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

        def task(self, what: str, total: int) -> Any:
            return nullcontext(lambda steps: None)

    progress = Lines()
    execute.run(plugins, ["word-rate"], Watched(study), Store(tmp_path / "s"), progress=progress)
    assert sum("bob 1" in line for line in progress.lines) == 1


def test_a_model_that_fails_does_not_stop_the_others(
    plugins: Zoo, study: Dataset, tmp_path: Path
) -> None:
    # The study has no sound.
    report = execute.run(
        plugins, ["mel-spectrogram", "word-rate"], study, Store(tmp_path / "store")
    )
    ((entry, error),) = report.failures
    assert entry.name == "mel-spectrogram"
    assert isinstance(error, DataError)
    assert [result.record.model for result in report.results] == ["word-rate"] * 2
    assert report.exit_code == 1


def test_a_leak_stops_the_run_before_any_model(
    plugins: Zoo, study: Dataset, tmp_path: Path
) -> None:
    words = tmp_path / "study" / "stories"
    (words / "three" / "words.csv").write_text((words / "one" / "words.csv").read_text())
    store = Store(tmp_path / "store")
    models = ["word-rate", "word-length"]
    with pytest.raises(DataError, match="has the same words as training story 'one'"):
        execute.run(plugins, models, study, store)
    assert not list(store.root.rglob("*"))
    allowed = RunOptions(allow_leaks=["shared-text"])
    report = execute.run(plugins, ["word-rate"], study, store, allowed)
    assert report.results[0].record.leaks == ("shared-text",)


def test_plan_counts_what_run_then_does(plugins: Zoo, study: Dataset, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (before,) = execute.plan(plugins, ["word-rate"], study, store)
    assert not list(store.root.rglob("*"))
    assert (before.extraction.n_stories, before.n_fits, before.n_voxels) == (3, 2, 4)
    execute.run(plugins, ["word-rate"], study, store)
    (after,) = execute.plan(plugins, ["word-rate"], study, store)
    assert after.extraction.n_stories == 0


def test_extract_gives_the_states_of_each_story(plugins: Zoo, study: Dataset) -> None:
    states = execute.extract(plugins, "word-rate", study, stories=["three"])
    assert list(states) == ["three"]
    assert list(states["three"].layers) == [0]
    assert states["three"].layers[0].shape == (len(states["three"].times), 1)
    with pytest.raises(UsageError, match="no story 'four'; there are one, two, three"):
        execute.extract(plugins, "word-rate", study, stories=["four"])


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ("word-rate", {}, UsageError, "models takes a list"),
        (["word-rat"], {}, NotFoundError, "word-rate"),
        (["word-rate"], {"model_options": {"x": "1"}}, UsageError, "model option x: none of these"),
        (["word-rate"], {"subjects": ["carl"]}, NotFoundError, "carl"),
        (["word-rate"], {"ceiling": "glass"}, NotFoundError, "no ceiling 'glass'"),
        (["word-rate"], {"allow_leaks": ["any"]}, UsageError, "the guards are"),
        (["word-rate"], {"regressor_options": {"x": 1}}, UsageError, "has no option 'x'"),
        (["word-rate"], {"layers": "first"}, None, "use all, even, last"),
    ],
)
def test_impossible_options_are_reported_before_anything_is_computed(
    plugins: Zoo, study: Dataset, tmp_path: Path, models: Any, options: Any, error: Any,
    message: str,
) -> None:  # fmt: skip
    store = Store(tmp_path / "store")
    if error is None:  # known once the model is open: a failure of that model
        report = execute.run(plugins, models, study, store, RunOptions(**options))
        assert message in str(report.failures[0][1])
    else:
        with pytest.raises(error, match=message):
            execute.run(plugins, models, study, store, RunOptions(**options))
    assert not (store.root / "results").exists()

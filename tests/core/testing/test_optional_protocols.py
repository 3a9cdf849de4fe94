"""``zoo check`` finds an object whose optional parts break their promise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from data_folder import write_study
from hermetic import Site
from voxelzoo.host.loading import load_host
from voxelzoo.testing import check_plugin

REGRESSORS = """
    import numpy as np

    class OLS:
        def __init__(self, delays=None, spaces=None, cache=None):
            self.delays, self.spaces, self.cache = delays, spaces, cache

        def get_params(self, deep=True):
            return {"delays": self.delays, "spaces": self.spaces, "cache": self.cache}

        def set_params(self, **parameters):
            vars(self).update(parameters)
            return self

        def design(self, X, groups):
            X = np.asarray(X)
            if self.delays is None:
                return X
            stories = [X[groups == each] for each in dict.fromkeys(groups)]
            return np.concatenate([
                np.concatenate([np.pad(s, ((d, 0), (0, 0)))[:len(s)] for d in self.delays], 1)
                for s in stories
            ])

        def fit(self, X, Y, groups=None):
            Y = np.concatenate([Y[:, i:i + 2] for i in range(0, Y.shape[1], 2)], axis=1)
            self.b = np.linalg.lstsq(self.design(X, groups), Y, rcond=None)[0]
            self.alpha_ = np.ones(Y.shape[1])
            rest = Y - self.design(X, groups) @ self.b
            self.cv_score_ = np.sqrt(np.clip(1 - rest.var(0) / Y.var(0), 0, 1))
            self.path_ = "least squares"
            if self.spaces is not None:
                self.weights_ = np.full((Y.shape[1], len(self.spaces)), 0.5)
                self.weights_low_, self.weights_high_ = self.weights_ - 0.1, self.weights_ + 0.1
            return self

        def predict(self, X, groups=None):
            return self.design(X, groups) @ self.b

        def coef_block(self, targets):
            return self.b[:, targets].T

        def parts(self, X):
            return {n: X[:, c] @ self.b[c] for n, c in self.spaces.items()}

        def score_split(self, X, Y):
            total, Y = self.predict(X), Y - Y.mean(0)
            size = np.linalg.norm(total - total.mean(0), axis=0) * np.linalg.norm(Y, axis=0)
            return np.stack([((p - p.mean(0)) * Y).sum(0) / size for p in self.parts(X).values()])

        def partition(self, X, Y):
            r2 = lambda p: 1 - ((Y - p) ** 2).sum(0) / ((Y - Y.mean(0)) ** 2).sum(0)
            each = {name: r2(p) for name, p in self.parts(X).items()}
            a, b = each
            whole = r2(self.predict(X))
            return {
                frozenset([a]): whole - each[b],
                frozenset([b]): whole - each[a],
                frozenset([a, b]): each[a] + each[b] - whole,
            }

    class Alphas(OLS):
        def fit(self, X, Y, groups=None):
            super().fit(X, Y, groups)
            self.alpha_ = -self.alpha_
            return self

    class CVScores(OLS):
        def fit(self, X, Y, groups=None):
            super().fit(X, Y, groups)
            self.cv_score_ = self.cv_score_[:, None]
            return self

    class Coefficients(OLS):
        def coef_block(self, targets):
            return 2 * self.b[:, targets].T

    class Path(OLS):
        def fit(self, X, Y, groups=None):
            super().fit(X, Y, groups)
            self.path_ = "one line\\nand another"
            return self

    class Delays(OLS):
        def design(self, X, groups):
            return super().design(X, np.zeros(len(X)))

    class Streams(OLS):
        def fit(self, X, Y, groups=None):
            return super().fit(X, Y if isinstance(Y, np.ndarray) else 2 * Y[:, :], groups)

    class Cache(OLS):
        def predict(self, X, groups=None):
            return super().predict(X, groups) + (self.cache is not None)

    class Weights(OLS):
        def fit(self, X, Y, groups=None):
            super().fit(X, Y, groups)
            if self.spaces is not None:
                self.weights_ = self.weights_.T
            return self

    class Intervals(OLS):
        def fit(self, X, Y, groups=None):
            super().fit(X, Y, groups)
            if self.spaces is not None:
                self.weights_low_, self.weights_high_ = self.weights_high_, self.weights_low_
            return self

    class Splits(OLS):
        def score_split(self, X, Y):
            return super().score_split(X, Y).T

    class Partitions(OLS):
        def partition(self, X, Y):
            return {n: v for n, v in super().partition(X, Y).items() if len(n) == 1}
"""

BROKEN = {
    "Alphas": "optional HasAlphas",
    "CVScores": "optional HasCVScores",
    "Coefficients": "optional HasCoefficients",
    "Path": "optional ReportsPath",
    "Delays": "delays='self'",
    "Streams": "streams=True",
    "Cache": "cache",
    "Weights": "optional StacksSpaces",
    "Intervals": "optional HasWeightIntervals",
    "Splits": "optional SplitsScores",
    "Partitions": "optional PartitionsVariance",
}
"""Class -> the check that must fail."""

PLUGIN = """
    from voxelzoo.api import DatasetSpec, ExtractorSpec, ModelEntry, RegressorSpec, hookimpl

    @hookimpl
    def zoo_register_regressors():
        for name in {classes}:
            yield RegressorSpec(
                name.lower(), f"kit_heavy:{{name}}", "Least squares.", delays="self", spaces=True,
                streams=True,
            )

    @hookimpl
    def zoo_register_datasets():
        for name in ("Stories", "Opens", "Own", "Unusable", "Averages", "Disagreements"):
            yield DatasetSpec(name.lower(), f"kit_heavy:{{name}}", "Stories.", needs_path=False)

    @hookimpl
    def zoo_register_extractors():
        for name in ("Ones", "Costs", "FirstToken", "Describes"):
            row = ModelEntry(name.lower(), "kit", "text", extractor=name.lower(), embed_dim=1)
            yield ExtractorSpec(name.lower(), f"kit_heavy:{{name}}", "text", "Ones.", tiny=row)
"""

DATASETS = """
    from contextlib import contextmanager
    from voxelzoo.api import Cost, DataError, DatasetInfo, ScanClock, StateBlock, Story, Words

    class Stories:
        def __init__(self, path=None):
            pass
        def info(self):
            return DatasetInfo("stories", "Stories.")
        def subjects(self):
            return ["s", "mean"]
        def train_stories(self):
            return ["a", "b"]
        def test_stories(self):
            return ["c"]
        def clock(self, story):
            return ScanClock(2.0, 0.0, 40)
        def story(self, name):
            onsets = np.arange(90) * 0.8
            return Story(name, words=Words(tuple(f"{name}{i}" for i in range(90)), onsets, onsets))
        def responses(self, subject, story):
            if subject == "ill":
                raise DataError("he slept")
            return np.random.default_rng(ord(story)).standard_normal((40, 3)).astype(np.float32)
        def voxel_labels(self, subject):
            return None
        def fingerprint(self, subject, story):
            return story
        @contextmanager
        def open_responses(self, subject, story):
            yield self.responses(subject, story)
        def own_stories(self, subject):
            return ["d"] if subject == "s" else []
        def unusable_subjects(self):
            return {"ill": "he slept"}
        def averages(self):
            return ["mean"]
        def disagreements(self):
            return ["a: 40 TRs, published with 41"]

    class Opens(Stories):
        @contextmanager
        def open_responses(self, subject, story):
            yield 2 * self.responses(subject, story)

    class Own(Stories):
        def own_stories(self, subject):
            return ["a"]

    class Unusable(Stories):
        def unusable_subjects(self):
            return {"s": "he slept"}

    class Averages(Stories):
        def averages(self):
            return ["nobody"]

    class Disagreements(Stories):
        def disagreements(self):
            return ["one\\ntwo"]

    class Ones:
        def __init__(self, request):
            self.row = request.model
        def layers(self):
            return [0]
        def fingerprint(self):
            return {}
        def times(self, story):
            return story.need_words().times
        def extract(self, story, layers, start=0):
            n = len(story.need_words())
            yield StateBlock(start, np.ones((len(layers), n - start, 1), np.float32))
        def close(self):
            pass
        def cost(self, story, layers):
            n = len(story.need_words())
            return Cost(n, n, float(n), 0.1 * n, 1e6)

        def describe_first_token(self):
            return "<s>"
        def describe_model(self):
            return self.row
        def describe_weights(self):
            return None

    class FirstToken(Ones):
        def describe_first_token(self):
            return ""

    class Describes(Ones):
        def describe_model(self):
            return replace(self.row, name="another")

    class Costs(Ones):
        def cost(self, story, layers):
            return Cost(0, 1, 1.0, 1.0, 1.0)
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Class -> the checks that failed, of every check that was not skipped."""
    folder = tmp_path_factory.mktemp("site")
    classes = ("OLS", *BROKEN)
    source = PLUGIN.format(classes=classes)
    heavy = REGRESSORS + DATASETS
    Site(folder).add("zoot-kit", {"kit": source}, other={"kit_heavy": heavy})
    sys.path.insert(0, str(folder))
    try:
        reports = check_plugin(load_host(), "kit")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("kit_heavy", None)
    return {
        report.subject: [check.name for check in report.checks if check.status == "failed"]
        for report in reports
    }


@pytest.mark.parametrize("whole", ["kit/ols", "kit/stories", "kit/ones"])
def test_an_object_that_keeps_every_promise_passes(
    failed: dict[str, list[str]], whole: str
) -> None:
    assert failed[whole] == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_regressors_broken_promise_is_found(failed: dict[str, list[str]], name: str) -> None:
    (check,) = failed[f"kit/{name.lower()}"]
    assert check.startswith(BROKEN[name])


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("opens", "OpensResponses"),
        ("own", "HasOwnStories"),
        ("unusable", "HasUnusableSubjects"),
        ("averages", "HasAverages"),
        ("disagreements", "HasDisagreements"),
        ("costs", "EstimatesCost"),
        ("firsttoken", "HasFirstToken"),
        ("describes", "DescribesModel"),
    ],
)
def test_a_datasets_or_extractors_broken_promise_is_found(
    failed: dict[str, list[str]], name: str, protocol: str
) -> None:
    (check,) = failed[f"kit/{name}"]
    assert check.startswith(f"optional {protocol}")


def test_a_dataset_that_needs_a_folder_is_checked_in_it(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    reports = check_plugin(load_host(), "datasets", [f"folder:{study}"])
    (folder,) = [report for report in reports if report.subject == "datasets/folder"]
    status = {check.name: check.status for check in folder.checks}
    assert status["responses are (TR, voxel), as long as the clock"] == "passed"
    assert status["optional OpensResponses: equals responses"] == "passed"

"""Checks of a dataset: one that needs no folder, or one whose folder is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from voxelzoo.api import (
    DataError,
    Dataset,
    DatasetSpec,
    HasAverages,
    HasDisagreements,
    HasOwnStories,
    HasUnusableSubjects,
    OpensResponses,
)
from voxelzoo.data.opening import open_dataset
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.testing.report import Named, Skipped


def dataset_checks(
    host: Host, registered: Registered[DatasetSpec], named: str | None
) -> list[Named]:
    """Checks of a dataset.

    Parameters
    ----------
    host
        The plugins.
    registered
        The dataset's spec.
    named
        The dataset as ``NAME:PATH``; ``None`` if no folder is given.
    """
    spec = registered.spec
    if named is None and spec.needs_path:

        def no_folder() -> None:
            raise Skipped(
                f"needs its folder: zoo check {registered.plugin} --dataset {spec.name}:PATH"
            )

        return [("opens", no_folder)]
    trial = _Trial(lambda: open_dataset(host, named or spec.name))
    return [
        ("opens", trial.opens),
        ("keeps the protocol", trial.protocol),
        ("stories have a stimulus and a clock", trial.stories),
        ("responses are (TR, voxel), as long as the clock", trial.responses),
        ("labels are as many as voxels", trial.labels),
        ("fingerprints are repeatable, and differ between stories", trial.fingerprints),
        ("optional OpensResponses: equals responses", trial.opens_responses),
        ("optional HasOwnStories: none is a common or a test story", trial.own_stories),
        ("optional HasUnusableSubjects: refused, with the reason", trial.unusable),
        ("optional HasAverages: are subjects", trial.averages),
        ("optional HasDisagreements: one line each", trial.disagreements),
    ]


class _Trial:
    """A dataset, opened once, and each check of it on its first subject."""

    def __init__(self, opens: Callable[[], Dataset]) -> None:
        self.dataset = cache(opens)

    @property
    def subject(self) -> str:
        return next(iter(self.dataset().subjects()))

    @property
    def heard(self) -> list[str]:
        """A training story and, if there is one, a test story."""
        train, test = self.dataset().train_stories(), self.dataset().test_stories()
        return [*list(train)[:1], *list(test)[:1]]

    def opens(self) -> None:
        self.dataset()

    def protocol(self) -> None:
        assert isinstance(self.dataset(), Dataset), "methods of voxelzoo.api.Dataset are missing"
        info = self.dataset().info()
        assert info.name, "info() has no name"
        assert info.summary, "info() has no summary"

    def stories(self) -> None:
        for name in self.heard:
            story, clock = self.dataset().story(name), self.dataset().clock(name)
            assert story.name == name, f"story({name!r}) is named {story.name!r}"
            assert story.words is not None or story.audio is not None or story.features, (
                f"story {name!r} has neither words nor sound nor features"
            )
            assert clock.n_trs > 0, f"clock({name!r}) has no row"
            assert clock.tr > 0, f"clock({name!r}) has a TR of {clock.tr} s"

    def responses(self) -> None:
        widths = set()
        for name in self.heard:
            values = np.asarray(self.dataset().responses(self.subject, name))
            assert values.ndim in (2, 3), f"responses to {name!r} have shape {values.shape}"
            assert values.dtype.kind == "f", f"responses to {name!r} are {values.dtype}"
            n_trs = self.dataset().clock(name).n_trs
            assert values.shape[-2] == n_trs, (
                f"responses to {name!r} have {values.shape[-2]} rows, its clock {n_trs}"
            )
            widths.add(values.shape[-1])
        assert len(widths) == 1, f"stories have {sorted(widths)} voxels"

    def labels(self) -> None:
        labels = self.dataset().voxel_labels(self.subject)
        if labels is None:
            raise Skipped("voxels have no labels: no score of a region")
        n_voxels = np.shape(self.dataset().responses(self.subject, self.heard[0]))[-1]
        assert len(labels) == n_voxels, f"{len(labels)} labels for {n_voxels} voxels"

    def fingerprints(self) -> None:
        digests = [self.dataset().fingerprint(self.subject, name) for name in self.heard]
        again = [self.dataset().fingerprint(self.subject, name) for name in self.heard]
        assert digests == again, "the same responses have two fingerprints"
        assert len(set(digests)) == len(digests), "two stories have one fingerprint"

    # ------------------------------------------------------------------------------------ optional

    def opens_responses(self) -> None:
        dataset = self.dataset()
        if not isinstance(dataset, OpensResponses):
            raise Skipped("it has no open_responses: responses are read whole")
        for name in self.heard:
            whole = np.asarray(self.dataset().responses(self.subject, name))
            with dataset.open_responses(self.subject, name) as stored:
                assert tuple(stored.shape) == whole.shape, f"shape {stored.shape}, {whole.shape}"
                block = np.asarray(stored[..., 0 : max(1, whole.shape[-1] // 2)])
            expected = whole[..., : block.shape[-1]]
            assert np.array_equal(block, expected, equal_nan=True), (
                f"open_responses of {name!r} differs from responses"
            )

    def own_stories(self) -> None:
        dataset = self.dataset()
        if not isinstance(dataset, HasOwnStories):
            raise Skipped("it has no own_stories: every subject heard the same")
        common = {*self.dataset().train_stories(), *self.dataset().test_stories()}
        for subject in self.dataset().subjects():
            both = common & set(dataset.own_stories(subject))
            assert not both, f"{sorted(both)[0]!r} of {subject!r} is a common or a test story"

    def unusable(self) -> None:
        dataset = self.dataset()
        if not isinstance(dataset, HasUnusableSubjects):
            raise Skipped("it has no unusable_subjects: every subject can be fitted")
        for subject, reason in dataset.unusable_subjects().items():
            assert subject not in self.dataset().subjects(), f"{subject!r} is also a subject"
            assert reason.strip(), f"no reason why {subject!r} is unusable"
            try:
                self.dataset().responses(subject, self.heard[0])
            except DataError:
                continue
            raise AssertionError(f"responses of the unusable subject {subject!r} are given")

    def averages(self) -> None:
        dataset = self.dataset()
        if not isinstance(dataset, HasAverages):
            raise Skipped("it has no averages: every subject is a person")
        unknown = set(dataset.averages()) - set(self.dataset().subjects())
        assert not unknown, f"{sorted(unknown)} are not subjects"

    def disagreements(self) -> None:
        dataset = self.dataset()
        if not isinstance(dataset, HasDisagreements):
            raise Skipped("it has no disagreements: nothing to compare with")
        for line in dataset.disagreements():
            assert len(line.splitlines()) == 1, f"{line!r} is not one line"

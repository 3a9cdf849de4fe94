"""What the numbers of every figure are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from voxelzoo.api import Dataset
from voxelzoo.data.opening import averages
from voxelzoo.data.responses import read_responses
from voxelzoo.recipes.figures.result import FigureError
from voxelzoo.recipes.recipe_runs import RecipeRun, RunOutcomes, RunResults
from voxelzoo.science.arrays import Floats
from voxelzoo.science.ceilings import DEFAULT, ceiling_method, estimate_ceiling
from voxelzoo.science.protocols import FitProtocol


@dataclass(frozen=True)
class FigureInputs:
    """A dataset, what a recipe runs on it, and the results so far."""

    dataset: Dataset
    subjects: Sequence[str]
    """Subjects that the recipe is run for."""
    protocol: FitProtocol
    model_layers: Mapping[str, str]
    """Layers of each model that the recipe runs, as for ``zoo run --layer``."""
    n_train: Mapping[str, int]
    """Number of training stories of each subject."""
    outcomes: RunOutcomes
    trimmed_test_trs: int = 0
    """TRs that the recipe drops from the start of each test story; 0 if it does not say."""
    _ceilings: dict[tuple[str, str | None, float | None], Floats] = field(
        default_factory=dict, init=False, repr=False
    )
    _repeated: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_stories(self) -> int:
        """Training stories of the subject who has the fewest."""
        return min(self.n_train.values())

    def is_all_stories(self, n: int) -> bool:
        """Whether ``n`` training stories are all the stories of every subject."""
        return n >= self.n_stories and len(set(self.n_train.values())) == 1

    def results(self, run: RecipeRun, subjects: Sequence[str] = ()) -> RunResults:
        """Results of a run.

        Parameters
        ----------
        run : RecipeRun
            A run that the figure asked for.
        subjects : sequence of str
            Only these subjects; all if empty.

        Raises
        ------
        FigureError
            If the run has no result of these subjects; with the reason.
        """
        results = self.outcomes.results.get(run)
        if results is None:
            raise FigureError(self.outcomes.reasons.get(run, "was not run"))
        selected = {at: each for at, each in results.items() if not subjects or at[0] in subjects}
        if not selected:
            raise FigureError(f"{', '.join(subjects)}: no such subject was run")
        # A mean over subjects is no further subject; by itself it can be shown.
        people = {at: each for at, each in selected.items() if not each.record.is_average}
        return people or selected

    def responses(self, story: str, subjects: Sequence[str] = ()) -> Floats:
        """Responses to a story, (subject, TR, voxel), each the mean over repeats.

        Parameters
        ----------
        story : str
            Name of a story that every subject heard. Voxels must correspond between subjects.
        subjects : sequence of str
            Only these subjects; all if empty. Means over subjects are not used.
        """
        people = [each for each in self.subjects if each not in averages(self.dataset)]
        chosen = [each for each in people if not subjects or each in subjects]
        maps = [self.dataset.responses(subject, story) for subject in chosen]
        return np.stack([each.mean(axis=0) if each.ndim == 3 else each for each in maps])

    def ceiling(self, subject: str, story: str | None, floor: float | None) -> Floats:
        """Noise ceiling (CCmax) of each voxel, (voxel,), from the repeats of one test story.

        Parameters
        ----------
        subject : str
            Name of the subject.
        story : str or None
            Name of the test story; ``None`` for the story with the most repeats
            (:meth:`repeated_story`).
        floor : float or None
            Lowest value of a ceiling; ``None`` for no floor.

        Raises
        ------
        FigureError
            If there are no single repeats.
        """
        key = subject, story, floor
        if key not in self._ceilings:
            name = story or self.repeated_story(subject)
            if (repeats := self._repeats(subject, name)) is None:
                raise FigureError(f"needs repeats: {subject} has no single repeats of {name!r}")
            method = ceiling_method(DEFAULT, self.protocol)
            self._ceilings[key] = estimate_ceiling(repeats, method, floor).values
        return self._ceilings[key]

    def repeated_story(self, subject: str) -> str:
        """The test story that a subject heard most often.

        Raises
        ------
        FigureError
            If there are no single repeats.
        """
        if subject not in self._repeated:
            stories = {name: self._repeats(subject, name) for name in self.dataset.test_stories()}
            n = {name: len(repeats) for name, repeats in stories.items() if repeats is not None}
            if not n:
                raise FigureError("needs repeats: no held-out story has single repeats")
            self._repeated[subject] = max(n, key=lambda name: n[name])
        return self._repeated[subject]

    def _repeats(self, subject: str, story: str) -> Floats | None:
        """(repeat, TR, voxel) of a test story, without the rows that the protocol skips."""
        dataset, protocol = self.dataset, self.protocol
        n_trs = dataset.clock(story).n_trs
        responses = read_responses(dataset, subject, story, n_trs, protocol.standardise_responses)
        if responses.repeats is None:
            return None
        rows: Floats = responses.repeats[:, protocol.skip_test_trs :]
        return rows

    def n_first_trs(self, seconds: float) -> int:
        """Number of TRs at the start of a test story that ``seconds`` are.

        If the recipe says how many TRs it drops there, that number is used, whatever ``seconds``.
        """
        stories = list(self.dataset.test_stories() or self.dataset.train_stories())
        times = self.dataset.clock(stories[0]).times
        return self.trimmed_test_trs or int((times < seconds).sum())

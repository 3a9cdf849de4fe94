"""Stories, clocks and responses of one dataset, each read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from voxelzoo.api import Dataset, ScanClock, Story
from voxelzoo.data.averages import undeclared_averages
from voxelzoo.data.opening import averages
from voxelzoo.data.responses import ResponseCache
from voxelzoo.disk.drafts import Draft, remove_abandoned_drafts
from voxelzoo.science.responses import Responses
from voxelzoo.store.store import Store


class Stimulus(NamedTuple):
    """A story, and when each of its response rows was acquired."""

    story: Story
    clock: ScanClock


class DatasetReader:
    """Reads a dataset; whatever was read before is not read again.

    Several plans on one dataset can share a reader: stories are then parsed, and sound is hashed,
    once for all of them.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    store : Store
        Responses too large for memory are kept in its drafts while the reader is in use.
    """

    def __init__(self, dataset: Dataset, store: Store) -> None:
        self.dataset = dataset
        self._store = store
        self._stimuli: dict[str, Stimulus] = {}
        self._fingerprints: dict[tuple[str, str], str] = {}
        self._responses: ResponseCache | None = None

    def stimulus(self, name: str, shift: float = 0.0) -> Stimulus:
        """A story and its clock.

        Parameters
        ----------
        name : str
            The story.
        shift : float, default 0
            Seconds by which the stimulus is moved later, relative to the responses.

        Returns
        -------
        Stimulus
        """
        if name not in self._stimuli:
            self._stimuli[name] = Stimulus(self.dataset.story(name), self.dataset.clock(name))
        story, clock = self._stimuli[name]
        return Stimulus(story, replace(clock, start=clock.start - shift))

    def responses(
        self, subject: str, n_trs: Mapping[str, int], standardise: bool
    ) -> Mapping[str, Responses]:
        """A subject's responses by story.

        Parameters
        ----------
        subject : str
            The subject.
        n_trs : mapping of str to int
            The stories wanted, and the number of TRs that each must have.
        standardise : bool
            Whether each repeat is z-scored over time.

        Returns
        -------
        mapping of str to Responses
        """
        if self._responses is None:
            remove_abandoned_drafts(self._store.root)
            self._responses = ResponseCache(Draft(self._store.root))
        return self._responses.take(self.dataset, subject, n_trs, standardise)

    @cached_property
    def undeclared_averages(self) -> dict[str, tuple[str, ...]]:
        """Subjects that are means over others although the dataset does not say so."""
        stories = (*self.dataset.test_stories(), *self.dataset.train_stories())
        return undeclared_averages(self.dataset, stories)

    @property
    def averages(self) -> frozenset[str]:
        """Subjects that are means over others, whether the dataset says so or not."""
        return averages(self.dataset) | self.undeclared_averages.keys()

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of a subject's responses to a story."""
        if (subject, story) not in self._fingerprints:
            self._fingerprints[subject, story] = self.dataset.fingerprint(subject, story)
        return self._fingerprints[subject, story]

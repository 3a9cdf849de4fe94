"""Write the methods paragraph of a result and its citations.

Every fact comes from the store. Citations come from the installed plugins and the model catalogue.
The host itself cites only protocols, noise ceilings and software. Missing information is listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from voxelzoo.api import ModelEntry, bibtex_key
from voxelzoo.contract.citations import bibtex_fields
from voxelzoo.host.catalogue import Catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.science.ceilings import DEFAULT, METHODS
from voxelzoo.science.undefined import REASONS
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store
from voxelzoo.text import counted, listed

PROTOCOLS = {"antonello2023": "antonello2023scaling"}
"""Protocol -> key of its citation."""

CEILINGS = {
    "schoppe": (
        "estimated from repeated test responses by signal and noise power (CCmax)",
        "schoppe2016",
    ),
    "split-half": (
        "estimated as the reliability of repeated test responses, from r between halves of them "
        "by the Spearman-Brown formula",
        "hsu2004",
    ),
    "explainable-variance": (
        "estimated as the root of the bias-corrected explainable variance of repeated test "
        "responses",
        "hsu2004",
    ),
    "inter-subject": (
        "estimated as r of the subject's held-out responses with the mean of the other subjects'",
        "nastase2019",
    ),
}
"""Noise ceiling -> description of the method, and key of its citation."""


@dataclass(frozen=True)
class Explanation:
    """Methods paragraph and citations of one result."""

    key: str
    sentences: tuple[str, ...]
    entries: Mapping[str, str]
    """BibTeX entries by key, in order of first citation."""
    missing: tuple[str, ...]
    """Missing information, one phrase per item."""

    @property
    def paragraph(self) -> str:
        """The methods paragraph."""
        return " ".join(self.sentences)

    @property
    def bibtex(self) -> str:
        """All BibTeX entries."""
        return "\n\n".join(self.entries.values())

    def record(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "key": self.key,
            "methods": self.paragraph,
            "citations": list(self.entries),
            "bibtex": self.bibtex,
            "missing": list(self.missing),
        }


@cache
def bibliography() -> dict[str, str]:
    """BibTeX entries of the host's methods and software, by key.

    Entries of plugins are in their specs.
    """
    text = (resources.files("voxelzoo") / "citations.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"\n\s*\n(?=@)", text) if entry.strip()]
    return {bibtex_key(entry): entry for entry in entries}


@cache
def software() -> dict[str, str]:
    """Distribution -> key of its citation.

    Read from the field ``software`` of the entries in :func:`bibliography`.
    """
    fields = {key: bibtex_fields(entry) for key, entry in bibliography().items()}
    return {each["software"]: key for key, each in fields.items() if "software" in each}


def explain(result: Result, store: Store, host: Host, catalogue: Catalogue) -> Explanation:
    """Explain the methods of one result.

    Parameters
    ----------
    result
        The result.
    store
        The store with the result and the states that were fitted.
    host, catalogue
        The installed plugins and models, for citations and licences.

    Returns
    -------
    Explanation
        The sentences, the citations and the missing information.
    """
    writer = _Writer(result, store, host, catalogue)
    sentences = tuple(writer.sentences())
    return Explanation(result.key, sentences, writer.entries, tuple(dict.fromkeys(writer.missing)))


@dataclass
class _Writer:
    """Writes the sentences and collects citations and missing information."""

    result: Result
    store: Store
    host: Host
    catalogue: Catalogue
    entries: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = self.result.record
        self.provenance = self.result.provenance
        states: Mapping[str, Any] = self.provenance["states"]
        joint = self.record.fit == "joint"
        self.spaces = states if joint else {self.record.model: states}
        self.states = {
            space: self._states_provenance(space, keys) for space, keys in self.spaces.items()
        }

    def _states_provenance(self, space: str, keys: Mapping[str, str]) -> dict[str, Any]:
        """Provenance of the states of one story; other stories differ in story and clock only."""
        for key in keys.values():
            if (artefact := self.store.get("aligned", key)) is not None:
                return artefact.provenance
        self.missing.append(
            f"how the states of {space} were computed: they are no longer in the store"
        )
        return {}

    def sentences(self) -> Iterator[str]:
        """The sentences, in order."""
        yield from self._data()
        yield from self._held_out()
        for space, provenance in self.states.items():
            yield from self._model(space, provenance)
        if (token := self.record.first_token) is not None:
            yield f"The special token before every context was: {token}."
        yield from self._alignment()
        yield from self._regression()
        yield from self._scores()
        yield from self._exceptions()
        yield self._software()

    # ---------------------------------------------------------------------------------- citations

    def _cite(self, *entries: str) -> None:
        for entry in entries:
            self.entries.setdefault(bibtex_key(entry), entry)

    def _cite_own(self, key: str) -> None:
        """Cite an entry of :func:`bibliography`."""
        self._cite(bibliography()[key])

    def _cite_spec(self, registered: Sequence[Registered[Any]], name: str) -> None:
        """Cite the entries of the plugin with this canonical id, if it is installed."""
        for each in registered:
            if each.id == name:
                self._cite(*each.spec.bibtex)

    def _cite_model(
        self, model: Mapping[str, Any], entry: ModelEntry | None, extractor: str
    ) -> None:
        """Cite the entries of the model's catalogue row and of its extractor."""
        self._cite_spec(self.host.extractors, extractor)
        key = entry.citation if entry is not None else None
        model_entries = {
            bibtex_key(each): each
            for registered in self.host.extractors
            if registered.id == extractor
            for each in registered.spec.model_bibtex
        }
        if entry is not None:
            self._cite(*entry.bibtex)
        if key in model_entries:
            self._cite(model_entries[key])
        elif key is not None:
            self.missing.append(f"BibTeX of {key}")
        elif model["repo"] and not (entry is not None and entry.bibtex):
            self.missing.append(f"citation of model {model['id']}")

    # --------------------------------------------------------------------------------- sentences

    def _data(self) -> Iterator[str]:
        record, name = self.record, self.record.dataset
        licence, citation = record.dataset_licence, record.dataset_citation
        for registered in self.host.datasets:
            if registered.spec.name == name:
                licence = licence or registered.spec.licence
                citation = citation or registered.spec.citation
                self._cite(*registered.spec.bibtex)
        if not licence:
            self.missing.append(f"licence of dataset {name}")
        if not citation:
            self.missing.append(f"citation of dataset {name}")
        details = [f"licence {licence}" if licence else "", (citation or "").rstrip(".")]
        brackets = "; ".join(detail for detail in details if detail)
        undefined = record.n_undefined_voxels
        reasons = listed(REASONS[reason].partition(":")[0] for reason in record.undefined)
        because = f" ({reasons})" if reasons else ""
        without_score = (
            f", {undefined} of which have no defined score{because}" if undefined else ""
        )
        who = f"subject {record.subject}"
        if record.is_average:
            who = f"{record.subject}, a mean over other subjects,"
        yield (
            f"Responses of {who} of the dataset {name}"
            f"{f' ({brackets})' if brackets else ''} were predicted in "
            f"{counted(record.n_voxels, 'voxel')}{without_score}."
        )
        if record.dataset_preparation is not None:
            yield f"Before that, {record.dataset_preparation}."

    def _held_out(self) -> Iterator[str]:
        record, protocol = self.record, self.provenance["protocol"]
        train, test = record.train_stories, record.test_stories
        hours = f"{counted(record.n_train, 'TR')}, {record.train_hours:.2f} h"
        if test:
            seed = record.subset_seed
            drawn = "" if seed is None else f", drawn at random with seed {seed}"
            yield (
                f"Models were fitted on {counted(len(train), 'story', 'stories')} ({hours}{drawn}: "
                f"{listed(train)}) and tested on {listed(test)} "
                f"({counted(record.n_test, 'TR')}), which were held out."
            )
            if seed is None and (mean := record.mean_train_stories) is not None:
                yield (
                    "Subjects heard different training stories; each was fitted on all of its own, "
                    f"{_number(mean)} on average."
                )
            if protocol["skip_test_trs"]:
                yield (
                    f"The first {protocol['skip_test_trs']} TRs of each test story were excluded."
                )
        else:
            yield (
                f"Models were tested by {record.evaluation} of the story {listed(train)}, each "
                f"fold predicted by a fit on the rest (at least {counted(record.n_train, 'TR')} "
                f"of {record.n_test})."
            )

    def _model(self, space: str, provenance: Mapping[str, Any]) -> Iterator[str]:
        if not provenance:
            yield f"Features were {space}."
            return
        model, layer = self._identity(space, provenance), provenance["layer"]
        entry = next((e for e in self.catalogue.entries if e.id == model["id"]), None)
        self._cite_model(model, entry, provenance["extractor"]["id"])
        depth = model["architecture"] and entry is not None and entry.n_layers
        name = model["id"].partition("/")[2]
        size = self.record.n_parameters
        weights = self._weights(model, provenance)
        facts = [model["repo"] if not provenance["untrained"] else "", weights]
        if size:
            facts.append(f"{size:,} parameters")
        facts.append(f"{provenance['dtype']} arithmetic")
        place = f"layer {layer} of {depth}" if depth else f"layer {layer}"
        network = model["architecture"] or model["repo"]
        features = f"the hidden states of {place} of {name}" if network else name
        if not network and entry is not None and entry.summary:
            features += f": {entry.summary[0].lower()}{entry.summary[1:].rstrip('.')}"
        yield f"Features were {features} ({', '.join(part for part in facts if part)})."
        extractor = provenance["extractor"]
        # The source is the network's own configuration, not a setting of the extraction.
        # The first token has a sentence of its own, and a baseline's settings are its summary.
        hidden = ("source", "first_tokens")
        chosen = {k: v for k, v in extractor["fingerprint"].items() if k not in hidden}
        settings = {**(_flat(chosen) if network else {}), **provenance["options"]}
        settings = {name: value for name, value in settings.items() if value is not False}
        with_settings = f" with {_settings(settings)}" if settings else ""
        yield (
            f"They were computed by the extractor {extractor['id']} ({extractor['distribution']} "
            f"{extractor['version']}){with_settings}."
        )

    def _identity(self, space: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """The model's id, repository and revision; states of a local folder do not have them."""
        if self.record.fit == "joint":
            return {**provenance["model"], "id": self.provenance["models"][space]}
        record = self.record
        known = {"id": record.model_id, "repo": record.repo, "revision": record.revision}
        return {**provenance["model"], **known}

    def _weights(self, model: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
        if provenance["untrained"]:
            return f"untrained: random weights with seed {provenance['seed']}"
        if not model["repo"]:
            return ""
        if model["revision"]:
            return f"revision {model['revision']}"
        return "revision not pinned"

    def _alignment(self) -> Iterator[str]:
        record, protocol = self.record, self.provenance["protocol"]
        provenance = next((each for each in self.states.values() if each), None)
        if provenance is None:
            yield f"States were resampled to scan times by {record.aligner}."
            tr = None
        else:
            aligner, tr = provenance["aligner"], provenance["clock"]["tr"]
            self._cite_spec(self.host.aligners, aligner["id"])
            settings = _flat(aligner["fingerprint"])
            yield (
                f"States were resampled to the TR of {_number(tr)} s by {record.aligner}"
                f"{f' ({_settings(settings)})' if settings else ''}."
            )
        across = (
            "after stories were joined" if protocol["delays_cross_stories"] else "within each story"
        )
        seconds = [f"{_number(delay * tr)}" for delay in record.delays] if tr else []
        inside = f" ({listed(seconds)} s)" if seconds else ""
        standard = (
            "and so were responses"
            if protocol["standardise_responses"]
            else "and responses were not"
        )
        yield (
            f"Each story's features were z-scored over time, {standard}; finite impulse responses "
            f"were modelled by delays of {listed(record.delays)} TRs{inside}, {across}."
        )

    def _regression(self) -> Iterator[str]:
        regressor = self.provenance["regressor"]
        parameters = dict(regressor["parameters"])
        alphas = parameters.pop("alphas", None)
        grid = f" over {_grid(alphas)}" if alphas else ""
        chosen = {k: v for k, v in parameters.items() if v is not None and v is not False}
        others = f"with {_settings(chosen)}" if chosen else ""
        for each in self.host.regressors:
            if each.id == regressor["id"] and each.spec.describe is not None:
                others = each.spec.describe(parameters)
        yield (
            f"Each voxel was fitted by {regressor['id'].partition('/')[2]} "
            f"({regressor['distribution']} {regressor['version']}){grid}"
            f", under the protocol {self.record.protocol}{f': {others}' if others else ''}."
        )
        self._cite_spec(self.host.regressors, regressor["id"])
        if self.record.protocol in PROTOCOLS:
            self._cite_own(PROTOCOLS[self.record.protocol])

    def _scores(self) -> Iterator[str]:
        record = self.record
        over = (
            "over the concatenated test stories"
            if record.test_stories
            else "as the mean over folds"
        )
        mean = record.scores.mean_r
        summary = "" if mean is None else f"; its mean over voxels was {mean:.4f}"
        yield (f"Performance is Pearson's r of predicted and measured responses, {over}{summary}.")
        if (bound := record.scores.mean_ceiling) is None:
            yield "No noise ceiling was estimated."
            return
        method, citation = CEILINGS[record.ceiling_method or DEFAULT]
        self._cite_own(citation)
        if (least := METHODS[record.ceiling_method or DEFAULT].floor) is not None:
            floor = record.ceiling_floor
            method += ", without a floor" if floor is None else f", with a floor of {least}"
        yield f"The noise ceiling of a voxel was {method}; its mean was {bound:.4f}."
        if (share := record.scores.mean_r_normalised) is not None:
            yield f"{self._normalised()}; the mean was {share:.4f}."

    def _normalised(self) -> str:
        """What r was divided by, and over which stories."""
        record = self.record
        if set(record.ceiling_stories) in (set(), set(record.test_stories)):
            return "Normalised performance is r divided by the ceiling"
        mean, which = record.scores.mean_r_repeated, listed(record.ceiling_stories)
        r = "" if mean is None else f" (mean r {mean:.4f})"
        return (
            f"The ceiling is that of {which}, heard more than once, so normalised performance is "
            f"r over the same rows{r} divided by the ceiling"
        )

    def _exceptions(self) -> Iterator[str]:
        record = self.record
        if record.shift:
            yield (f"As a control, the stimulus was shifted {record.shift} s later.")
        if record.leaks:
            yield f"Leaks that were detected and allowed: {'; '.join(record.leaks)}."

    def _software(self) -> str:
        versions = self.record.software
        for name in versions:
            if name in software():
                self._cite_own(software()[name])
        for provenance in self.states.values():
            if provenance and (name := provenance["extractor"]["distribution"]) not in versions:
                versions = {**versions, name: provenance["extractor"]["version"]}
        packages = [f"{name} {version}" for name, version in versions.items()]
        return f"Software: {listed(packages)}."


def _number(value: float) -> str:
    return f"{value:.6g}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings; names become ``outer inner``."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat


def _settings(settings: Mapping[str, Any]) -> str:
    return listed([f"{name.replace('_', ' ')} {_value(value)}" for name, value in settings.items()])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return "/".join(_value(item) for item in value)
    return str(value)


def _grid(alphas: Any) -> str:
    """Describe a grid of alphas by its range and size if it is evenly spaced in logarithm."""
    if alphas == "auto":
        return "values of alpha in steps of 10^0.5 that cover the spectrum of the training design"
    if not isinstance(alphas, list) or len(alphas) < 3:
        return f"alpha {_value(alphas)}"
    steps = np.diff(np.log10(np.asarray(alphas, dtype=float)))
    ends = f"from {_number(alphas[0])} to {_number(alphas[-1])}"
    if np.allclose(steps, steps[0], rtol=1e-6):
        return f"{len(alphas)} values of alpha {ends}, evenly spaced in logarithm"
    return f"alphas {listed([_number(alpha) for alpha in alphas])}"

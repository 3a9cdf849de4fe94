"""``zoo explain``: what it says is what the result's record says."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from hermetic import Site
from voxelzoo.contract.citations import bibtex_fields, bibtex_key, citation_line
from voxelzoo.host.catalogue import load_catalogue
from voxelzoo.host.loading import load_host
from voxelzoo.reports.explain import CEILINGS, PROTOCOLS, bibliography, software
from zoo_cli import Zoo

OPT = """
schema_version: 1
models:
  opt-mini:
    plugin: opt
    modality: text
    n_parameters: 12345
    n_layers: 2
    embed_dim: 32
    citation: zhang2022opt
    architecture:
      model_type: opt
      num_hidden_layers: 2
      hidden_size: 32
      word_embed_proj_dim: 32
      ffn_dim: 64
      num_attention_heads: 4
      vocab_size: 320
"""


def run(zoo: Zoo, *more: object) -> str:
    """Key of one result."""
    ended = zoo("run", "--json", "-q", "--subject", "sub-01", *more)
    assert ended.code == 0, ended.err
    return str(ended.json["results"][0]["key"])


def test_says_data_features_fit_and_software(zoo: Zoo) -> None:
    key = run(zoo, "-p", "word-rate", "--train-stories", 2, "--subset-seed", 7, "--shift", 3)
    told = zoo("explain", key[:12]).out
    record = zoo("results", "show", key, "--json").json["result"]
    for said in (
        "subject sub-01 of the dataset simulated (licence Apache-2.0)",
        "160 voxels",
        "2 stories (100 TRs, 0.04 h, drawn at random with seed 7",
        "tested on test01 (50 TRs)",
        "Features were word-rate",
        "TR of 1.5 s by lanczos (window 3 and cutoff 1)",
        "delays of 1, 2, 3, 4 and 5 TRs (1.5, 3, 4.5, 6 and 7.5 s), within each story",
        f"ridge (voxelzoo {version('voxelzoo')}) over values of alpha in steps of 10^0.5",
        f"mean over voxels was {record['mean_r']:.4f}",
        "with a floor of 0.25",
        "stimulus was shifted 3.0 s later",
        f"numpy {record['software']['numpy']}",
    ):
        assert said in told, said
    assert f"torch {record['software']['torch']}" in told  # ridge computes with it
    assert "transformers" not in told
    assert "word-rate: a one at the midpoint of each spoken word" in told
    assert "one alpha for each voxel, the one with the highest mean Pearson's r over folds" in told
    for without_effect in ("block length", "gap", "reduce", "sweep", "seed was", "value 1", " off"):
        assert without_effect not in told


def test_untrained_model_and_the_papers_protocol(zoo: Zoo, tmp_path: Path) -> None:
    overlay = tmp_path / "models.yaml"
    overlay.write_text(OPT)
    key = run(
        zoo, "-p", "opt-mini", "--registry", overlay, "--untrained", "--seed", 3, "-l", 1,
        "--protocol", "antonello2023", "--dataset-option", "seconds=120",
    )  # fmt: skip
    found = zoo("explain", key, "--registry", overlay, "--json").json["explanation"]
    assert "layer 1 of 2 of opt-mini (untrained: random weights with seed 3" in found["methods"]
    assert "context sawtooth:512:256:words:code" in found["methods"]
    assert "first 40 TRs of each test story were excluded" in found["methods"]
    assert "after stories were joined" in found["methods"]
    assert "detected and allowed: delays-across-stories" in found["methods"]
    assert {"zhang2022opt", "antonello2023scaling", "paszke2019pytorch"} <= {*found["citations"]}
    assert "@article{zhang2022opt," in found["bibtex"]


def test_bibtex_alone_and_what_is_missing(zoo: Zoo) -> None:
    key = run(zoo, "-p", "word-rate")
    ended = zoo("explain", key, "--bibtex")
    assert ended.out.startswith("@")
    assert "Responses of" not in ended.out
    assert "citation of dataset simulated" in ended.err


def test_missing_states_are_reported(zoo: Zoo, tmp_path: Path) -> None:
    key = run(zoo, "-p", "word-rate")
    for path in (tmp_path / "zoo-store" / "aligned").iterdir():
        path.unlink()
    ended = zoo("explain", key)
    assert ended.code == 0
    assert "Features were word-rate." in ended.out
    assert "no longer in the store" in ended.err


@pytest.mark.parametrize("arguments", [("explain", "ffff"), ("explain", "f", "--store", "none")])
def test_unknown_results_are_refused(zoo: Zoo, arguments: tuple[str, ...]) -> None:
    run(zoo, "-p", "word-rate")
    ended = zoo(*arguments)
    assert ended.code in (2, 3)
    assert len(ended.err.strip().splitlines()) == 1


def every_entry() -> dict[str, str]:
    """BibTeX by key: the host's own entries and those of every installed spec."""
    host = load_host()
    specs = [each.spec for each in (*host.extractors, *host.aligners, *host.regressors)]
    specs += [each.spec for each in host.datasets]
    entries = [entry for spec in specs for entry in spec.bibtex]
    entries += [entry for each in host.extractors for entry in each.spec.model_bibtex]
    return bibliography() | {bibtex_key(entry): entry for entry in entries}


def test_every_citation_of_the_catalogue_is_an_entry_of_its_extractor() -> None:
    host = load_host()
    for entry in load_catalogue(host).entries:
        if entry.citation is None:
            assert entry.repo is None, f"{entry.id} cites nothing"
            continue
        spec = host.extractor(entry.plugin, entry.extractor).spec
        assert entry.citation in {bibtex_key(each) for each in spec.model_bibtex}, entry.id


def test_the_host_has_an_entry_for_everything_it_cites_itself() -> None:
    keys = {*PROTOCOLS.values(), *software().values()}
    keys |= {citation for _, citation in CEILINGS.values()}
    assert keys == bibliography().keys()
    assert {"numpy", "scipy", "scikit-learn", "torch", "transformers"} == software().keys()


@pytest.mark.parametrize("key", every_entry())
def test_every_entry_can_be_looked_up(key: str) -> None:
    """A machine-readable identifier, or pages or an institution where the work has none."""
    entry = every_entry()[key]
    fields = bibtex_fields(entry)
    assert {"author", "title", "year"} <= fields.keys()
    assert {"doi", "eprint", "pages", "institution"} & fields.keys()
    if "pages" in fields:
        first, _, last = fields["pages"].partition("--")
        assert not last or int(first) < int(last)
    if entry.startswith("@article"):
        assert "journal" in fields or "eprint" in fields


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            "@article{a, author={Doe, Jo and Jo Roe}, year=2020, journal = {Brain}, pages={1--9}}",
            "Doe and Roe (2020). Brain, 1-9.",
        ),
        (
            "@inproceedings{b, author = {A, A and B, B and C, C and D, D}, year = {1999},\n"
            '  booktitle = "Proc. of {X} \\& Y", volume = {3}}',
            "A et al. (1999). Proc. of X & Y 3.",
        ),
        (
            "@misc{c, author = {{The {Big} Group}}, year = {2001}, title = {T, with = and {B}}}",
            "The Big Group (2001).",
        ),
        (r"@misc{d, author = {Dupr{\'e} la Tour, T.}, year = {2022}}", "Dupré la Tour (2022)."),
        ("@misc{e, title = {No author}}", "e"),
    ],
)
def test_a_citation_is_read_as_a_line(entry: str, line: str) -> None:
    assert citation_line(entry) == line


@pytest.mark.parametrize("text", ["", "Doe (2020)", "@misc{a, title = {open}", "@misc{a}"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="BibTeX"):
        bibtex_key(text)


THIRD_PARTY = """
    from voxelzoo.api import AlignerSpec, DatasetSpec, ExtractorSpec, ModelEntry, RegressorSpec
    from voxelzoo.api import hookimpl

    FIELDS = "author = {Doe, Jo}, year = {2020}, journal = {J}, pages = {1--2}"

    def entry(key):
        return "@article{%s, %s}" % (key, FIELDS)

    @hookimpl
    def zoo_register_datasets():
        yield DatasetSpec(
            "acme-stories", "acme_heavy:Stories", "Stories.", needs_path=False, licence="CC0",
            bibtex=(entry("acme_data"),),
        )

    @hookimpl
    def zoo_register_aligners():
        yield AlignerSpec("acme-mean", "acme_heavy:Mean", "Mean.", bibtex=(entry("acme_align"),))

    @hookimpl
    def zoo_register_regressors():
        yield RegressorSpec("acme-ols", "acme_heavy:OLS", "OLS.", bibtex=(entry("acme_fit"),))

    @hookimpl
    def zoo_register_extractors():
        yield ExtractorSpec(
            "acme", "acme_heavy:Ones", "text", "Ones.", bibtex=(entry("acme_method"),),
            model_bibtex=(entry("acme_model"), entry("acme_other_model")),
        )

    @hookimpl
    def zoo_register_models():
        yield ModelEntry(
            "acme-ones", "acme", "text", n_layers=0, embed_dim=1, citation="acme_model"
        )
"""

THIRD_PARTY_HEAVY = """
    import numpy as np
    from voxelzoo.api import DatasetInfo, ScanClock, StateBlock, Story, Words

    class Stories:
        def __init__(self, path=None):
            pass
        def info(self):
            return DatasetInfo("acme-stories", "Stories.")
        def subjects(self):
            return ["s"]
        def train_stories(self):
            return ["a", "b"]
        def test_stories(self):
            return ["c"]
        def clock(self, story):
            return ScanClock(2.0, 0.0, 40)
        def story(self, name):
            onsets = np.sort(np.random.default_rng(ord(name)).uniform(0, 79, 90))
            words = tuple(f"{name}{i}" for i in range(90))
            return Story(name, words=Words(words, onsets, onsets + 0.1))
        def responses(self, subject, story):
            return np.random.default_rng(ord(story)).standard_normal((40, 3)).astype(np.float32)
        def voxel_labels(self, subject):
            return None
        def fingerprint(self, subject, story):
            return story

    class Mean:
        def weights(self, times, scan_times):
            return (np.abs(scan_times[:, None] - times) < 1).astype(float)
        def fingerprint(self):
            return {}

    class OLS:
        def fit(self, X, Y, groups=None):
            self.b = np.linalg.lstsq(X, Y, rcond=None)[0]
            return self
        def predict(self, X):
            return X @ self.b
        def get_params(self, deep=True):
            return {}

    class Ones:
        def __init__(self, request):
            pass
        def layers(self):
            return [0]
        def fingerprint(self):
            return {}
        def times(self, story):
            return story.need_words().times
        def extract(self, story, layers):
            yield StateBlock(0, np.ones((len(layers), len(story.need_words()), 1), np.float32))
        def close(self):
            pass
"""


def test_a_third_partys_dataset_aligner_regressor_and_model_are_cited(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.add("zoot-acme", {"acme": THIRD_PARTY}, other={"acme_heavy": THIRD_PARTY_HEAVY})
    ended = site.zoo(
        "run", "-p", "acme-ones", "-d", "acme-stories", "--aligner", "acme-mean",
        "--regressor", "acme-ols", "--json", "-q",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    key = json.loads(ended.stdout)["results"][0]["key"]
    told = json.loads(site.zoo("explain", key, "--json").stdout)["explanation"]
    assert "dataset acme-stories (licence CC0; Doe (2020). J, 1-2)" in told["methods"]
    ours = {"acme_data", "acme_align", "acme_fit", "acme_method", "acme_model"}
    assert {key for key in told["citations"] if key.startswith("acme")} == ours
    assert "@article{acme_fit," in told["bibtex"]
    assert told["missing"] == []

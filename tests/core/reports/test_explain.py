"""``zoo explain``: what it says is what the result's record says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from voxelzoo.host.catalogue import default_registry_path
from voxelzoo.host.loading import load_host
from voxelzoo.reports.explain import CEILINGS, DATASETS, PROTOCOLS, REGRESSORS, TOOLS, bibliography
from voxelzoo.strict_yaml import read_yaml
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
        "delays of 1, 2, 3 and 4 TRs (1.5, 3, 4.5 and 6 s), within each story",
        "ridge (voxelzoo 0.1.0) over 17 values of alpha from 1 to 1e+08",
        f"mean over voxels was {record['mean_r']:.4f}",
        "with a floor of 0.25",
        "stimulus was taken to come 3.0 s later",
        f"numpy {record['software']['numpy']}",
    ):
        assert said in told, said
    assert "torch" not in told.partition("@")[0]  # it computed nothing here


def test_untrained_model_and_the_papers_protocol(zoo: Zoo, tmp_path: Path) -> None:
    overlay = tmp_path / "models.yaml"
    overlay.write_text(OPT)
    key = run(
        zoo, "-p", "opt-mini", "--registry", overlay, "--untrained", "--seed", 3, "-l", 1,
        "--protocol", "antonello2023", "--dataset-option", "seconds=120",
    )  # fmt: skip
    found = zoo("explain", key, "--registry", overlay, "--json").json["explanation"]
    assert "layer 1 of 2 of opt-mini (untrained: random weights of seed 3" in found["methods"]
    assert "context sawtooth:512:256:words:code" in found["methods"]
    assert "first 40 TRs of each test story were excluded" in found["methods"]
    assert "after stories were joined" in found["methods"]
    assert "let through: delays-across-stories" in found["methods"]
    assert {"zhang2022opt", "antonello2023scaling", "paszke2019pytorch"} <= {*found["citations"]}
    assert "@article{zhang2022opt," in found["bibtex"]


def test_bibtex_alone_and_what_is_lacking(zoo: Zoo) -> None:
    key = run(zoo, "-p", "word-rate")
    ended = zoo("explain", key, "--bibtex")
    assert ended.out.startswith("@")
    assert "Responses of" not in ended.out
    assert "citation of dataset simulated" in ended.err


def test_states_that_are_gone_are_said_to_be(zoo: Zoo, tmp_path: Path) -> None:
    key = run(zoo, "-p", "word-rate")
    for folder in (tmp_path / "zoo-store" / "aligned").iterdir():
        (folder / "artefact.json").unlink()
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


def test_every_citation_of_the_catalogue_that_is_known_has_one_entry() -> None:
    text = json.dumps(list(bibliography().values()))
    cited = {
        row.get("citation") for row in read_yaml(default_registry_path()).value["models"].values()
    }
    paper = {"zhang2022opt", "touvron2023llama", "radford2023whisper", "hsu2021hubert"}
    assert paper | {"chen2022wavlm"} <= cited & bibliography().keys()
    assert text.count("{antonello2023scaling,") == 1


def test_every_key_that_is_cited_has_an_entry_that_can_be_looked_up() -> None:
    known = bibliography()
    keys = [
        *TOOLS.values(),
        *PROTOCOLS.values(),
        *REGRESSORS.values(),
        *(key for keys in DATASETS.values() for key in keys),
        *(citation for _, citation in CEILINGS.values()),
    ]
    assert set(keys) <= known.keys()
    # A machine-readable identifier, or pages or an institution where the work has none.
    for key, entry in known.items():
        fields = dict(re.findall(r"^  (\w+) = \{(.+)\},?$", entry, re.MULTILINE))
        assert {"author", "title", "year"} <= fields.keys(), key
        assert {"doi", "eprint", "pages", "institution"} & fields.keys(), key
        assert entry.count("{") == entry.count("}"), key
        if "pages" in fields:
            first, _, last = fields["pages"].partition("--")
            assert not last or int(first) < int(last), key
        if entry.startswith("@article"):
            assert "journal" in fields or "eprint" in fields, key


def test_datasets_and_regressors_that_are_cited_are_there() -> None:
    host = load_host()
    assert DATASETS.keys() <= {registered.spec.name for registered in host.datasets}
    assert REGRESSORS.keys() <= {registered.spec.name for registered in host.regressors}

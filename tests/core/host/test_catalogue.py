"""The catalogue: strict rows, overlays with provenance, names, and the shipped file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.api import ModelEntry, NotFoundError, PluginError
from voxelzoo.host.catalogue import (
    Catalogue,
    default_registry_path,
    load_catalogue,
    validate_registry,
)
from voxelzoo.host.host import Host
from voxelzoo.host.records import PluginRecord, Registered
from voxelzoo.host.registry_files import registry_schema


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without files, and a user without settings."""
    monkeypatch.setenv("ZOO_CONFIG", str(tmp_path / "user" / "config.yaml"))
    (tmp_path / "user").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, rows: str) -> Path:
    path.write_text("schema_version: 1\nmodels:\n" + indent(dedent(rows).strip(), "  ") + "\n")
    return path


def host(*models: ModelEntry) -> Host:
    """A host whose plugins are those of the rows, each in a distribution of its own."""
    names = {"opt", "whisper", *(model.plugin for model in models)}
    records = [
        PluginRecord(name, f"{name}-zoo", "1.0", "loaded", (), 0.0, None, None, False, name)
        for name in sorted(names)
    ]
    rows = tuple(Registered(model, model.plugin, f"{model.plugin}-zoo", "1.0") for model in models)
    return Host(records=tuple(records), models=rows)


# ------------------------------------------------------------------------------------ validation


def test_the_catalogue_itself_is_valid() -> None:
    assert validate_registry(default_registry_path()) == []


@needs_shared
def test_an_overlay_as_users_write_it_is_valid() -> None:
    assert validate_registry(SHARED / "registry.yaml") == []
    entry = load_catalogue(host(), [SHARED / "registry.yaml"]).find("stories260k")
    assert entry.repo == str((SHARED / "models" / "stories260K").resolve())
    assert (entry.n_layers, entry.embed_dim) == (5, 64)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("licence: no", "no is read as false: quote it"),
        ("revision: 0123456", "0123456 is read as the number 42798: quote it"),
        ("revision: main", "40 hexadecimal digits"),
        ("revision: '0123456'", "40 hexadecimal digits"),
        ("n_parameters: 125M", "'125M' is not a whole number"),
        ("n_layers: 12.0", "12.0 is not a whole number"),
        ("n_layers: true", "True is not a whole number"),
        ("n_layers: 012", "012 is read as the number 10"),
        ("n_parameters: 125_000", "125_000 is read as the number 125000"),
        ("embed_dim: 0", "0 is less than 1"),
        ("embed_dim: 12:30", "12:30 is read as the number 750"),
        ("release_date: 2023-11-06", "is read as a date: quote it"),
        ('release_date: "6 Nov"', "'6 Nov' is not a quoted date"),
        ("languages: [no]", "no is read as false"),
        ("citation: 1.10", "1.1 is not text: quote it"),
        ("aliases: other", "'other' is not a list"),
        ("modality: video", "'video' is not 'text', 'audio' or 'any'"),
        ("weights_format: bin", "'bin' is not 'safetensors' or 'pickle'"),
        ("gated: yes", "yes is read as true"),
        ("gated: 1", "1 is neither true nor false"),
        ("trust_remote_code: true", "needs a pinned revision"),
        ("architecture: {hidden_size: 3}", "has no model_type"),
        ("architecture: {model_type: opt, eps: 1e-5}", "1e-5 is read as text"),
        ("repo: models/opt/125m", "a folder that begins with ./"),
        ("repo: https://example.org/model", "is not a hub id"),
        ("n_paramters: 3", "unknown field; did you mean n_parameters"),
        ("n_paramters: null", "unknown field"),
        ("name: other", "its key is its name"),
        ("override: 1", "must be true or false"),
        ("plugin: opt", "duplicate key 'plugin', first on line 4"),
        ("repo: ./a: b", "not valid YAML"),
        ("repo: *absent", "not valid YAML"),
        ("repo: !!python/name:os.system x", "not valid YAML"),
        ("repo: !function x", "not valid YAML"),
    ],
)
def test_invalid_rows_are_reported_with_file_and_line(
    folder: Path, line: str, problem: str
) -> None:
    path = folder / "bad.yaml"
    modality = [] if line.startswith("modality") else ["    modality: text"]
    rows = ["schema_version: 1", "models:", "  acme:", "    plugin: opt", *modality, f"    {line}"]
    path.write_text("\n".join(rows) + "\n")
    (found,) = validate_registry(path)
    assert found.startswith(f"{path}:{len(rows)}: ")
    assert problem in found
    assert "\n" not in found
    with pytest.raises(PluginError, match=r"bad\.yaml:\d"):
        load_catalogue(host(), [path])


def test_every_problem_is_reported_not_only_the_first(folder: Path) -> None:
    path = write(
        folder / "bad.yaml",
        """
        one: {plugin: opt, modality: text, licence: no}
        two: {plugin: opt, modality: text, revision: main, n_layer: 3}
        three: {n_layers: 3}
        Four: {plugin: opt, modality: text}
        5: {plugin: opt, modality: text}
        one: {plugin: opt, modality: text}
        """,
    )
    found = [
        problem.removeprefix(f"{path}:").partition(":")[0] for problem in validate_registry(path)
    ]
    assert found == ["3", "4", "5", "6", "7", "8"]
    with pytest.raises(PluginError, match=r"5 more: zoo registry validate"):
        load_catalogue(host(), [path])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "must begin with schema_version: 1"),
        ("- a\n", "must begin with schema_version: 1"),
        ("models: {}\n", "schema_version is None"),
        ("schema_version: 2\n", "schema_version is 2"),
        ("schema_version: 1\nmodel: {}\n", "unknown key 'model'"),
        ("schema_version: 1\nmodels: []\n", ""),
        ("schema_version: 1\nmodels: [a]\n", "models must map names to rows"),
        ("schema_version: 1\nmodels: {a: 3}\n", "must map fields to values"),
        ("schema_version: 1\nmodels: {a: {\n", "not valid YAML"),
        ("schema_version: 1\n\tmodels: {}\n", "not valid YAML"),
        ("schema_version: 1\x07\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_registry(folder: Path, content: str, problem: str) -> None:
    path = folder / "bad.yaml"
    path.write_text(content)
    found = validate_registry(path)
    assert (len(found), problem in "".join(found)) == (1 if problem else 0, True)


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(PluginError, match="cannot be read"):
        validate_registry(folder / "absent.yaml")
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PluginError, match="not UTF-8"):
        validate_registry(folder / "bytes.yaml")


def test_anchors_and_merge_keys_work(folder: Path) -> None:
    path = write(
        folder / "own.yaml",
        """
        first: &shared {plugin: opt, modality: text, n_layers: 3, licence: mit}
        second: {<<: *shared, n_layers: 4}
        """,
    )
    entry = load_catalogue(host(), [path]).find("second")
    assert (entry.n_layers, entry.licence, entry.name) == (4, "mit", "second")


def test_two_rows_of_a_file_cannot_share_a_name(folder: Path) -> None:
    path = write(
        folder / "own.yaml",
        """
        first: {plugin: opt, modality: text, aliases: [second]}
        second: {plugin: opt, modality: text}
        """,
    )
    (found,) = validate_registry(path)
    assert "'second' is also a name of opt/first" in found


def test_schema_names_every_field_and_is_json() -> None:
    schema = json.loads(json.dumps(registry_schema()))
    row = schema["properties"]["models"]["additionalProperties"]
    assert {"plugin", "revision", "n_parameters", "override"} <= row["properties"].keys()
    assert "name" not in row["properties"]
    assert row["additionalProperties"] is False


# -------------------------------------------------------------------------------------- overlays


def test_later_layers_win_field_by_field_and_every_value_says_where_it_is_from(
    folder: Path,
) -> None:
    """Each layer sets its own field and all higher ones' fields: the highest must win."""
    layers = ["plugin rows", "user", "zoo.yaml", "first", "second"]
    fields = ["citation", "licence", "summary", "reference", "release_date"]
    values = {
        "citation": "c{}",
        "licence": "l{}",
        "summary": "s{}",
        "reference": "https://{}",
        "release_date": "200{}",
    }

    def row(layer: int) -> dict[str, str]:
        return {field: values[field].format(layer) for field in fields[layer:]}

    shipped = ModelEntry(name="acme", plugin="acme-speech", modality="audio", **row(0))
    paths = [
        folder / "user" / "registry.yaml",
        folder / "zoo.yaml",
        folder / "first.yaml",
        folder / "second.yaml",
    ]
    for layer, path in enumerate(paths, start=1):
        text = ", ".join(f'{field}: "{value}"' for field, value in row(layer).items())
        write(path, f"acme: {{{text}}}\n")
    catalogue = load_catalogue(host(shipped), paths[2:])
    entry = catalogue.find("acme")
    sources = catalogue.sources(entry)
    for layer, field in enumerate(fields):
        assert getattr(entry, field) == values[field].format(layer), layers[layer]
    assert sources["citation"] == "acme-speech-zoo 1.0"
    assert [sources[field].removesuffix(":3") for field in fields[1:]] == [
        str(paths[0]),
        "zoo.yaml",
        str(paths[2]),
        str(paths[3]),
    ]
    assert sources["gated"] == "default"


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(range(4), 2)))
def test_any_layer_beats_any_lower_one(folder: Path, low: int, high: int) -> None:
    paths = [
        folder / "user" / "registry.yaml",
        folder / "zoo.yaml",
        folder / "first.yaml",
        folder / "second.yaml",
    ]
    for layer in (low, high):
        write(paths[layer], f"opt-125m: {{summary: layer {layer}}}\n")
    overlays = [path for path in paths[2:] if path.exists()]
    catalogue = load_catalogue(host(), overlays)
    entry = catalogue.find("opt-125m")
    assert entry.summary == f"layer {high}"
    assert entry.n_layers == 12
    assert catalogue.sources(entry)["n_layers"].startswith(f"{default_registry_path()}:")


def test_null_puts_a_field_back_to_its_default(folder: Path) -> None:
    path = write(folder / "own.yaml", "opt-125m: {licence: null, languages: null}\n")
    catalogue = load_catalogue(host(), [path])
    entry = catalogue.find("opt-125m")
    assert (entry.licence, entry.languages) == (None, ())
    assert catalogue.sources(entry)["licence"] == f"{path}:3"
    bare = write(folder / "bare.yaml", "opt-125m: {modality: null}\n")
    with pytest.raises(PluginError, match="modality is missing"):
        load_catalogue(host(), [bare])


def test_another_plugin_takes_a_row_only_with_override(folder: Path) -> None:
    path = write(folder / "own.yaml", "opt-125m: {plugin: whisper}\n")
    with pytest.raises(PluginError, match=r"already exists as opt/opt-125m.*override: true"):
        load_catalogue(host(), [path])
    write(path, "opt-125m: {plugin: whisper, override: true}\n")
    catalogue = load_catalogue(host(), [path])
    assert catalogue.find("opt-125m").id == "whisper/opt-125m"
    assert catalogue.find("opt-125m").n_layers == 12
    with pytest.raises(NotFoundError):
        catalogue.find("opt/opt-125m")
    write(path, "whisper/opt-125m: {modality: text}\n")
    both = load_catalogue(host(), [path])
    assert both.find("opt/opt-125m").plugin == "opt"
    with pytest.raises(NotFoundError, match="ambiguous"):
        both.find("opt-125m")
    write(path, "whisper/opt-125m: {plugin: opt, modality: text}\n")
    with pytest.raises(PluginError, match="key and plugin disagree"):
        load_catalogue(host(), [path])


def test_folders_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "deep").mkdir()
    path = write(
        folder / "deep" / "own.yaml",
        """
        a: {plugin: opt, modality: text, repo: ../models/a, tokenizer: ./b}
        b: {plugin: opt, modality: text, repo: /models/b, tokenizer: org/name}
        """,
    )
    catalogue = load_catalogue(host(), [path])
    a, b = catalogue.find("a"), catalogue.find("b")
    assert (a.repo, a.tokenizer) == (str(folder / "models" / "a"), str(folder / "deep" / "b"))
    assert (b.repo, b.tokenizer) == ("/models/b", "org/name")


def test_a_plugins_invalid_row_is_left_out_and_reported() -> None:
    bad = ModelEntry(name="Bad Name", plugin="acme", modality="audio", revision="main")
    good = ModelEntry(name="good", plugin="acme", modality="audio")
    catalogue = load_catalogue(host(bad, good))
    assert catalogue.find("good") == good
    (problem,) = catalogue.problems
    assert problem.distribution == "acme-zoo"
    assert "'Bad Name'" in problem.message
    assert "'main'" in problem.message


# ----------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("opt-30b", "opt/opt-30b"),
        ("opt/opt-30b", "opt/opt-30b"),
        ("facebook/opt-30b", "opt/opt-30b"),
        ("Facebook/OPT-30B", "opt/opt-30b"),
        ("llama-30b", "llama/llama-33b"),
        ("huggyllama/llama-65b", "llama/llama-66b"),
        ("whisper-turbo", "whisper/whisper-large-v3-turbo"),
        ("whisper-large", "whisper/whisper-large"),
        ("hubert-large-ll60k", "hubert/hubert-large"),
        ("gpt2-xl", "transformers/gpt2-xl"),
    ],
)
def test_names_aliases_and_hub_ids(name: str, found: str) -> None:
    assert load_catalogue(host()).find(name).id == found


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    catalogue = load_catalogue(host())
    with pytest.raises(NotFoundError, match=r"no model 'wisper-tiny'; did you mean whisper-tiny"):
        catalogue.find("wisper-tiny")
    with pytest.raises(NotFoundError, match="zoo list"):
        catalogue.find("zzzzzz")


def test_a_clash_names_both_candidates_and_distributions() -> None:
    mine = ModelEntry(name="whisper-tiny", plugin="acme", modality="audio")
    catalogue = load_catalogue(host(mine))
    with pytest.raises(NotFoundError) as clash:
        catalogue.find("whisper-tiny")
    assert "acme/whisper-tiny (acme-zoo 1.0)" in str(clash.value)
    assert "whisper/whisper-tiny (whisper-zoo 1.0)" in str(clash.value)
    assert catalogue.find("acme/whisper-tiny") == mine


def test_entries_are_sorted_and_hashable_by_id() -> None:
    catalogue: Catalogue = load_catalogue(host())
    names = [entry.name for entry in catalogue.entries]
    assert names == sorted(names)
    assert len({entry.id for entry in catalogue.entries}) == len(names)


# --------------------------------------------------------------------------------------- figures

ENTRIES = load_catalogue(Host(records=())).entries
PAPER = {
    "opt-125m", "opt-1.3b", "opt-13b", "opt-30b", "opt-66b", "opt-175b",
    "llama-33b", "llama-66b",
    "hubert-base", "hubert-large", "hubert-xlarge", "wavlm-base-plus", "wavlm-large",
    "whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "whisper-large",
}  # fmt: skip


def test_the_papers_models_are_marked() -> None:
    assert {entry.name for entry in ENTRIES if entry.in_paper} == PAPER


@pytest.mark.parametrize(
    ("name", "layers", "width", "millions"),
    [
        ("opt-125m", 12, 768, 125),
        ("opt-1.3b", 24, 2048, 1_300),
        ("opt-13b", 40, 5120, 13_000),
        ("opt-30b", 48, 7168, 30_000),
        ("opt-66b", 64, 9216, 66_000),
        ("opt-175b", 96, 12288, 175_000),
        ("llama-33b", 60, 6656, 33_000),
        ("llama-66b", 80, 8192, 66_000),
        ("whisper-tiny", 4, 384, 8),
        ("whisper-base", 6, 512, 21),
        ("whisper-small", 12, 768, 88),
        ("whisper-medium", 24, 1024, 307),
        ("whisper-large", 32, 1280, 637),
        ("hubert-base", 12, 768, 95),
        ("hubert-large", 24, 1024, 317),
        ("hubert-xlarge", 48, 1280, 964),
        ("wavlm-base-plus", 12, 768, 95),
        ("wavlm-large", 24, 1024, 317),
    ],
)
def test_figures_agree_with_the_papers_table(
    name: str, layers: int, width: int, millions: float
) -> None:
    entry = load_catalogue(host()).find(name)
    assert (entry.n_layers, entry.embed_dim) == (layers, width)
    assert entry.n_parameters == pytest.approx(millions * 1e6, rel=0.03)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_declared_figures_are_those_of_the_network(entry: ModelEntry) -> None:
    """Built on the meta device, where 175 billion parameters take no memory."""
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(**entry.architecture)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    network = model.encoder if entry.plugin == "whisper" else model
    measured = sum(parameter.numel() for parameter in network.parameters())
    assert entry.n_parameters == pytest.approx(measured, rel=1e-3)
    assert entry.n_layers == config.num_hidden_layers
    assert entry.embed_dim == config.hidden_size


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_rows_are_complete(entry: ModelEntry) -> None:
    assert entry.licence
    assert entry.reference
    assert entry.languages
    assert entry.causal
    assert (entry.repo is None) == (entry.name == "opt-175b")
    assert (entry.sample_rate_hz == 16_000) == (entry.modality == "audio")

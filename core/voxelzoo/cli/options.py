"""Options that ``zoo run``, ``zoo plan`` and ``zoo extract`` share, and how they are read."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from voxelzoo.api import ExtractorRequest, ModelEntry, UsageError
from voxelzoo.host.zoo import Zoo

PluginOption = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        "--model",
        "-p",
        metavar="NAME",
        help="A model: whisper-tiny, whisper/whisper-tiny, features/NAME or hf:ORG/NAME. "
        "Repeatable.",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        metavar="DATASET",
        help="NAME, NAME:PATH, or the path of a folder; simulated data if not given.",
    ),
]
DatasetOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset-option", metavar="KEY=VALUE", help="A setting of the dataset. Repeatable."
    ),
]
LayerOption = Annotated[
    str, typer.Option("--layer", "-l", help="all, last, 9, 0,4,8 or 0-12, as hidden_states.")
]
UntrainedOption = Annotated[
    bool,
    typer.Option("--untrained", help="The true architecture with random weights; no download."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of untrained weights.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
WindowOption = Annotated[
    float | None, typer.Option(help="Speech: seconds of sound a state may hear (16.1).")
]
StrideOption = Annotated[float | None, typer.Option(help="Speech: seconds between states (0.1).")]
ContextOption = Annotated[
    str | None,
    typer.Option(
        help="Text: sawtooth:512:256, sliding:64, full or none; add :words to count words."
    ),
]
ModelOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option", metavar="KEY=VALUE", help="A setting of the models. Repeatable."
    ),
]
AllowPickleOption = Annotated[
    bool, typer.Option("--allow-pickle", help="Load weights, or data, that exist as pickles only.")
]
DTYPES = ("float32", "bfloat16", "float16")
KEEP = ("aligned", "states", "predictions", "weights", "decompositions")


# ------------------------------------------------------------------------------- reading options


def read_entries(session: Zoo, names: Sequence[str]) -> list[ModelEntry]:
    """Rows of the models named; a missing plugin is said now."""
    from voxelzoo.runs.models import find_model

    found = [find_model(session.host, session.catalogue, name) for name in names]
    for entry in found:
        session.host.extractor(entry.plugin, entry.extractor)  # a missing plugin is said now
    return list({entry.id: entry for entry in found}.values())


def read_request(
    untrained: bool,
    seed: int,
    device: str,
    dtype: str,
    protocol: str,
    window: float | None,
    stride: float | None,
    context: str | None,
    allow_pickle: bool,
) -> ExtractorRequest:
    """What is asked of every model; its row is filled in later."""
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype!r}: say {', '.join(DTYPES)}")
    options = {"window": window, "stride": stride, "context": context}
    return ExtractorRequest(
        model=ModelEntry(name="", plugin="", modality="any"),
        untrained=untrained,
        seed=seed,
        device=device,
        dtype=dtype,
        protocol=protocol,
        options={name: str(value) for name, value in options.items() if value is not None},
        allow_pickle=allow_pickle,
    )


def with_options(
    session: Zoo, entries: Sequence[ModelEntry], request: ExtractorRequest, typed: Sequence[str]
) -> ExtractorRequest:
    """The request with ``--model-option``; one that none of the models reads is refused."""
    options = read_pairs("--model-option", typed)
    specs = [session.host.extractor(entry.plugin, entry.extractor).spec for entry in entries]
    known = sorted({name for spec in specs for name in spec.options})
    if unknown := [name for name in options if name not in known]:
        raise UsageError(
            f"--model-option {unknown[0]}: none of these models reads it; "
            f"they read {', '.join(known) or 'none'}"
        )
    return replace(request, options={**request.options, **options})


def read_keep(text: str) -> frozenset[str]:
    """``--keep``: what is kept, divided by commas."""
    asked = frozenset(part.strip() for part in text.split(","))
    if unknown := sorted(asked - set(KEEP)):
        raise UsageError(f"--keep {unknown[0]!r}: say {', '.join(KEEP)}, divided by commas")
    return asked


def read_tool(text: str) -> tuple[str, dict[str, Any]]:
    """A name and its settings: ``ridge:alphas=[1,10],scoring=r2`` reads as a call would."""
    name, _, settings = text.partition(":")
    try:
        call = ast.parse(f"_({settings})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return name, {str(setting.arg): _literal(setting.value) for setting in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise UsageError(f"{text!r}: settings are KEY=VALUE, divided by commas") from None


def _literal(value: ast.expr) -> Any:
    return value.id if isinstance(value, ast.Name) else ast.literal_eval(value)


def read_pairs(where: str, settings: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` settings of the option ``where``."""
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{where} {setting!r}: settings are KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs


def read_delays(text: str) -> tuple[int, ...]:
    """``--delays``: whole TRs, divided by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--delays {text!r}: whole TRs, such as 1,2,3,4") from None

"""What a row of the catalogue may say, and what is wrong with one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from voxelzoo.api import ModelEntry, bibtex_key
from voxelzoo.host.records import suggestion

if TYPE_CHECKING:
    from pydantic import BaseModel

FIELDS = {item.name: item for item in dataclasses.fields(ModelEntry)}
"""Every field of a row by name."""

NAME = r"[a-z0-9][a-z0-9.-]*"
"""Pattern of a model's short name."""

_PATTERNS = {
    "name": (rf"^{NAME}$", "lower-case letters, digits, '-' and '.'"),
    "plugin": (r"^[a-z0-9][a-z0-9._-]*$", "the entry-point name of a plugin"),
    "revision": (
        r"^[0-9a-f]{40}$",
        "the quoted 40 hexadecimal digits of a commit, or null; a branch such as main moves",
    ),
    "repo": (
        r"^([\w.-]+(/[\w.-]+)?(/[\w.-]+\.gguf)?|(\.{1,2}/|~|/).*|\.{1,2})$",
        "a hub id such as ORG/NAME, or a folder that begins with ./ or /",
    ),
    "tokenizer": (
        r"^([\w.-]+(/[\w.-]+)?|(\.{1,2}/|~|/).*|\.{1,2})$",
        "a hub id, or a folder that begins with ./ or /",
    ),
    "release_date": (r"^\d{4}(-\d{2}(-\d{2})?)?$", "a quoted date such as '2023-11-06'"),
    "reference": (r"^https?://\S+$", "an address that begins with https://"),
}
"""Field -> the pattern of its text, and the pattern in words."""

_MINIMUM = {"n_parameters": 1, "n_layers": 0, "embed_dim": 1, "sample_rate_hz": 1}


def row_problems(values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a row, by field; empty if nothing is.

    Parameters
    ----------
    values
        Fields that are stated. Any may be missing or ``None``.
    """
    from pydantic import ValidationError

    stated = {name: value for name, value in values.items() if value is not None}
    wrong = {}
    complete = {"plugin": "unknown", "modality": "any"} | stated
    try:
        row_model().model_validate(complete)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=True):
            name = str(detail["loc"][0])
            wrong[name] = _in_words(name, detail)
    architecture = stated.get("architecture")
    if isinstance(architecture, Mapping) and architecture and "model_type" not in architecture:
        wrong["architecture"] = "has no model_type"
    if stated.get("trust_remote_code") and "revision" not in stated:
        wrong["trust_remote_code"] = "needs a pinned revision beside it"
    if "bibtex" not in wrong:
        for entry in stated.get("bibtex", ()):
            try:
                bibtex_key(entry)
            except ValueError as error:
                wrong["bibtex"] = str(error)
    return wrong


def unknown_field(name: str) -> str:
    """What is wrong with a field that no row has."""
    return f"unknown field; {suggestion(name, FIELDS.keys() - {'name'})}"


def default_of(item: dataclasses.Field[Any]) -> Any:
    """Default of a field of a row; ``dataclasses.MISSING`` if it must be stated."""
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


@cache
def row_model() -> type[BaseModel]:
    """A strict pydantic model of a row, made from :class:`ModelEntry`: fields are stated once."""
    from pydantic import ConfigDict, Field, create_model

    hints = get_type_hints(ModelEntry)
    fields: dict[str, Any] = {}
    for name, item in FIELDS.items():
        rule = Field(pattern=_PATTERNS.get(name, (None,))[0], ge=_MINIMUM.get(name))
        default = default_of(item)
        required = default is dataclasses.MISSING
        fields[name] = (Annotated[hints[name], rule], ... if required else default)
    config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())
    model: type[BaseModel] = create_model("ModelRow", __config__=config, **fields)
    return model


def _in_words(name: str, detail: Any) -> str:
    """One plain sentence for a validation error."""
    value, kind = repr(detail["input"]), detail["type"]
    value = value if len(value) <= 80 else f"{value[:80]}..."
    if name in _PATTERNS:
        return f"{value} is not {_PATTERNS[name][1]}"
    if kind == "literal_error":
        return f"{value} is not {detail['ctx']['expected']}"
    if kind == "string_type":
        return f"{value} is not text: quote it"
    if kind == "int_type":
        return f"{value} is not a whole number"
    if kind == "bool_type":
        return f"{value} is neither true nor false"
    if kind == "tuple_type":
        return f"{value} is not a list"
    if kind == "greater_than_equal":
        return f"{value} is less than {_MINIMUM[name]}"
    return str(detail["msg"])


FOLDER = re.compile(r"\.{1,2}/|~|/|\.{1,2}$")
"""How a ``repo`` or ``tokenizer`` that is a folder begins."""

"""Read and validate ``dataset.yaml``, the description of a plain folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from voxelzoo.api import DataError, load_yaml


def _plain_name(name: str) -> str:
    """Check that a name is one visible path component: it becomes a folder and part of a key."""
    if not name or name != name.strip() or name.startswith(".") or set(name) & set("/\\:\0\n"):
        raise ValueError(f"{name!r} is not a valid folder name")
    return name


def _distinct(names: list[str]) -> list[str]:
    if duplicates := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{duplicates[0]!r} is listed twice")
    return names


_Names = Annotated[
    list[Annotated[str, AfterValidator(_plain_name)]],
    AfterValidator(_distinct),
]


class Split(BaseModel):
    """Training stories and held-out test stories."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    train: Annotated[_Names, Field(min_length=1)]
    test: _Names = []

    @model_validator(mode="after")
    def _apart(self) -> Split:
        if both := [name for name in self.train if name in self.test]:
            raise ValueError(f"{both[0]!r} is in both train and test: a leak")
        return self


class Description(BaseModel):
    """The fields of ``dataset.yaml``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, AfterValidator(_plain_name)]
    tr: Annotated[FiniteFloat, Field(gt=0)]
    """Repetition time, in seconds."""
    start: FiniteFloat
    """Story time at which the volume of the first response row begins, in seconds."""
    stories: Split
    subjects: Annotated[_Names, Field(min_length=1)]
    averages: _Names = []
    """Those of the subjects that are means over others."""
    summary: str = ""
    licence: str | None = None
    citation: str | None = None

    @field_validator("averages")
    @classmethod
    def _among_subjects(cls, names: list[str], info: ValidationInfo) -> list[str]:
        subjects = info.data.get("subjects", names)
        if unknown := [name for name in names if name not in subjects]:
            raise ValueError(f"{unknown[0]!r} is not one of the subjects")
        return names


class _Loader(yaml.SafeLoader):
    """A YAML loader for which a duplicate key is an error; PyYAML keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if duplicates := [key for key, times in Counter(keys).items() if times > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{duplicates[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_description(path: Path) -> Description:
    """Read the description; :class:`DataError` says what is wrong with which field."""
    try:
        content = load_yaml(path.read_text(encoding="utf-8-sig"), _Loader)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line}: not valid YAML ({error.problem})") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"{path}: not valid YAML ({first})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must contain fields such as 'name: ...' and 'tr: ...'")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: " + "; ".join(_faults(error))) from None


def _faults(error: ValidationError) -> list[str]:
    """One phrase per error, starting with the name of the field."""
    faults = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(step) for step in fault["loc"])
        kind, value = fault["type"], fault["input"]
        if kind == "extra_forbidden":
            model = Split if where.startswith("stories.") else Description
            message = f"no such field; the fields are {', '.join(model.model_fields)}"
        elif kind == "missing":
            message = "missing"
        elif kind == "string_type":
            message = f"{_short(value)} is read as {type(value).__name__}; put text in quotes"
        elif kind == "value_error":
            message = str(fault["ctx"]["error"])
        else:
            message = f"{fault['msg'].lower()}, not {_short(value)}"
        faults.append(f"{where}: {message}")
    return faults


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."

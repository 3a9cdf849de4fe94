"""Configurations of networks, read without importing transformers where that is possible.

transformers imports torch, which takes seconds and hundreds of megabytes. A model's row in the
catalogue, or its checkpoint's ``config.json``, usually states all that is needed to number its
layers, to place its states in time and to estimate its cost. So ``zoo plan``, and a run whose
results are all in the store, read the stated values and never build the network.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelzoo.api import (
    ExtractorRequest,
    MissingError,
    PluginError,
    gguf_name,
    is_local,
    local_snapshot,
    weight_files,
)
from voxelzoo_transformers.checkpoints import (
    checkpoint_folder,
    config_folder,
    file_digests,
    location,
)
from voxelzoo_transformers.gguf_files import read_gguf_config
from voxelzoo_transformers.quiet import first_line, quiet_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_COUNTS = {
    "num_hidden_layers": ("n_layer", "n_layers", "encoder_layers"),
    "hidden_size": ("n_embd", "d_model"),
    "num_attention_heads": ("n_head", "encoder_attention_heads"),
    "max_position_embeddings": ("n_positions",),
    "intermediate_size": ("n_inner", "ffn_dim", "encoder_ffn_dim"),
    "vocab_size": (),
    "bos_token_id": (),
    "word_embed_proj_dim": (),
    "num_mel_bins": (),
    "max_source_positions": (),
}
"""Whole numbers that are read: transformers' common name, and what some configurations call it."""

_WITHOUT = {("bloom", "max_position_embeddings")}
"""Type of model and an attribute that its configuration does not have: BLOOM's positions have no
limit."""

_COMMIT = re.compile(r"[0-9a-f]{40}")

_NESTED = ("decoder", "generator", "text_config")
"""Names under which a configuration of several networks holds that of its language model."""


class NetworkConfig:
    """A network's configuration.

    It has the attributes of the transformers configuration. Reading one that is stated, under its
    common name or the family's own (``n_layer`` for ``num_hidden_layers``), is quick; any other
    builds the transformers configuration, :attr:`full`, to read its default there.

    Parameters
    ----------
    stated : mapping of str to Any
        The row's ``architecture``, or the content of ``config.json``.
    build : callable
        Returns the transformers configuration.
    """

    def __init__(self, stated: Mapping[str, Any], build: Callable[[], PretrainedConfig]) -> None:
        self._stated = dict(stated)
        self._build = build

    @cached_property
    def full(self) -> PretrainedConfig:
        """The transformers configuration; building it imports transformers and torch."""
        return self._build()

    def stated(self, name: str, default: Any = None) -> Any:
        """The stated value of an attribute; imports nothing.

        Parameters
        ----------
        name : str
            The attribute's common name.
        default : Any, optional
            Returned if it is not stated.

        Returns
        -------
        Any
        """
        for key in (name, *_COUNTS.get(name, ())):
            if self._stated.get(key) is not None:
                return self._stated[key]
        return default

    @property
    def is_stated(self) -> bool:
        """Whether values are read as they are stated, without transformers."""
        return bool(self._stated)

    @property
    def stated_bos(self) -> int | None:
        """``bos_token_id``, if the configuration itself states it: defaults of transformers are
        those of the first model of an architecture, whatever the tokenizer."""
        if self.is_stated:
            value: int | None = self.stated("bos_token_id")
            return value
        token = getattr(self.full, "bos_token_id", None)
        return token if isinstance(token, int) else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if (self._stated.get("model_type"), name) in _WITHOUT:
            raise AttributeError(name)
        value = self.stated(name)
        return getattr(self.full, name) if value is None else value

    def language_model(self) -> NetworkConfig:
        """The configuration of the language model, also if it is one part of a larger network."""
        one_network = not any(
            name in _NESTED or name.startswith(("encoder_", "decoder_", "is_encoder_decoder"))
            for name in self._stated
        )
        if one_network and self._stated:
            return self
        return NetworkConfig({}, lambda: self.full.get_text_config(decoder=True))


def config_is_here(request: ExtractorRequest) -> bool:
    """Whether :func:`load_config` finds the configuration without a download."""
    model = request.model
    if request.untrained and model.architecture:
        return True
    folder = local_snapshot(model.repo, model.revision) if model.repo else None
    gguf = gguf_name(model.repo)
    if folder is None or not (folder / (gguf or "config.json")).is_file():
        return False
    return request.untrained or bool(weight_files(folder, model.weights_format, gguf))


def load_config(request: ExtractorRequest) -> NetworkConfig:
    """The configuration of a model's network.

    Trained: the checkpoint's ``config.json``. Untrained: the ``architecture`` of the model's row,
    or the checkpoint's if the row has none.

    Parameters
    ----------
    request : ExtractorRequest
        The model.

    Returns
    -------
    NetworkConfig
        The configuration.

    Raises
    ------
    MissingError
        If there is neither an architecture nor a ``config.json``.
    PluginError
        If transformers cannot use the configuration.
    """
    model = request.model
    if request.untrained and model.architecture:
        if "model_type" not in model.architecture:
            raise PluginError(f"{model.name}: its architecture has no model_type")
        return _lazily(
            model.architecture, lambda: config_from_architecture(model.name, model.architecture)
        )
    folder = config_folder(request) if request.untrained else checkpoint_folder(request)
    if folder is None:
        raise MissingError(
            f"{model.name}: the row gives no architecture and there is no config.json of "
            f"{model.repo} in {location(model.repo or '')}; add 'architecture' to the row"
        )
    if gguf := gguf_name(model.repo):
        return NetworkConfig({}, lambda: read_gguf_config(model.name, folder / gguf))
    return _lazily(_read_json(folder / "config.json"), lambda: _from_folder(request, folder))


def _lazily(stated: Mapping[str, Any], build: Callable[[], PretrainedConfig]) -> NetworkConfig:
    """A configuration that reads ``stated`` first, unless that needs transformers to judge it."""
    counts = [stated.get(key) for name, others in _COUNTS.items() for key in (name, *others)]
    plain = (
        all(count is None or type(count) is int for count in counts)
        and "auto_map" not in stated  # code of the checkpoint's own may read it in its own way
        and _knows(str(stated.get("model_type")))
    )
    if plain:
        return NetworkConfig(stated, build)
    config = NetworkConfig({}, build)
    _ = config.full  # raises what is wrong with it now, not when the network is built
    return config


@cache
def _knows(model_type: str) -> bool:
    """Whether the installed transformers has a folder for this type of model; imports nothing."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return False
    models = Path(spec.origin).parent / "models"
    names = (model_type, model_type.removesuffix("_text"), model_type.removesuffix("-audio"))
    return any((models / name.replace("-", "_")).is_dir() for name in names)


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is damaged, which transformers reports better."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def config_from_architecture(name: str, architecture: Mapping[str, Any]) -> PretrainedConfig:
    """The transformers configuration of a row's ``architecture``.

    Parameters
    ----------
    name : str
        The model's name, for messages.
    architecture : mapping of str to Any
        ``model_type``, and the configuration's values that differ from its defaults.

    Returns
    -------
    PretrainedConfig
        The configuration.

    Raises
    ------
    PluginError
        If transformers has no such type of model, or refuses a value.
    """
    from huggingface_hub.errors import StrictDataclassError

    values = dict(architecture)
    with quiet_transformers():
        from transformers import AutoConfig

        try:
            return AutoConfig.for_model(values.pop("model_type"), **values)
        except (ValueError, TypeError, StrictDataclassError) as error:
            raise PluginError(
                f"{name}: its architecture cannot be used ({first_line(error)})"
            ) from None


def _from_folder(request: ExtractorRequest, folder: Path) -> PretrainedConfig:
    from huggingface_hub.errors import StrictDataclassError

    with quiet_transformers():
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=trusts_remote_code(request)
            )
        except (OSError, ValueError, KeyError, StrictDataclassError) as error:
            raise PluginError(
                f"{request.model.name}: {folder}/config.json cannot be used ({first_line(error)})"
            ) from None


def source_fingerprint(request: ExtractorRequest) -> dict[str, Any]:
    """Whatever determines a model's weights and configuration.

    Parameters
    ----------
    request : ExtractorRequest
        The model.

    Returns
    -------
    dict
        JSON values. Untrained: the architecture, and the version of transformers, which has the
        defaults. From the hub: the commit. From a local folder: the digest of each file, so that a
        checkpoint that is changed in place counts as another one.
    """
    model = request.model
    if request.untrained:
        architecture, library = dict(model.architecture), version("transformers")
        if not architecture and (folder := config_folder(request)) is not None:
            if gguf := gguf_name(model.repo):
                return {"files": file_digests([folder / gguf]), "transformers": library}
            architecture = _read_json(folder / "config.json")
        return {"architecture": architecture, "transformers": library}
    if model.repo is not None and not is_local(model.repo):
        if model.revision is not None and _COMMIT.fullmatch(model.revision):
            return {"commit": model.revision}
        return {"commit": checkpoint_folder(request).name}  # a branch or tag may move
    folder = checkpoint_folder(request)
    weights = weight_files(folder, model.weights_format, gguf_name(model.repo))
    return {"files": file_digests([*weights, folder / "config.json"])}


def trusts_remote_code(request: ExtractorRequest) -> bool:
    """Whether the checkpoint's own code may run: the user and the model's row both allow it."""
    return request.trust_remote_code and request.model.trust_remote_code

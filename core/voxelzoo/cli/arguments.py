"""The options of ``zoo run``, ``zoo plan`` and ``zoo extract`` as dataclasses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from voxelzoo.cli import options
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption, RegistryOption
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.runs.options import DEFAULT_STORE, RunOptions

if TYPE_CHECKING:
    from voxelzoo.api import Dataset

KEEP_DEFAULT = ",".join(RunOptions.keep)

Arguments = TypeVar("Arguments")


def command_of(
    arguments: type[Arguments],
) -> Callable[[Callable[[Arguments], None]], Callable[..., None]]:
    """Make a function of one dataclass a command whose options are the fields.

    Parameters
    ----------
    arguments : type
        A dataclass. Each field is annotated as a parameter of a typer command would be.

    Returns
    -------
    callable
        A decorator.
    """
    hints = get_type_hints(arguments, include_extras=True)
    parameters = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(arguments)  # type: ignore[arg-type]
    ]

    def decorate(function: Callable[[Arguments], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**typed: Any) -> None:
            function(arguments(**typed))

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate


@dataclass(frozen=True, kw_only=True)
class ModelArguments:
    """Options of models and of the dataset that they read."""

    plugin: options.PluginOption
    dataset: options.DatasetOption = None
    layer: options.LayerOption = RunOptions.layers
    untrained: options.UntrainedOption = RunOptions.untrained
    protocol: options.ProtocolOption = RunOptions.protocol
    window: options.WindowOption = RunOptions.window
    stride: options.StrideOption = RunOptions.stride
    context: options.ContextOption = RunOptions.context
    first_token: options.FirstTokenOption = RunOptions.first_token
    model_option: options.ModelOptionOption = None
    device: options.DeviceOption = RunOptions.device
    dtype: options.DtypeOption = RunOptions.dtype
    seed: options.SeedOption = RunOptions.seed
    allow_pickle: options.AllowPickleOption = RunOptions.allow_pickle
    dataset_option: options.DatasetOptionOption = None
    quiet: options.QuietOption = False
    registry: RegistryOption = None
    disable_plugin: DisableOption = None
    no_plugins: NoPluginsOption = False

    def run_options(self) -> RunOptions:
        """The options of a run, as typed."""
        return RunOptions(
            layers=self.layer,
            untrained=self.untrained,
            protocol=self.protocol,
            window=self.window,
            stride=self.stride,
            context=self.context,
            first_token=self.first_token,
            model_options=options.read_pairs("--model-option", self.model_option or ()),
            device=self.device,
            dtype=options.read_dtype(self.dtype),
            seed=self.seed,
            allow_pickle=self.allow_pickle,
        )

    def open_zoo(self) -> Zoo:
        """Plugins and catalogue."""
        return open_zoo(self.registry, self.disable_plugin, self.no_plugins)

    def open_dataset(self, zoo: Zoo) -> Dataset:
        """The dataset."""
        from voxelzoo.data.opening import open_dataset

        settings = options.read_pairs("--dataset-option", self.dataset_option or ())
        return open_dataset(zoo.host, self.dataset, settings, self.allow_pickle)


@dataclass(frozen=True, kw_only=True)
class RunArguments(ModelArguments):
    """Options of ``zoo run`` and ``zoo plan``."""

    subject: options.SubjectOption = None
    aligner: options.AlignerOption = RunOptions.aligner
    regressor: options.RegressorOption = RunOptions.regressor
    delays: options.DelaysOption = None
    train_stories: options.TrainStoriesOption = RunOptions.train_stories
    own_stories: options.OwnStoriesOption = RunOptions.own_stories
    subset_seed: options.SubsetSeedOption = RunOptions.subset_seed
    folds: options.FoldsOption = RunOptions.folds
    gap: options.GapOption = str(RunOptions.gap)
    ceiling: options.CeilingOption = RunOptions.ceiling
    shift: options.ShiftOption = RunOptions.shift
    allow_leak: options.AllowLeakOption = None
    store: options.StoreOption = DEFAULT_STORE
    keep: options.KeepOption = KEEP_DEFAULT
    as_json: JsonOption = False

    def run_options(self) -> RunOptions:
        """The options of a run, as typed."""
        aligner, aligner_options = options.read_tool(self.aligner)
        regressor, regressor_options = options.read_tool(self.regressor)
        return replace(
            super().run_options(),
            subjects=tuple(self.subject or ()),
            aligner=aligner,
            aligner_options=aligner_options,
            regressor=regressor,
            regressor_options=regressor_options,
            delays=self.delays,
            train_stories=self.train_stories,
            own_stories=self.own_stories,
            subset_seed=self.subset_seed,
            folds=self.folds,
            gap=self.gap,
            ceiling=self.ceiling,
            shift=self.shift,
            allow_leaks=tuple(self.allow_leak or ()),
            keep=options.read_keep(self.keep),
        )


@dataclass(frozen=True, kw_only=True)
class ExtractArguments(ModelArguments):
    """Options of ``zoo extract``."""

    out: options.OutOption
    story: options.StoryOption = None

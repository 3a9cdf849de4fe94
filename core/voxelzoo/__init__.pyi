"""A model zoo for the brain: each public name, and the module that defines it."""

from .data.memory import InMemoryDataset as InMemoryDataset
from .errors import (
    DataError as DataError,
    MissingError as MissingError,
    NotFoundError as NotFoundError,
    PluginError as PluginError,
    UsageError as UsageError,
    ZooError as ZooError,
)
from .python import (
    extract as extract,
    models as models,
    open_dataset as open_dataset,
    open_store as open_store,
    plan as plan,
    reproduce as reproduce,
    run as run,
)
from .recipes.options import ReproduceOptions as ReproduceOptions
from .reports.options import (
    ScalingOptions as ScalingOptions,
    SignificanceOptions as SignificanceOptions,
)
from .reports.scaling import scaling as scaling
from .reports.significance import test as test
from .runs.options import RunOptions as RunOptions
from .stimuli.audio import Audio as Audio
from .stimuli.stories import Story as Story
from .stimuli.words import Words as Words

__version__: str

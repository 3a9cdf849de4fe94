"""A model zoo for the brain: each public name, and the module that defines it."""

from .data.memory import InMemoryDataset as InMemoryDataset
from .errors import (
    DataError as DataError,
)
from .errors import (
    MissingError as MissingError,
)
from .errors import (
    NotFoundError as NotFoundError,
)
from .errors import (
    PluginError as PluginError,
)
from .errors import (
    UsageError as UsageError,
)
from .errors import (
    ZooError as ZooError,
)
from .python import (
    extract as extract,
)
from .python import (
    models as models,
)
from .python import (
    open_dataset as open_dataset,
)
from .python import (
    open_store as open_store,
)
from .python import (
    plan as plan,
)
from .python import (
    reproduce as reproduce,
)
from .python import (
    run as run,
)
from .recipes.options import ReproduceOptions as ReproduceOptions
from .reports.options import (
    ScalingOptions as ScalingOptions,
)
from .reports.options import (
    SignificanceOptions as SignificanceOptions,
)
from .reports.scaling import scaling as scaling
from .reports.significance import test as test
from .runs.options import RunOptions as RunOptions
from .stimuli.audio import Audio as Audio
from .stimuli.stories import Story as Story
from .stimuli.words import Words as Words

__version__: str

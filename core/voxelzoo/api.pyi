"""Everything a plugin may import: each name, and the module that defines it."""

from .contract.interfaces import (
    Aligner as Aligner,
)
from .contract.interfaces import (
    Cost as Cost,
)
from .contract.interfaces import (
    Dataset as Dataset,
)
from .contract.interfaces import (
    DatasetInfo as DatasetInfo,
)
from .contract.interfaces import (
    Extractor as Extractor,
)
from .contract.interfaces import (
    ExtractorRequest as ExtractorRequest,
)
from .contract.interfaces import (
    Regressor as Regressor,
)
from .contract.interfaces import (
    StateBlock as StateBlock,
)
from .contract.interfaces import (
    hookimpl as hookimpl,
)
from .contract.specs import (
    API_OLDEST as API_OLDEST,
)
from .contract.specs import (
    API_VERSION as API_VERSION,
)
from .contract.specs import (
    AlignerSpec as AlignerSpec,
)
from .contract.specs import (
    DatasetSpec as DatasetSpec,
)
from .contract.specs import (
    ExtractorSpec as ExtractorSpec,
)
from .contract.specs import (
    Modality as Modality,
)
from .contract.specs import (
    ModelEntry as ModelEntry,
)
from .contract.specs import (
    RegressorSpec as RegressorSpec,
)
from .contract.specs import (
    Spec as Spec,
)
from .contract.weights import (
    hub_cache as hub_cache,
)
from .contract.weights import (
    is_local as is_local,
)
from .contract.weights import (
    local_snapshot as local_snapshot,
)
from .contract.weights import (
    weight_files as weight_files,
)
from .contract.weights import (
    weights_location as weights_location,
)
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
from .stimuli.audio import Audio as Audio
from .stimuli.clocks import ScanClock as ScanClock
from .stimuli.files import (
    content_digest as content_digest,
)
from .stimuli.files import (
    require_downloaded as require_downloaded,
)
from .stimuli.sound import (
    SoundStream as SoundStream,
)
from .stimuli.sound import (
    examine as examine,
)
from .stimuli.sound import (
    n_samples_at as n_samples_at,
)
from .stimuli.stories import Story as Story
from .stimuli.textgrids import read_textgrid as read_textgrid
from .stimuli.windows import (
    AudioWindow as AudioWindow,
)
from .stimuli.windows import (
    TextWindow as TextWindow,
)
from .stimuli.windows import (
    WindowPolicy as WindowPolicy,
)
from .stimuli.windows import (
    audio_windows as audio_windows,
)
from .stimuli.windows import (
    context_starts as context_starts,
)
from .stimuli.windows import (
    parse_window_policy as parse_window_policy,
)
from .stimuli.words import (
    Words as Words,
)
from .stimuli.words import (
    read_words_csv as read_words_csv,
)

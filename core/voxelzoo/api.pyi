"""Everything a plugin may import: each name, and the module that defines it."""

from .blocks import blocks as blocks
from .bounded_yaml import load_yaml as load_yaml
from .contract.citations import bibtex_key as bibtex_key
from .contract.interfaces import (
    Cost as Cost,
    Dataset as Dataset,
    DatasetInfo as DatasetInfo,
    DescribesModel as DescribesModel,
    EstimatesCost as EstimatesCost,
    Extractor as Extractor,
    ExtractorRequest as ExtractorRequest,
    HasAverages as HasAverages,
    HasDisagreements as HasDisagreements,
    HasFirstToken as HasFirstToken,
    HasOwnStories as HasOwnStories,
    HasUnusableSubjects as HasUnusableSubjects,
    OpensResponses as OpensResponses,
    Resumes as Resumes,
    StateBlock as StateBlock,
    StoredResponses as StoredResponses,
    hookimpl as hookimpl,
)
from .contract.regression import (
    Aligner as Aligner,
    FormsDelays as FormsDelays,
    HasAlphaGrid as HasAlphaGrid,
    HasAlphas as HasAlphas,
    HasCoefficients as HasCoefficients,
    HasCVScores as HasCVScores,
    HasWeightIntervals as HasWeightIntervals,
    PartitionsVariance as PartitionsVariance,
    Regressor as Regressor,
    ReportsPath as ReportsPath,
    SplitsScores as SplitsScores,
    StacksSpaces as StacksSpaces,
    TakesSpaces as TakesSpaces,
)
from .contract.specs import (
    API_OLDEST as API_OLDEST,
    API_VERSION as API_VERSION,
    AlignerSpec as AlignerSpec,
    Control as Control,
    DatasetSpec as DatasetSpec,
    ExtractorSpec as ExtractorSpec,
    Modality as Modality,
    ModelEntry as ModelEntry,
    RegressorSpec as RegressorSpec,
    Spec as Spec,
)
from .contract.weights import (
    gguf_name as gguf_name,
    hub_cache as hub_cache,
    hub_id as hub_id,
    is_local as is_local,
    local_snapshot as local_snapshot,
    weight_files as weight_files,
    weights_location as weights_location,
)
from .disk.zarr_arrays import open_zarr_array as open_zarr_array
from .errors import (
    DataError as DataError,
    MissingError as MissingError,
    NotFoundError as NotFoundError,
    PluginError as PluginError,
    UsageError as UsageError,
    ZooError as ZooError,
)
from .memory import halved as halved, is_out_of_memory as is_out_of_memory
from .stimuli.audio import Audio as Audio, GeneratedSound as GeneratedSound
from .stimuli.clocks import ScanClock as ScanClock
from .stimuli.files import (
    content_digest as content_digest,
    require_downloaded as require_downloaded,
)
from .stimuli.sound import (
    SoundStream as SoundStream,
    examine as examine,
    n_samples_at as n_samples_at,
)
from .stimuli.stories import Story as Story
from .stimuli.textgrids import read_textgrid as read_textgrid
from .stimuli.windows import (
    AudioWindow as AudioWindow,
    TextWindow as TextWindow,
    WindowPolicy as WindowPolicy,
    audio_windows as audio_windows,
    context_starts as context_starts,
    parse_window_policy as parse_window_policy,
)
from .stimuli.words import Words as Words, read_words_csv as read_words_csv

"""The estimators, each imported on first use, and the cache that they share."""

from .banded import BandedRidge as BandedRidge
from .bootstrap import BootstrapRidge as BootstrapRidge
from .cache import DecompositionCache as DecompositionCache, shared_cache as shared_cache
from .partition import VariancePartition as VariancePartition
from .ridge import Ridge as Ridge
from .stacking import Stacking as Stacking

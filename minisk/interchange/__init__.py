"""Weights of other frameworks: read their files without these frameworks, and turn their names into minisk's.

    file ── read_weights ──→ {name: array} ── Source.rename ──→ {minisk's name: array}

Nothing in a file is executed. Every defect is one CheckpointError of one sentence. `minisk.models.load` and the command
`minisk convert` build networks of what this package returns.
"""

from .pickles import PlainUnpickler, unpickle
from .reading import ForeignWeights, read_weights
from .sources import SOURCE_NAMES, SOURCES, Preprocessing, Source, matching_sources

__all__ = ["SOURCES", "SOURCE_NAMES", "ForeignWeights", "PlainUnpickler", "Preprocessing", "Source", "matching_sources"]
__all__ += ["read_weights", "unpickle"]

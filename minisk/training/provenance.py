"""The software that computes a run: with the Config and the images, it decides the bits of the result."""

import logging
import reprlib
from collections.abc import Mapping

import numpy as np

from ..errors import CheckpointError
from ..runtime import kernels_in_use
from .blas import blas_core, blas_name

log = logging.getLogger("minisk")


def software(device: str) -> dict[str, str]:
    """Return the names of everything that computes: two runs on equal software have equal bits."""
    return {"kernels": kernels_in_use(device), "numpy": np.__version__, "blas": f"{blas_name()}, {blas_core()}"}


def warn_of_other_software(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Log a warning if a run continues on other software. before: empty for a checkpoint of an older minisk.

    Raises:
        CheckpointError: a checkpoint was forged: before is no mapping from names to names.
    """
    if not isinstance(before, Mapping) or not all(isinstance(old, str) for old in before.values()):
        raise CheckpointError(f"the checkpoint has software {reprlib.repr(before)}, expected names")
    changes = [
        f"{name} {reprlib.repr(old)} is now {now[name]!r}" for name, old in before.items() if now.get(name, old) != old
    ]
    if changes:
        log.warning("%s: the bits will differ from those of an uninterrupted run", "; ".join(changes))

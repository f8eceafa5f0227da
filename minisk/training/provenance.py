"""The software that computes a run: with the Config and the images, it decides the bits of the result."""

import logging
import reprlib
from collections.abc import Mapping

import numpy as np

from ..errors import CheckpointError
from ..runtime import kernels_in_use
from .blas import blas_core, blas_name

log = logging.getLogger("minisk")


def software(device: str, processes: int) -> dict[str, str]:
    """Return the names of everything that computes, and how many do: two runs on equal software have equal bits."""
    return {
        "kernels": kernels_in_use(device),
        "numpy": np.__version__,
        "blas": f"{blas_name()}, {blas_core()}",
        "processes": str(processes),
    }


def warn_of_other_software(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Log a warning if a run continues on other software. before: empty for a checkpoint of an older minisk.

    Raises:
        CheckpointError: a checkpoint was forged: before is no mapping from names to names.
    """
    if not isinstance(before, Mapping) or not all(isinstance(old, str) for old in before.values()):
        raise CheckpointError(f"the checkpoint has software {reprlib.repr(before)}, expected names")
    earlier = {"processes": "1", **before}  # an older minisk had no other number
    changes = [
        f"{name} {reprlib.repr(old)} is now {now[name]!r}" for name, old in earlier.items() if now.get(name, old) != old
    ]
    if changes:
        log.warning("%s: the bits will differ from those of an uninterrupted run", "; ".join(changes))


def check_processes(before: Mapping[str, str], now: Mapping[str, str], sync_bn: bool) -> None:
    """Raise CheckpointError if another number of processes would train another network.

    That is so without synchronised batch norm: each process normalises by the statistics of its own images.
    """
    old, new = before.get("processes", "1"), now["processes"]
    if old != new and not sync_bn:
        remedy = f"start {old}, or begin a new run with --sync-bn"
        raise CheckpointError(f"a run of {old} processes without --sync-bn can't go on with {new}: {remedy}")

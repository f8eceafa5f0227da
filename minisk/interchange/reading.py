"""Read a file of weights, whatever framework wrote it, as arrays by name."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import CheckpointError
from ..serialization import read_arrays
from .caffemodel import read_caffemodel
from .npz import read_npz
from .pth import SAVE_STATE_DICT, read_pth
from .zips import opened_zip

# Keys under which a training script stores the state dict; averaged weights first, as they are the ones to use.
_WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model", "net", "module")
_DEEPEST = 4  # wrappers around each other
# In front of every name: DataParallel, a module that contains the network, torch.compile, wrappers in a flat file.
_PREFIXES = ("module.", "model.", "_orig_mod.", "state_dict.")
_IGNORED = "num_batches_tracked"  # PyTorch's batch norm counts its steps; no result in evaluation depends on it


@dataclass(frozen=True)
class ForeignWeights:
    """The weights in a file, under the names that its framework gave them.

    Attributes:
        arrays: by name, without prefixes such as "module." and without counters of batches.
        format: "safetensors", "pth", "npz" or "caffemodel".
        metadata: texts of a safetensors header.
    """

    arrays: dict[str, Array]
    format: str
    metadata: Mapping[str, str]


def read_weights(path: str | Path) -> ForeignWeights:
    """Return the weights in a .safetensors, .pth, .npz or .caffemodel. Nothing in the file is executed.

    The content decides on the format, except that a .caffemodel is known by its name alone.

    Raises:
        CheckpointError: the file is missing, damaged, of another format, or holds something else than weights.
    """
    what = f"weights file {path}"
    if not os.path.isfile(path):
        raise CheckpointError(f"{what} {'is not a regular file' if os.path.exists(path) else 'does not exist'}")
    try:
        file_format = _format(path, what)
        metadata: Mapping[str, str] = {}
        found: Any
        if file_format == "safetensors":
            found, metadata = read_arrays(path, "weights file")
        else:
            found = {"pth": read_pth, "npz": read_npz, "caffemodel": read_caffemodel}[file_format](path)
    except OSError as error:
        raise CheckpointError(f"{what} can't be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{what} has {os.path.getsize(path):,} bytes: not enough memory") from error
    return ForeignWeights(_arrays(found, what), file_format, metadata)


def _format(path: str | Path, what: str) -> str:
    with open(path, "rb") as file:
        head = file.read(16)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    if head[:2] == b"PK":
        with opened_zip(path, what) as archive:
            return "npz" if archive.namelist() and all(n.endswith(".npy") for n in archive.namelist()) else "pth"
    if os.fspath(path).endswith(".caffemodel"):
        return "caffemodel"
    if head[:1] == b"\x80":
        again = "load it with torch and save it again"
        raise CheckpointError(f"{what} is a bare pickle, as PyTorch before 1.6 wrote, expected a zip: {again}")
    expected = "expected .safetensors, .pth, .npz or .caffemodel"
    raise CheckpointError(f"{what} has an unknown format, their first bytes are {head[:8]!r}: {expected}")


def _arrays(found: Any, what: str) -> dict[str, Array]:
    """Return the state dict in what a file holds, with prefixes and counters removed."""
    for _ in range(_DEEPEST):
        inner = next((found[key] for key in _WRAPPERS if _holds_arrays(found, key)), None)
        if inner is None:
            break
        found = inner
    arrays = {}
    if isinstance(found, dict):
        arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    if not arrays:
        raise CheckpointError(f"{what} holds no arrays by name; {SAVE_STATE_DICT}")
    if not all(isinstance(name, str) for name in arrays):
        raise CheckpointError(f"{what} holds arrays whose names are not text; {SAVE_STATE_DICT}")
    arrays = {name: value for name, value in arrays.items() if name.rpartition(".")[2] != _IGNORED}
    while prefix := next((p for p in _PREFIXES if arrays and all(name.startswith(p) for name in arrays)), ""):
        arrays = {name.removeprefix(prefix): value for name, value in arrays.items()}
    return arrays


def _holds_arrays(found: Any, key: str) -> bool:
    return isinstance(found, dict) and isinstance(found.get(key), dict)

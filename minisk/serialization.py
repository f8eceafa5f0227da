"""Checkpoints: arrays in one safetensors file, everything else as JSON in that file's header.

One file, so that arrays and numbers can never come from two moments; written beside the old one and moved over it
when it is whole. Nothing in it is ever executed.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .backend import Array, to_device
from .errors import CheckpointError

FORMAT = 2  # 2: the position within an epoch, random states and the weights' average are in it too


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file so that, whatever happens, either the old content or the new is there in full. Raises OSError."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # have the folder's own record of the rename written too, where folders can be opened
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_checkpoint(path: str | Path, arrays: dict[str, Array], about: dict[str, Any]) -> None:
    """Write arrays and a JSON-able description to one safetensors file, atomically. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.numpy import save

    header = {"minisk": json.dumps({**about, "format": FORMAT})}
    try:
        # order="C": safetensors writes the memory as it lies.
        host = {name: np.asarray(to_device(array, "cpu"), order="C") for name, array in arrays.items()}
        atomic_write(path, save(host, metadata=header))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"checkpoint {path} could not be written: {reason}") from error


def load_checkpoint(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return (arrays, description) as saved. Raises CheckpointError if missing, damaged, or of a newer format."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("minisk", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # TypeError and AttributeError: a dtype that NumPy lacks; RecursionError: JSON nested without end.
        raise CheckpointError(f"checkpoint {path} is damaged or not a safetensors file: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise CheckpointError(f"checkpoint {path} was not written by minisk")
    if about["format"] > FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {about['format']}; this minisk reads up to {FORMAT}")
    return arrays, about


def weights_of(arrays: dict[str, Array], kind: str = "model") -> dict[str, Array]:
    """Pick arrays of one kind ("model": weights, "average": their moving average) under the model's own names."""
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}

"""Save and load a state dict as a safetensors file: names, shapes, dtypes and values, and nothing that is executed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .autograd import Tensor
from .backend import to_device
from .errors import CheckpointError
from .serialization import atomic_write


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a state dict to a safetensors file, in one step: the old file stays until the new one is complete.

    Args:
        state: Tensors or arrays by name, of any shape and a real dtype, on any device.
        path: the file, by convention `….safetensors`.

    Raises:
        CheckpointError: if the file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save as to_bytes

    arrays = {name: to_device(x.data if isinstance(x, Tensor) else x, "cpu") for name, x in state.items()}
    try:
        # order="C": safetensors writes the memory in the order it lies in.
        atomic_write(path, to_bytes({name: np.asarray(array, order="C") for name, array in arrays.items()}))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"save: {path} could not be written: {error}") from error


def load(path: str | Path, device: str = "cpu") -> dict[str, Tensor]:
    """Return the state dict of a safetensors file, for `model.load_state_dict`.

    Args:
        path: a file written by `save`, or by any other library that writes safetensors.
        device: where to put the Tensors.

    Returns:
        Tensors by name, in the shapes and dtypes of the file.

    Raises:
        CheckpointError: if the file is missing or damaged.
        DeviceError: if the device is not there.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not os.path.isfile(path):
        raise CheckpointError(f"load: {path} does not exist")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(f"load: {path} is damaged or not a safetensors file: {error}") from error
    return {name: Tensor(to_device(array, device)) for name, array in arrays.items()}

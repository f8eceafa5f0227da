"""Save and load a state dict as a safetensors file: names, shapes, dtypes and values, and nothing that is executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .autograd import Tensor
from .backend import to_device
from .errors import DtypeError
from .serialization import read_arrays, write_arrays


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a state dict to a safetensors file, in one step: the old file stays until the new one is complete.

    Args:
        state: Tensors or arrays by name, of any shape and a real dtype, on any device.
        path: the file, by convention `….safetensors`.

    Raises:
        CheckpointError: if the file can't be written.
        DtypeError: if a value is neither a Tensor nor an array.
    """
    arrays = {name: x.data if isinstance(x, Tensor) else x for name, x in state.items()}
    for name, array in arrays.items():
        if not hasattr(array, "dtype"):
            raise DtypeError(f"save: {name}: expected a Tensor or an array, got a {type(array).__name__}")
    write_arrays(path, arrays, "save:")


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
    arrays, _ = read_arrays(path, "load:")
    return {name: Tensor(to_device(array, device)) for name, array in arrays.items()}

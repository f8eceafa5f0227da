"""Where arrays live: NumPy on the CPU, CuPy on a GPU.

Everything else asks `array_module` which library an array belongs to. CuPy is imported
only when a GPU is asked for, and only once the driver library has been found.
"""

import ctypes
import functools
import logging
from typing import Any, TypeAlias

import numpy as np

from ..errors import DeviceError

log = logging.getLogger(__name__)

# Stands for numpy.ndarray and cupy.ndarray alike: the code between this floor and the kernels is the same for both.
Array: TypeAlias = np.ndarray[Any, Any]

DEFAULT_FLOAT = np.dtype(np.float32)


@functools.cache
def cuda_available() -> bool:
    """Whether a CUDA driver, a device and CuPy are all present. Imports CuPy only if the driver is there."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    try:
        import cupy

        return bool(cupy.cuda.is_available())
    except ImportError:
        return False
    except Exception as error:  # one built for another CUDA, say
        log.warning("CuPy can't be used, the CPU is: %s", error)
        return False


def parse_device(device: str) -> tuple[str, int]:
    """Split "cpu", "cuda" or "cuda:1" into kind and index. Raises DeviceError for anything else, or without a GPU."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise DeviceError(f"device {device!r} is not known: expected 'cpu', 'cuda' or 'cuda:1'")
    if kind == "cuda" and not cuda_available():
        raise DeviceError(f"device {device!r} asked for, but no CUDA driver, device or CuPy was found: use 'cpu'")
    number = int(index or 0)
    if number > 0 and number >= _gpu_count():
        raise DeviceError(f"device {device!r} asked for, but there are {_gpu_count()}, counted from 0")
    return kind, number


def _gpu_count() -> int:
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def array_module(array: Array) -> Any:
    """Return `numpy` for a NumPy array or scalar, `cupy` for a CuPy array."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    import cupy

    return cupy


def device_of(array: Array) -> str:
    """Name the device of an array: "cpu" or "cuda:INDEX"."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def to_device(array: Array, device: str) -> Array:
    """Return the array on the named device, copied only if it lives elsewhere.

    A GPU becomes the thread's current one, on which CuPy makes new arrays: a network stays on the GPU it was moved to.
    """
    kind, index = parse_device(device)
    if kind == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    import cupy

    cupy.cuda.Device(index).use()
    return array if device_of(array) == f"cuda:{index}" else cupy.asarray(array)


def storage(array: Array) -> Any:
    """Return the object that owns the array's memory: two views of one memory have the same storage."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return owner

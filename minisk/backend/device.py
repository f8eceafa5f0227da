"""Devices: NumPy arrays on the CPU, CuPy arrays on a GPU.

All other code asks `array_module` which library an array belongs to. CuPy is imported only when a GPU is asked for,
and only after the driver library was found.
"""

import ctypes
import functools
import logging
import sys
from typing import Any, TypeAlias

import numpy as np

from ..errors import DeviceError
from .threads import release_freed_memory

log = logging.getLogger(__name__)

# Stands for numpy.ndarray and cupy.ndarray alike: the code from here up to the operations is the same for both.
Array: TypeAlias = np.ndarray[Any, Any]

DEFAULT_FLOAT = np.dtype(np.float32)


@functools.cache
def cuda_available() -> bool:
    """Return whether a CUDA driver, a GPU and CuPy are all present."""
    try:
        ctypes.CDLL("libcuda.so.1")  # before CuPy is imported, which takes long and succeeds without a GPU
    except OSError:
        return False
    try:
        import cupy

        return bool(cupy.cuda.is_available())
    except ImportError:
        return False
    except Exception as error:  # CuPy built for another CUDA version, for example
        log.warning("CuPy can't be used, the CPU is: %s", error)
        return False


def parse_device(device: str) -> tuple[str, int]:
    """Split "cpu", "cuda" or "cuda:1" into kind and index. Raises DeviceError for anything else, or without a GPU."""
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise DeviceError(f"device {device!r} is not known: expected 'cpu', 'cuda' or 'cuda:1'")
    if kind == "cuda" and not cuda_available():
        raise DeviceError(f"device {device!r} asked for, but no CUDA driver, device or CuPy was found: use 'cpu'")
    number = int(index or 0)
    if number > 0:
        import cupy

        if number >= (count := int(cupy.cuda.runtime.getDeviceCount())):
            raise DeviceError(f"device {device!r} asked for, but there are {count}, counted from 0")
    return kind, number


def full_device_name(device: str) -> str:
    """Return "cpu" or "cuda:INDEX", as `device_of` does; "cuda" is "cuda:0". Raises DeviceError as parse_device."""
    kind, index = parse_device(device)
    return kind if kind == "cpu" else f"{kind}:{index}"


def array_module(array: Array) -> Any:
    """Return `numpy` for a NumPy array or scalar, `cupy` for a CuPy array."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    import cupy

    return cupy


def device_of(array: Array) -> str:
    """Return the name of the array's device: "cpu" or "cuda:INDEX"."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def to_device(array: Array, device: str) -> Array:
    """Return the array on the named device; it is copied only if it lies on another one.

    A GPU also becomes the thread's current one, on which CuPy makes new arrays. So after a network is moved to a GPU,
    its intermediate results are made on that GPU too.

    Raises:
        DeviceError: if the device is not there.
    """
    kind, index = parse_device(device)
    if kind == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    import cupy

    cupy.cuda.Device(index).use()
    return array if device_of(array) == f"cuda:{index}" else cupy.asarray(array)


def empty_cache() -> None:
    """Return the memory of freed arrays to the system: glibc and CuPy keep it for the next arrays."""
    release_freed_memory()
    cupy = sys.modules.get("cupy")
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()


def storage(array: Array) -> Any:
    """Return the object that owns the array's memory: two views of one memory have the same storage."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return owner

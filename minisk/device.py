"""Where arrays live: NumPy on the CPU, CuPy on a GPU; and the random numbers of both.

The ground floor: everything else asks `array_module` which library an array belongs to. CuPy is imported
only when a GPU is asked for, and only once the driver library has been found.
"""

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, TypeAlias

# OpenBLAS reads this when NumPy is loaded: its threads spin 2²⁰ cycles (0.3 ms) for the next product, then sleep. Its
# own 2²⁶ are 30 ms, in which they hold processors that our kernels want. If NumPy was loaded before, it keeps those.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

import numpy as np

from .errors import DeviceError

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


# One seeded generator per device, made when first asked for.
_streams = SimpleNamespace(seed=None, generators={})


def manual_seed(seed: int) -> None:
    """Seed every random number that minisk draws itself: initial weights and dropout, on every device."""
    _streams.seed = int(seed)
    _streams.generators.clear()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from freshly seeded generators inside; afterwards, go on with those from before."""
    before = _streams.seed, _streams.generators
    _streams.seed, _streams.generators = seed, {}
    try:
        yield
    finally:
        _streams.seed, _streams.generators = before


def random_generator(device: str = "cpu") -> Any:
    """Return the generator (NumPy's or CuPy's `Generator`) that minisk draws from on this device."""
    if device not in _streams.generators and device == "cpu":
        _streams.generators[device] = np.random.default_rng(_streams.seed)
    elif device not in _streams.generators:
        import cupy

        with cupy.cuda.Device(parse_device(device)[1]):
            _streams.generators[device] = cupy.random.default_rng(_streams.seed)
    return _streams.generators[device]


def random_state() -> dict[str, Any]:
    """Return, as JSON, the seed and where the CPU's generator is: what `set_random_state` needs to go on from here.

    CuPy does not tell where a GPU's generator is, so that one is not in it.
    """
    return {"seed": _streams.seed, "cpu": random_generator().bit_generator.state}


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a random_state(). A GPU's generator starts again from the seed. Raises TypeError, LookupError."""
    _streams.seed = state["seed"]
    _streams.generators.clear()
    random_generator().bit_generator.state = state["cpu"]

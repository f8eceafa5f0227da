"""Which implementation runs: the environment variable MINISK_KERNELS, and whether kernels can be compiled.

    auto      CUDA kernels for CuPy arrays; mode `cpu` for NumPy arrays, or the NumPy formulas without a C++ compiler
    numpy     the NumPy (or CuPy) formulas
    cpu       blocks in parallel on all processors; a block is one thread if the kernel is marked ANY_BLOCK, and
              otherwise runs at its true size, once
    threads   every thread of every block, at the true block size, in several orders: slow, to prove a kernel right
    check     one run with every memory access instrumented: slower still, deterministic

The variable is read at every launch.
"""

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Iterator

from ..errors import KernelError
from .compiler import find_compiler
from .cpu import load_library
from .signature import locate

log = logging.getLogger(__name__)

MODES = ("auto", "numpy", "cpu", "threads", "check")
_NAME = "MINISK_KERNELS"
_KEY = os.environ.encodekey(_NAME)
_ENVIRONMENT = type(os.environ)


def kernel_mode() -> str:
    """Return the value of MINISK_KERNELS, or "auto" if it is not set. Raises KernelError if it is not a mode."""
    # Its own dictionary takes a tenth of the environment's time to say that a variable is not set.
    is_usual = type(os.environ) is _ENVIRONMENT
    value = os.environ._data.get(_KEY) if is_usual else os.environ.get(_NAME)  # type: ignore[attr-defined]
    mode = "auto" if value is None else os.fsdecode(value)
    if mode not in MODES:
        raise KernelError(f"MINISK_KERNELS is {mode!r}, expected one of {', '.join(MODES)}")
    return mode


@contextlib.contextmanager
def in_mode(mode: str) -> Iterator[None]:
    """Set MINISK_KERNELS inside a `with` block: auto, numpy, cpu, threads or check."""
    before = os.environ.get(_NAME)
    os.environ[_NAME] = mode
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NAME]
        else:
            os.environ[_NAME] = before


@functools.cache
def why_no_kernels() -> str | None:
    """Return why NumPy arrays cannot use compiled kernels, or None if they can. Tries the compiler once."""
    try:
        find_compiler()
        _any_library()
    except (KernelError, OSError) as error:
        log.warning("NumPy formulas in use instead of compiled kernels: %s", error)
        return str(error)
    return None


@functools.cache
def vector_bytes() -> int:
    """Return the bytes of a vector register, as the compiler uses them in mode cpu: 64, 32 or 16.

    Raises:
        KernelError: there is no compiler.
    """
    return int(_any_library().minisk_vector_bytes())


@functools.cache
def launch_threads() -> int:
    """Return how many threads share the blocks of a launch in mode cpu. Raises KernelError: there is no compiler."""
    return int(_any_library().minisk_threads())


def _any_library() -> ctypes.CDLL:
    return load_library(locate("axpy.cu"), "cpu", ("REAL=float", "INDEX=int"))[1]


def kernels_in_use(device: str) -> str:
    """Describe in words what runs the operations on a device ("cpu", "cuda:0")."""
    if kernel_mode() == "numpy":
        return "the formulas, in NumPy" if device == "cpu" else "the formulas, in CuPy"
    if device != "cpu":
        return "CUDA kernels"
    reason = why_no_kernels()
    return f"built by {find_compiler()[1]}" if reason is None else f"the formulas, in NumPy ({reason})"

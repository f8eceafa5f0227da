"""Decide between a compiled kernel and the reference implementation: by mode, device, dtype and size."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from ..backend import Array, array_module
from ..errors import KernelError
from ..runtime import BuildError, kernel_mode, why_no_kernels
from . import reference

log = logging.getLogger(__name__)

CPU_DTYPES = "fd"  # float32, float64; a CPU computes float16 slowly
SIMULATED_DTYPES = "efd"  # the modes `threads` and `check` run what a GPU would, float16 included
GPU_DTYPES = "efd"


P = ParamSpec("P")
Result = TypeVar("Result")


def with_fallback(function: Callable[P, Result]) -> Callable[P, Result]:
    """Run the reference implementation of the same name if, in mode `auto`, the function's kernel cannot be built.

    One log line says so. In other modes, BuildError is raised. A decorator of the functions of `minisk.kernels`.
    """
    name = function.__name__
    formula: Callable[P, Result] = getattr(reference, name)
    is_logged = False

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        nonlocal is_logged
        try:
            return function(*args, **kwargs)
        except BuildError as error:
            if kernel_mode() != "auto":
                raise
            if not is_logged:
                log.warning("NumPy formula of %s in use instead of its kernel: %s", name, error)
                is_logged = True
        return formula(*args, **kwargs)

    return run


def use_kernel(*arrays: Array, min_size: int = 0) -> bool:
    """Return whether a compiled kernel can take these arrays in the current mode of MINISK_KERNELS.

    A kernel needs arrays of one floating dtype that are not empty.

    Args:
        arrays: every floating-point array that the kernel takes, NumPy or CuPy.
        min_size: elements of the largest array. In mode `auto`, smaller NumPy arrays use the reference: launching a
            kernel would take longer than NumPy does.

    Raises:
        KernelError: in the modes `cpu`, `threads` and `check`, if there is no compiler.
    """
    mode = kernel_mode()
    if mode == "numpy":
        return False
    sizes = [array.size for array in arrays]
    dtype = arrays[0].dtype.char
    if not min(sizes) or any(array.dtype.char != dtype for array in arrays):
        return False
    if not isinstance(arrays[0], np.ndarray):
        return dtype in GPU_DTYPES and not isinstance(arrays[0], np.generic)
    if mode == "auto" and max(sizes) < min_size:
        return False
    if dtype not in (SIMULATED_DTYPES if mode in ("threads", "check") else CPU_DTYPES):
        return False
    reason = why_no_kernels()
    if reason and mode != "auto":
        raise KernelError(f"MINISK_KERNELS={mode}, but {reason}")
    return reason is None


def contiguous(array: Array) -> Array:
    """Return the array itself if it is C-contiguous, else a copy that is: kernels take no others."""
    return array if array.flags.c_contiguous else array_module(array).ascontiguousarray(array)


def are_contiguous(*arrays: Array) -> bool:
    """Return whether all arrays are C-contiguous."""
    return all(array.flags.c_contiguous for array in arrays)

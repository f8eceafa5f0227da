"""Decide between a compiled kernel and the reference implementation: by mode, device, dtype and size."""

import functools
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

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

REPLACEABLE: set[str] = set()  # names of the functions of `minisk.kernels` that `replaced` can replace
IN_PLACE = {"sgd_momentum"}  # functions that change their arrays
PROVEN_DTYPES = "fd"  # that `prove` tries a function of yours with
# The functions that stand in for those of these names in this thread; `replaced` (replacement.py) sets them.
replacements: ContextVar[Mapping[str, Callable[..., Any]]] = ContextVar("replacements", default={})  # noqa: B039


def with_fallback(function: Callable[P, Result]) -> Callable[P, Result]:
    """Run the caller's own function instead, if `replaced` put one in place of this name.

    Run the reference implementation if, in mode `auto`, the function's kernel cannot be built. One log line says so. In
    other modes, BuildError is raised. A decorator of the functions of `minisk.kernels`.
    """
    name = function.__name__
    REPLACEABLE.add(name)
    formula: Callable[P, Result] = getattr(reference, name)
    is_logged = False

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        nonlocal is_logged
        own: Callable[P, Result] | None = replacements.get().get(name)
        if own is not None and _can_replace(name, args):
            return own(*map(_contiguous_if_array, args), **kwargs)
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


def is_any_replaced() -> bool:
    """Return whether `replaced` has put a function in place of another in this thread."""
    return bool(replacements.get())


def _can_replace(name: str, args: tuple[Any, ...]) -> bool:
    """Return whether arguments are as a replacement was proven for: of one dtype, not empty; mode `numpy` has none."""
    arrays = [arg for arg in args if hasattr(arg, "flags") and arg.dtype.kind == "f"]
    dtypes = {array.dtype.char for array in arrays}
    if kernel_mode() == "numpy" or len(dtypes) != 1 or dtypes.pop() not in PROVEN_DTYPES:
        return False
    return all(array.size for array in arrays) and (name not in IN_PLACE or are_contiguous(*arrays))


def _contiguous_if_array(arg: Any) -> Any:
    return contiguous(arg) if hasattr(arg, "flags") else arg


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
    if mode == "auto" and max(sizes) < min_size and isinstance(arrays[0], np.ndarray):
        return False  # the most common case of small arrays first: the rest takes as long as NumPy's own operation
    dtype = arrays[0].dtype.char
    if not min(sizes) or any([array.dtype.char != dtype for array in arrays]):
        return False
    if not isinstance(arrays[0], np.ndarray):
        return dtype in GPU_DTYPES and not isinstance(arrays[0], np.generic)
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
    return all([array.flags.c_contiguous for array in arrays])

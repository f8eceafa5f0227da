"""The BLAS library that NumPy has loaded: its name, version, processor kernel and threads."""

import contextlib
import ctypes
from pathlib import Path
from typing import Any

import numpy as np

_PREFIXES = ("scipy_openblas_{}64_", "openblas_{}64_", "openblas_{}")


def blas_name() -> str:
    """Return the name and version that NumPy was built with, such as "scipy-openblas 0.3.30"."""
    about: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,index,unused-ignore]
    return f"{about.get('name')} {about.get('version')}"


def blas_threads() -> int | str:
    """Return the number of threads that OpenBLAS uses now, or "unknown" for another library."""
    function = _function("get_num_threads")
    return "unknown" if function is None else int(function())


def blas_core() -> str:
    """Return the processor family whose kernels OpenBLAS chose, such as "Haswell", or "unknown"."""
    function = _function("get_corename")
    if function is None:
        return "unknown"
    function.restype = ctypes.c_char_p
    return (function() or b"unknown").decode()


def _function(name: str) -> Any:
    """Return a function of the OpenBLAS in this process, or None. It depends on the machine, not only on variables."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
        for library in sorted({line.split(maxsplit=5)[-1] for line in lines if "blas" in line}):
            for prefix in _PREFIXES:
                with contextlib.suppress(OSError, AttributeError):
                    return getattr(ctypes.CDLL(library), prefix.format(name))
    return None

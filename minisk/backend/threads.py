"""Process-wide settings that minisk makes: threads of OpenBLAS and OpenMP, and glibc's handling of freed memory.

Each is made once, and only if the user has not set it. MINISK_PROCESS_SETTINGS=0 switches all of them off.
`process_settings` lists them.
"""

import ctypes
import functools
import os
import platform
from collections.abc import Callable
from typing import NamedTuple

MASTER_SWITCH = "MINISK_PROCESS_SETTINGS"
OPENBLAS, OPENMP = "OPENBLAS_THREAD_TIMEOUT", "GOMP_SPINCOUNT"


class Setting(NamedTuple):
    """One process-wide setting.

    name: the environment variable or mallopt's option; value: its value, "" for the library's default.
    set_by: "minisk", "user" or "default"; purpose: why minisk sets it.
    """

    name: str
    value: str
    set_by: str
    purpose: str


class _Variable(NamedTuple):
    value: str
    purpose: str


# OpenBLAS's default of 2**26 cycles (30 ms) holds processors that the kernels need; 2**20 cycles are 0.3 ms.
# With no spin at all, waking OpenMP's threads takes longer than a small kernel runs; its default spin holds processors
# that BLAS's threads need.
_VARIABLES = {
    OPENBLAS: _Variable("20", "BLAS threads spin 2**20 cycles for the next product, then sleep"),
    OPENMP: _Variable("20000", "OpenMP threads spin 20,000 rounds for the next kernel, then sleep"),
}


class _MallocOption(NamedTuple):
    number: int  # of malloc.h
    value: int  # bytes
    purpose: str


# By default glibc returns each freed array to the system and fetches it again page by page, which takes a third of a
# convolution's time. 32 MB is the largest threshold that glibc accepts.
_MALLOC_OPTIONS = {
    "M_MMAP_THRESHOLD": _MallocOption(-3, 32 << 20, "freed arrays of up to 32 MB are kept for the next array"),
    "M_TRIM_THRESHOLD": _MallocOption(-1, 1 << 30, "up to 1 GB at the end of the heap stays with the process"),
    "M_TOP_PAD": _MallocOption(-2, 64 << 20, "the heap grows by 64 MB at a time"),
}

_set_by_minisk: set[str] = set()


def configure_blas() -> None:
    """Set OPENBLAS_THREAD_TIMEOUT; must run before NumPy is imported, when OpenBLAS reads it."""
    _set_variable(OPENBLAS)


def configure_openmp() -> None:
    """Set GOMP_SPINCOUNT; must run before the first kernel is loaded, when libgomp reads it."""
    _set_variable(OPENMP)


@functools.cache
def keep_freed_memory() -> None:
    """Set mallopt's options so that glibc keeps freed arrays, unless a MALLOC_... variable is set."""
    mallopt = _mallopt()
    if mallopt is not None and _is_switched_on() and not _user_configures_malloc():
        for option in _MALLOC_OPTIONS.values():
            mallopt(option.number, option.value)


def process_settings() -> list[Setting]:
    """Return every process-wide setting as it is once kernels are loaded: its value, who set it, and its purpose."""
    settings = []
    for name, variable in _VARIABLES.items():
        if name in os.environ:
            set_by = "minisk" if name in _set_by_minisk else "user"
            settings.append(Setting(name, os.environ[name], set_by, variable.purpose))
        elif _is_switched_on():
            settings.append(Setting(name, variable.value, "minisk", variable.purpose))
        else:
            settings.append(Setting(name, "", "default", variable.purpose))
    for name, option in _MALLOC_OPTIONS.items():
        if _user_configures_malloc():
            settings.append(Setting(name, "", "user", option.purpose))
        elif _is_switched_on() and _mallopt() is not None:
            settings.append(Setting(name, str(option.value), "minisk", option.purpose))
        else:
            settings.append(Setting(name, "", "default", option.purpose))
    return settings


def _set_variable(name: str) -> None:
    if _is_switched_on() and name not in os.environ:
        os.environ[name] = _VARIABLES[name].value
        _set_by_minisk.add(name)


def _is_switched_on() -> bool:
    return os.environ.get(MASTER_SWITCH) != "0"


def _user_configures_malloc() -> bool:
    return any(name.startswith("MALLOC_") for name in os.environ)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's mallopt, or None if the C library has no such function."""
    if platform.system() != "Linux":
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)

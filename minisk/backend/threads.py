"""Process-wide settings that minisk makes: threads of OpenBLAS and OpenMP, and glibc's handling of freed memory.

Each is made once, and only if the user has not set it. MINISK_PROCESS_SETTINGS=0 switches all of them off.
`process_settings` lists them.
"""

import contextlib
import ctypes
import functools
import os
import platform
from collections.abc import Iterator
from typing import Any, NamedTuple

OPENBLAS, OPENMP = "OPENBLAS_THREAD_TIMEOUT", "GOMP_SPINCOUNT"
_TRIM = -1  # M_TRIM_THRESHOLD in malloc.h
_NEVER = -1  # as its value


class Setting(NamedTuple):
    """One process-wide setting.

    name: the environment variable or mallopt's option; value: its value, "" for the library's default.
    set_by: "minisk", "user" or "default"; purpose: why minisk sets it.
    """

    name: str
    value: str
    set_by: str
    purpose: str


class _Choice(NamedTuple):
    """What minisk sets, unless the user has."""

    value: int
    purpose: str
    number: int | None = None  # of mallopt's option in malloc.h; None for an environment variable


def _most_kept() -> int:
    """Return the bytes of freed memory that a process keeps: a quarter of the machine's, within mallopt's int."""
    pages, size = (os.sysconf(name) if hasattr(os, "sysconf") else 0 for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
    return max(256 << 20, min(2**31 - 1, pages * size // 4))


# OpenBLAS's default of 2**26 cycles (30 ms) holds processors that the kernels need; 2**20 cycles are 0.3 ms.
# With no spin at all, waking OpenMP's threads takes longer than a small kernel runs; its default spin holds processors
# that BLAS's threads need.
# By default glibc returns each freed array to the system and fetches it again page by page, which takes a third of a
# convolution's time.
# Threads would have heaps of their own, in pieces of 64 MB, which never reach the trim threshold. What one thread has
# freed would be of no use to the next.
_CHOICES = {
    OPENBLAS: _Choice(20, "BLAS threads spin 2**20 cycles for the next product, then sleep"),
    OPENMP: _Choice(20000, "OpenMP threads spin 20,000 rounds for the next kernel, then sleep"),
    "M_MMAP_MAX": _Choice(0, "arrays of any size come from the heap, which keeps them for the next array", -4),
    "M_TRIM_THRESHOLD": _Choice(
        _most_kept(), "so many bytes at the end of the heap stay with the process until ms.empty_cache()", _TRIM
    ),
    "M_TOP_PAD": _Choice(64 << 20, "the heap grows by 64 MB at a time", -2),
    "M_ARENA_MAX": _Choice(1, "all threads share one heap, so that memory freed by one serves the others", -8),
}


@contextlib.contextmanager
def variable(name: str) -> Iterator[None]:
    """Set an environment variable of the table inside a `with` block, if the user has not set it.

    name: OPENBLAS around the import of NumPy, OPENMP around the loading of a kernel. The libraries read them then, and
        child processes must not inherit them.
    """
    is_set = name not in os.environ and _value_and_origin(name)[1] == "minisk"
    if is_set:
        os.environ[name] = str(_CHOICES[name].value)
    try:
        yield
    finally:
        if is_set:
            os.environ.pop(name, None)


@functools.cache
def keep_freed_memory() -> None:
    """Set mallopt's options so that glibc keeps freed arrays, unless a MALLOC_... variable is set."""
    for name, choice in _CHOICES.items():
        if choice.number is not None and _value_and_origin(name)[1] == "minisk":
            _mallopt()(choice.number, choice.value)


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep all freed memory inside a `with` block, as a training does: its next step needs as much. Return it after."""
    is_ours = _value_and_origin("M_TRIM_THRESHOLD")[1] == "minisk"
    if is_ours:
        keep_freed_memory()
        _mallopt()(_TRIM, _NEVER)
    try:
        yield
    finally:
        if is_ours:
            _mallopt()(_TRIM, _most_kept())
            release_freed_memory()


def release_freed_memory() -> None:
    """Return the memory of freed arrays, which glibc keeps, to the system."""
    if _mallopt() is not None:
        ctypes.CDLL(None).malloc_trim(0)


def process_settings() -> list[Setting]:
    """Return every process-wide setting as it is once kernels are loaded: its value, who set it, and its purpose."""
    return [Setting(name, *_value_and_origin(name), choice.purpose) for name, choice in _CHOICES.items()]


def _value_and_origin(name: str) -> tuple[str, str]:
    """Return the value of a setting, and who sets it: see Setting."""
    choice = _CHOICES[name]
    if choice.number is None and name in os.environ:
        return os.environ[name], "user"
    if choice.number is not None and any(variable.startswith("MALLOC_") for variable in os.environ):
        return "", "user"
    if os.environ.get("MINISK_PROCESS_SETTINGS") != "0" and (choice.number is None or _mallopt() is not None):
        return str(choice.value), "minisk"
    return "", "default"


@functools.cache
def _mallopt() -> Any:
    """Return glibc's mallopt, or None if the C library has no such function."""
    if platform.system() != "Linux":
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)

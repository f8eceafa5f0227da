"""Process-wide settings that minisk makes: OpenBLAS's and OpenMP's threads, and how glibc keeps freed memory.

Each is made once, only where the user has not set the variable, and all are left alone if MINISK_KEEP_PROCESS is set.
"""

import ctypes
import functools
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def configure_blas() -> None:
    """Set OPENBLAS_THREAD_TIMEOUT; must run before NumPy is imported, when OpenBLAS reads it.

    Its threads then spin 2**20 cycles (0.3 ms) for the next product before they sleep. OpenBLAS's default, 2**26 cycles
    (30 ms), holds processors that the kernels need.
    """
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")


def configure_openmp() -> None:
    """Set GOMP_SPINCOUNT; must run before libgomp is loaded, with the first kernel.

    Its threads then spin briefly for the next kernel before they sleep. Without any spin, waking them takes longer than
    a small kernel runs; with the default spin, they hold the processors that BLAS's threads need.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to 32 MB for the next array, unless a MALLOC_... variable is set.

    By default it returns each to the system and fetches it again page by page, which takes as long as a third of a
    convolution. 32 MB is the largest threshold that glibc accepts. Up to 1 GB at the heap's end stays with the process.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        for option, size in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 64 << 20)):
            mallopt(option, size)

"""Compile CUDA source with the system's C++ compiler and call it through ctypes, to test the C++ headers by themselves.

Of minisk's Python only the structures are used, so a failing test points at the headers.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from minisk.runtime.structures import MiniskLaunch

CUDA = Path(__file__).resolve().parents[2] / "minisk" / "cuda"
COMPILER = os.environ.get("CXX", "g++")
# Kernels with planted bugs cause some of the warnings that are switched off here.
WARNINGS = "-Wall -Werror -Wno-unknown-pragmas -Wno-sign-compare -Wno-uninitialized -Wno-maybe-uninitialized"
COMMON = f"-std=c++17 -fPIC -g -fno-strict-aliasing {WARNINGS}"
FAST_FLOATS = "-fno-math-errno -fno-trapping-math -fassociative-math -fno-signed-zeros"
FLAGS = {
    "cpu": f"-DMINISK_ONE_THREAD -O3 -march=native -fopenmp {FAST_FLOATS}",
    "cpu without OpenMP": "-DMINISK_ONE_THREAD -O2",
    "threads": "-DMINISK_FIBERS -O2",
    "check": "-DMINISK_FIBERS -DMINISK_CHECK -O1 -fsanitize=thread -ftrivial-auto-var-init=pattern -fno-tree-sra "
    "-fsanitize=bounds-strict,alignment,signed-integer-overflow,shift,integer-divide-by-zero",
}

needs_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which(COMPILER) is None, reason="needs Linux and a C++ compiler"
)


@functools.cache
def build(source: str, mode: str, *kernels: str) -> ctypes.CDLL:
    """Compile the kernels of a source text in a mode of FLAGS, and load the library.

    Line 1 of the source is line 1 of "kernel.cu" in error messages.
    """
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    (folder / "kernel.cu").write_text(source)
    unit = ['#include "cuda_on_cpu.h"', f'#include "{folder}/kernel.cu"', *(f"MINISK_EXPORT({k})" for k in kernels)]
    (folder / "unit.cpp").write_text("\n".join(unit) + "\n")
    headers = CUDA.parent / "runtime" / "include"
    includes = [f"-I{CUDA}", f"-I{headers}", f"-I{headers / 'nvidia'}"]
    flags = [*COMMON.split(), *includes, *FLAGS[mode].split()]
    openmp = [flag for flag in flags if flag == "-fopenmp"]
    # In two steps, because mode check must not link ThreadSanitizer's runtime: checker.h defines its functions.
    _run([COMPILER, *flags, "-c", "unit.cpp", "-o", "unit.o"], folder)
    _run([COMPILER, "-shared", "-Wl,-Bsymbolic", *openmp, "unit.o", "-o", "unit.so"], folder)
    return ctypes.CDLL(str(folder / "unit.so"))


@functools.cache
def _folder() -> str:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return folder


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def three(size: int | Sequence[int]) -> tuple[int, ...]:
    """Return x, y, z of a grid or block size; missing ones are 1."""
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return sizes + (1,) * (3 - len(sizes))


def launch(
    library: ctypes.CDLL,
    kernel: str,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    *arguments: np.ndarray | np.generic,
    dynamic_shared: int = 0,
    schedule: int = 0,
    seed: int = 0,
) -> str:
    """Launch a kernel on arrays (passed by address) and scalars; return the error message, "" if there was none."""
    scalars = [np.asarray(a.ctypes.data if isinstance(a, np.ndarray) else a) for a in arguments]
    packed = b"".join([value.tobytes() + bytes(-value.nbytes % 16) for value in scalars])  # in slots of 16 bytes
    request = MiniskLaunch(three(grid), three(block), dynamic_shared, schedule, seed)
    failed = library[f"minisk_launch_{kernel}"](ctypes.byref(request), ctypes.create_string_buffer(packed, len(packed)))
    message = request.error.decode()
    assert bool(failed) == bool(message)
    return message

"""Launch a kernel in mode check through ctypes, and read the findings and counts of the checker."""

from __future__ import annotations

import ctypes
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from host_library import build, launch

from minisk.runtime.objects import variables
from minisk.runtime.structures import ACCESSES, KINDS, MiniskAccessor, MiniskFinding, MiniskSite, fetch

DYNAMIC_SHARED, STATIC_SHARED = -1, -2
SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2)]  # findings must not depend on the order of execution


@dataclass
class Accessor:
    """One access: the line of kernel.cu, "read", "write" or "atomic", and the block and thread that made it."""

    line: int
    access: str
    block: tuple[int, ...]
    thread: tuple[int, ...]


@dataclass
class Finding:
    """One mistake or hint. array: argument index, DYNAMIC_SHARED or STATIC_SHARED, for every `__shared__` array."""

    kind: str
    array: int
    offset: int
    count: int
    here: Accessor
    other: Accessor
    is_hint: bool
    text: str


@dataclass
class Site:
    """The cost of a line's accesses."""

    line: int
    array: int
    access: str
    requests: int
    lanes: int
    transactions: int
    least: int
    block_bytes: int
    example: list[int]


@dataclass
class Report:
    """The result of a checked launch."""

    error: str
    findings: list[Finding]
    sites: list[Site]

    @property
    def kinds(self) -> set[str]:
        return {finding.kind for finding in self.findings}


def check(
    source: str,
    kernel: str,
    grid: Any,
    block: Any,
    *arguments: Any,
    undefined: tuple[int, ...] = (),
    constant: tuple[int, ...] = (),
    **options: Any,
) -> Report:
    """Launch in mode check. undefined, constant: indices of uninitialised and of const arguments."""
    library = build(source, "check", kernel)
    _register_arrays(library, arguments, undefined, constant)
    error = launch(library, kernel, grid, block, *arguments, **options)
    findings = [
        Finding(
            _kind(f),
            _array(library, f.array),
            f.offset,
            f.count,
            _accessor(library, f.here),
            _accessor(library, f.other),
            bool(f.is_hint),
            f.text.decode(),
        )
        for f in fetch(library.minisk_check_finding, MiniskFinding)
    ]
    sites = [
        Site(
            line_of(library, s.address),
            _array(library, s.array),
            ACCESSES[s.access],
            s.requests,
            s.lanes,
            s.transactions,
            s.least_transactions,
            s.block_bytes,
            list(s.example),
        )
        for s in fetch(library.minisk_check_site, MiniskSite)
    ]
    return Report(error, findings, sites)


def _register_arrays(
    library: ctypes.CDLL, arguments: tuple[Any, ...], undefined: tuple[int, ...], constant: tuple[int, ...]
) -> None:
    library.minisk_check_begin()
    for i, array in enumerate(arguments):
        if isinstance(array, np.ndarray):
            known = ctypes.create_string_buffer(array.nbytes) if i in undefined else None
            start, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
            library.minisk_check_array(start, size, i, i not in constant, known)
            _KEPT.append(known)

    for number, variable in enumerate(variables(Path(library._name))):
        offset, size = ctypes.c_size_t(variable.offset), ctypes.c_size_t(variable.bytes)
        library.minisk_check_object(number, variable.is_shared, offset, size)


def _array(library: ctypes.CDLL, number: int) -> int:
    """Return STATIC_SHARED for every `__shared__` array, and other numbers as they are."""
    is_shared = -1000 < number <= STATIC_SHARED and variables(Path(library._name))[STATIC_SHARED - number].is_shared
    return STATIC_SHARED if is_shared else number


_KEPT: list[Any] = []  # maps that a library still points to


@functools.cache
def line_of(library: ctypes.CDLL, address: int) -> int:
    """Return the line of kernel.cu that an offset in the library belongs to; 0 for none."""
    if address == 0:
        return 0
    command = ["addr2line", "-i", "-e", library._name, hex(address)]
    chain = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(int(place.split(":")[1].split()[0]) for place in chain if "kernel.cu" in place)


def _kind(finding: MiniskFinding) -> str:
    return KINDS[finding.kind].replace("_", " ")


def _accessor(library: ctypes.CDLL, accessor: MiniskAccessor) -> Accessor:
    line = line_of(library, accessor.address)
    return Accessor(line, ACCESSES[accessor.access], tuple(accessor.block), tuple(accessor.thread))


def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def line_with(source: str, text: str) -> int:
    """Return the number of the first line with this text, counted from 1."""
    return next(i for i, line in enumerate(source.splitlines(), 1) if text in line)


# A sum in shared memory. Tests leave some of its barriers out.
REDUCTION = """
extern "C" __global__ void row_sums(int rows, int width, const float* x, float* out) {
    __shared__ float partial[64];
    const int thread = threadIdx.x;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        float sum = 0;
        for (int i = thread; i < width; i += blockDim.x) sum += x[row * width + i];  // loads
        partial[thread] = sum;                                                       // stores
        AFTER_STORE;
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if (thread < half) partial[thread] += partial[thread + half];            // adds
            IN_TREE;
        }
        if (thread == blockDim.x - 1) out[row] = partial[0];                         // result
        AFTER_ROW;
    }
}
"""
BARRIERS = ("AFTER_STORE", "IN_TREE", "AFTER_ROW")


def reduction(*without: str) -> str:
    """Return the source of the reduction without the barriers named."""
    source = REDUCTION
    for barrier in BARRIERS:
        source = source.replace(barrier, "" if barrier in without else "__syncthreads()")
    return source


# A vector of four elements, read and written in one request.
WHOLE = """
extern "C" __global__ void whole(int first, const float* x, float* out) {
    minisk_store_whole(out + 4 * threadIdx.x, minisk_load_whole<float4>(x + first + 4 * threadIdx.x));
}
"""

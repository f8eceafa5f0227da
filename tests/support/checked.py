"""Launch a kernel in mode check through ctypes, and read what the checker found and counted."""

from __future__ import annotations

import ctypes
import functools
import subprocess
from dataclasses import dataclass
from typing import Any

import numpy as np
from host_library import build, launch

KINDS = ("out of bounds", "misaligned", "race", "uninitialised", "read only")
ACCESSES = ("read", "write", "atomic")
DYNAMIC_SHARED, STATIC_SHARED = -1, -2
SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2)]  # what is found must not depend on the order of execution


class _Accessor(ctypes.Structure):
    """struct minisk_accessor of checker.h."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
        ("access", ctypes.c_int),
    )


class _Finding(ctypes.Structure):
    """struct minisk_finding of checker.h."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("array", ctypes.c_int),
        ("offset", ctypes.c_int64),
        ("bytes", ctypes.c_uint),
        ("count", ctypes.c_uint64),
        ("here", _Accessor),
        ("other", _Accessor),
    )


class _Site(ctypes.Structure):
    """struct minisk_site of counters.h."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("array", ctypes.c_int),
        ("access", ctypes.c_int),
        ("bytes", ctypes.c_uint),
        ("requests", ctypes.c_uint64),
        ("lanes", ctypes.c_uint64),
        ("transactions", ctypes.c_uint64),
        ("least_transactions", ctypes.c_uint64),
        ("block_bytes", ctypes.c_uint64),
        ("example", ctypes.c_int64 * 32),
    )


@dataclass
class Accessor:
    """Who accessed: the line of kernel.cu, and the first two letters of the access with block and thread."""

    line: int
    access: str
    block: tuple[int, ...]
    thread: tuple[int, ...]


@dataclass
class Finding:
    """What the checker found. array: argument index, DYNAMIC_SHARED or STATIC_SHARED."""

    kind: str
    array: int
    offset: int
    count: int
    here: Accessor
    other: Accessor


@dataclass
class Site:
    """What a line's accesses cost."""

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
    """A checked launch."""

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
    """Launch in mode check. undefined: the arguments that hold nothing yet; constant: those that may not be written."""
    library = build(source, "check", kernel)
    _name_arrays(library, arguments, undefined, constant)
    error = launch(library, kernel, grid, block, *arguments, **options)
    findings = [
        Finding(KINDS[f.kind], f.array, f.offset, f.count, _accessor(library, f.here), _accessor(library, f.other))
        for f in _fetch(library.minisk_check_finding, _Finding)
    ]
    sites = [
        Site(
            line_of(library, s.address),
            s.array,
            ACCESSES[s.access],
            s.requests,
            s.lanes,
            s.transactions,
            s.least_transactions,
            s.block_bytes,
            list(s.example),
        )
        for s in _fetch(library.minisk_check_site, _Site)
    ]
    return Report(error, findings, sites)


def _name_arrays(
    library: ctypes.CDLL, arguments: tuple[Any, ...], undefined: tuple[int, ...], constant: tuple[int, ...]
) -> None:
    library.minisk_check_begin()
    for i, array in enumerate(arguments):
        if isinstance(array, np.ndarray):
            known = ctypes.create_string_buffer(array.nbytes) if i in undefined else None
            start, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
            library.minisk_check_array(start, size, i, i not in constant, known)
            _KEPT.append(known)


_KEPT: list[Any] = []  # maps that a library still points at


@functools.cache
def line_of(library: ctypes.CDLL, address: int) -> int:
    """The line of kernel.cu that an offset in the library belongs to; 0 for none."""
    if address == 0:
        return 0
    command = ["addr2line", "-i", "-e", library._name, hex(address)]
    chain = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(int(place.split(":")[1].split()[0]) for place in chain if "kernel.cu" in place)


def _accessor(library: ctypes.CDLL, accessor: _Accessor) -> Accessor:
    line = line_of(library, accessor.address)
    return Accessor(line, ACCESSES[accessor.access], tuple(accessor.block), tuple(accessor.thread))


def _fetch(function: Any, record: Any) -> list[Any]:
    found = []
    while True:
        item = record()
        if not function(len(found), ctypes.byref(item)):
            return found
        found.append(item)


def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def line_with(source: str, text: str) -> int:
    """The line on which the text stands, counted from 1."""
    return next(i for i, line in enumerate(source.splitlines(), 1) if text in line)


# A sum in shared memory, with its barriers: tests leave some out.
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
    """The kernel's source in one piece, some of its barriers left out."""
    source = REDUCTION
    for barrier in BARRIERS:
        source = source.replace(barrier, "" if barrier in without else "__syncthreads()")
    return source


# A vector of four numbers, read and written as one.
WHOLE = """
extern "C" __global__ void whole(int first, const float* x, float* out) {
    minisk_store_whole(out + 4 * threadIdx.x, minisk_load_whole<float4>(x + first + 4 * threadIdx.x));
}
"""

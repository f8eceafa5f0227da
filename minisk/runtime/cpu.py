"""Runs built kernels on the CPU: packs the arguments, calls the library, and turns what went wrong into an error.

Mode `cpu` runs each block as one thread, blocks side by side. Mode `threads` runs every thread of the block at its
true size, in several orders, with shared memory poisoned and guard bands round the arrays.
"""

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.threads import configure_openmp, keep_freed_memory
from ..errors import KernelError
from .build import build
from .signature import Parameter, signatures

Three = tuple[int, int, int]
Args = Sequence[Any]
_FORMATS = {"f": "f4x", "d": "d", "i": "i4x", "I": "I4x", "q": "q", "l": "q", "B": "B7x", "?": "?7x"}
_GUARD = 4096  # bytes on either side of an array in mode `threads`
_ALIGNMENT = 256
# Blocks one way and the other, then two orders drawn by lot: a missing barrier is wrong in some of them only.
SCHEDULES = ((0, 0), (1, 0), (2, 1), (2, 2))


class _Launch(ctypes.Structure):
    """`struct minisk_launch` of include/launch.h."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared", ctypes.c_uint),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("error", ctypes.c_char * 512),
    )


class HostKernel:
    """One kernel in a loaded library."""

    def __init__(self, source: Path, name: str, mode: str, defines: Sequence[str], dtypes: Sequence[Any]) -> None:
        configure_openmp()
        keep_freed_memory()
        self.name, self.mode = name, mode
        self.parameters = signatures(source)[name].parameters
        self.outputs = [i for i, p in enumerate(self.parameters) if p.is_array and not p.is_const]
        self.path = build(source, mode, defines)
        self.library = ctypes.CDLL(str(self.path))
        self.function = self.library[f"minisk_launch_{name}"]
        formats = ["Q" if p.is_array else _FORMATS[t.char] for p, t in zip(self.parameters, dtypes, strict=True)]
        self.pack = struct.Struct("=" + "".join(formats)).pack
        self.pointers = ctypes.c_void_p * len(self.parameters)

    def __call__(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        """Run once in mode `cpu`; in mode `threads`, once for every schedule. Raises KernelError."""
        if self.mode == "cpu":
            self._run(grid, (1, 1, 1), args, dynamic_shared)
            return
        results = []
        for schedule in SCHEDULES:
            guards = {i: _Guarded(a) for i, a in enumerate(args) if isinstance(a, np.ndarray)}
            results.append([guards[i].inner if i in guards else a for i, a in enumerate(args)])
            self._run(grid, block, results[-1], dynamic_shared, *schedule)
            for i, guard in guards.items():
                guard.check(self.name, self.parameters[i], args[i])
        self._write_back(args, results)

    def _run(self, *request: Any) -> None:
        error = self.call(*request)
        if error:
            raise KernelError(f"{self.name}: {error}")

    def call(self, grid: Three, block: Three, args: Args, dynamic_shared: int, schedule: int = 0, seed: int = 0) -> str:
        """Run the kernel once; return what the executor says went wrong, nothing if nothing did."""
        packed = self.pack(*[_address(a) if isinstance(a, np.ndarray) else a for a in args])
        values = ctypes.create_string_buffer(packed, len(packed))
        start = ctypes.addressof(values)
        pointers = self.pointers(*range(start, start + len(packed), 8))
        launch = _Launch(grid, block, dynamic_shared, schedule, seed)
        return launch.error.decode(errors="replace") if self.function(ctypes.byref(launch), pointers) else ""

    def _write_back(self, args: Args, results: list[list[Any]]) -> None:
        for i in self.outputs:
            args[i][...] = results[0][i]
            for (schedule, seed), other in zip(SCHEDULES[1:], results[1:], strict=True):
                if other[i].tobytes() != args[i].tobytes():
                    order = f"the order in which threads run (schedule {schedule}, seed {seed})"
                    cause = "a barrier or an atomic is missing, or a sum is unordered"
                    raise KernelError(f"{self.name}: {self.parameters[i].name} depends on {order}: {cause}")


def _address(array: np.ndarray[Any, Any]) -> int:
    # Three times as fast as array.ctypes.data, which is for arrays that may not be written.
    is_writable = array.flags.writeable
    return ctypes.addressof(ctypes.c_char.from_buffer(array)) if is_writable else array.ctypes.data  # type: ignore[arg-type]


def aligned_copy(array: np.ndarray[Any, Any], room: int = 0, offset: int = 0) -> np.ndarray[Any, Any]:
    """Copy an array to memory that starts at a multiple of 256 bytes, as CuPy's does, plus offset; room beside it."""
    memory = np.empty(array.nbytes + 2 * room + 2 * _ALIGNMENT, np.uint8)
    skipped = (offset - room - _address(memory)) % _ALIGNMENT + room
    copy = memory[skipped : skipped + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class _Guarded:
    """A copy of an array between two bands of bytes that no kernel may touch, aligned in memory as the original is."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.inner = aligned_copy(array, _GUARD, _address(array) % _ALIGNMENT)
        start = _address(self.inner) - _GUARD
        memory = (ctypes.c_uint8 * (array.nbytes + 2 * _GUARD)).from_address(start)
        self.whole = np.ctypeslib.as_array(memory)
        # A band of random bytes: an equal byte in every band would hide what is copied from one to another.
        self.band = np.random.default_rng(array.nbytes).integers(0, 256, _GUARD, np.uint8)
        self.whole[:_GUARD] = self.whole[-_GUARD:] = self.band

    def check(self, kernel: str, parameter: Parameter, before: np.ndarray[Any, Any]) -> None:
        for side, band in (("before", self.whole[:_GUARD]), ("after", self.whole[-_GUARD:])):
            if not np.array_equal(band, self.band):
                raise KernelError(f"{kernel}: writes {side} the array {parameter.name}, of shape {before.shape}")
        if parameter.is_const and self.inner.tobytes() != before.tobytes():
            raise KernelError(f"{kernel}: writes to {parameter.name}, which it declares const")

"""Run built kernels on the CPU: pack the arguments, call the library, and turn its message into an error.

Mode `cpu` runs each block as one thread, blocks in parallel. Mode `threads` runs every thread of a block at the true
block size, in several orders, with undefined shared memory filled with NaN and guard bytes around the arrays.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..backend.threads import OPENMP, keep_freed_memory, variable
from ..errors import KernelError
from .addresses import Addresses
from .build import BuildError, build
from .objects import variables
from .signature import Parameter, read_source, signatures
from .structures import MiniskLaunch

Three: TypeAlias = tuple[int, int, int]  # x, y, z of a grid or a block
Args: TypeAlias = Sequence[Any]  # a kernel's arguments: arrays and NumPy scalars

# By NumPy's letter, the format of a scalar argument for `struct`, padded to 8 bytes.
_FORMATS = {"f": "f4x", "d": "d", "i": "i4x", "I": "I4x", "q": "q", "l": "q", "B": "B7x", "?": "?7x"}
_GUARD = 4096  # bytes on either side of an array in mode `threads`
_ALIGNMENT = 256  # bytes; CuPy's arrays start at a multiple of it
# Orders of the threads, as (schedule, seed): forward, reverse, two random permutations. A missing barrier gives a wrong
# result in some of them only.
SCHEDULES = ((0, 0), (1, 0), (2, 1), (2, 2))


class HostKernel:
    """One kernel of a library built for the CPU.

    Args:
        source: the kernel file.
        name: the kernel's name in it.
        mode: "cpu", "threads" or "check".
        defines: macros such as "REAL=float".
        dtypes: the dtype of each argument.

    Raises:
        KernelError: there is no compiler, or it refuses the file.
    """

    def __init__(self, source: Path, name: str, mode: str, defines: Sequence[str], dtypes: Sequence[Any]) -> None:
        self.name, self.source, self.mode, self.defines = name, source, mode, defines
        self.parameters = signatures(source)[name].parameters
        self.outputs = [i for i, p in enumerate(self.parameters) if p.is_array and not p.is_const]
        self.path, self.library = load_library(source, mode, defines)
        self.function = self.library[f"minisk_launch_{name}"]
        formats = ["Q" if p.is_array else _FORMATS[t.char] for p, t in zip(self.parameters, dtypes, strict=True)]
        self.pack = struct.Struct("=" + "".join(formats)).pack
        self.pointers = ctypes.c_void_p * len(self.parameters)

    def __call__(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        """Run the kernel: once in mode `cpu`, in every order of the threads in mode `threads`. Raises KernelError."""
        if self.mode == "cpu":
            self._call(grid, (1, 1, 1), args, dynamic_shared)
        else:
            self._call_in_every_order(grid, block, args, dynamic_shared)

    def call(self, grid: Three, block: Three, args: Args, dynamic_shared: int, schedule: int = 0, seed: int = 0) -> str:
        """Run the kernel once; return the executor's error message, with the line if it is known, or "" for none.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the launch.
        """
        packed = self.pack(*[_address(a) if isinstance(a, np.ndarray) else a for a in args])
        values = ctypes.create_string_buffer(packed, len(packed))
        start = ctypes.addressof(values)
        pointers = self.pointers(*range(start, start + len(packed), 8))
        launch = MiniskLaunch(grid, block, dynamic_shared, schedule, seed)
        if not self.function(ctypes.byref(launch), pointers):
            return ""
        error, place = launch.error.decode(errors="replace"), Addresses(self.path).place(launch.address)
        message = f"{place}: {error}" if place else error
        if error.endswith("Ctrl-C"):
            raise KeyboardInterrupt(f"{self.name}: {message}")
        return message

    def _call(
        self, grid: Three, block: Three, args: Args, dynamic_shared: int, schedule: int = 0, seed: int = 0
    ) -> None:
        error = self.call(grid, block, args, dynamic_shared, schedule, seed)
        if error:
            raise KernelError(f"{self.name}: {error}")

    def _call_in_every_order(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        """Run on guarded copies for each schedule; results must agree, and those of the first are copied to args.

        Device variables have the same values before each run.
        """
        results = []
        before = [memory.copy() for memory in self._device_variables()]
        for schedule, seed in SCHEDULES:
            for memory, values in zip(self._device_variables(), before, strict=True):
                if not np.array_equal(memory, values):  # a constant one must not even be written
                    memory[...] = values
            guarded = {i: _Guarded(arg, i) for i, arg in enumerate(args) if isinstance(arg, np.ndarray)}
            inner = [guarded[i].inner if i in guarded else arg for i, arg in enumerate(args)]
            self._call(grid, block, inner, dynamic_shared, schedule, seed)
            for i, copy in guarded.items():
                copy.check(self.name, self.parameters[i], args[i])
            results.append(inner)
        for i in self.outputs:
            args[i][...] = results[0][i]
            for (schedule, seed), other in zip(SCHEDULES[1:], results[1:], strict=True):
                if not agree(other[i], args[i], "atomic" in read_source(self.source)):
                    order = f"the order in which threads run (schedule {schedule}, seed {seed})"
                    cause = "a barrier or an atomic is missing"
                    raise KernelError(f"{self.name}: {self.parameters[i].name} depends on {order}: {cause}")

    def _device_variables(self) -> list[np.ndarray[Any, Any]]:
        """Return the bytes of each `__device__` variable."""
        found = [variable for variable in variables(self.path) if not variable.is_shared]
        start = self.library.minisk_library_start
        start.restype = ctypes.c_void_p
        return [np.ctypeslib.as_array((ctypes.c_uint8 * v.bytes).from_address(start() + v.offset)) for v in found]


def agree(result: np.ndarray[Any, Any], other: np.ndarray[Any, Any], has_atomics: bool) -> bool:
    """Return whether two results are the same but for what atomic updates leave open: rounding, and order.

    Integers must be equal, and floats to 2^-8, 2^-10 and 2^-20 of the larger one for float16, float32 and float64. A
    difference below a thousandth of that, relative to the largest element, counts as none: terms may cancel. With
    atomics, the elements may also come in another order: a counter may give out their places.
    """
    if result.tobytes() == other.tobytes():
        return True
    if not has_atomics:
        return False
    if _are_close(result, other):
        return True
    return np.array_equal(np.sort(result, axis=None), np.sort(other, axis=None), equal_nan=result.dtype.kind == "f")


def _are_close(result: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if result.dtype.kind != "f" or not np.array_equal(np.isfinite(result), np.isfinite(other)):
        return False
    relative = {2: 2.0**-8, 4: 2.0**-10, 8: 2.0**-20}[result.dtype.itemsize]
    finite = np.isfinite(result)
    a, b = result[finite].astype(float), other[finite].astype(float)
    largest = np.maximum(abs(a), abs(b))
    is_close = abs(a - b) <= relative * np.maximum(largest, largest.max(initial=0) / 1000)
    return bool(is_close.all()) and np.array_equal(result[~finite], other[~finite], equal_nan=True)


def load_library(source: Path, mode: str, defines: Sequence[str]) -> tuple[Path, ctypes.CDLL]:
    """Build a kernel file if it is not in the cache, and load it. Returns the library's path and the library.

    Makes the process-wide settings for kernels first. A library that cannot be loaded is built once more.

    Raises:
        KernelError: there is no compiler.
        BuildError: the file is not built, or the library cannot be loaded.
    """
    keep_freed_memory()
    path = build(source, mode, defines)
    try:
        library = _loaded(path)
    except OSError:
        path = build(source, mode, defines, is_rebuilt=True)
        try:
            library = _loaded(path)
        except OSError as error:
            raise BuildError(f"the library of {source.name} cannot be loaded: {error}") from error
    if mode == "cpu":
        _prepare_for_fork(library)
    return path, library


def _loaded(path: Path) -> ctypes.CDLL:
    with variable(OPENMP):
        return ctypes.CDLL(str(path))


_is_prepared_for_fork = False


def _prepare_for_fork(library: ctypes.CDLL) -> None:
    """Make kernels run on one thread in a forked child, from the first library with OpenMP on.

    A child has only the thread that forked. GNU's OpenMP would wait for ever for that thread's former helpers. With one
    thread it starts no helpers, and the results have the same bits. Other threads of the child are not affected.
    """
    global _is_prepared_for_fork
    set_threads = getattr(library, "omp_set_num_threads", None)
    if set_threads is not None and not _is_prepared_for_fork:
        _is_prepared_for_fork = True
        os.register_at_fork(after_in_child=lambda: set_threads(1))


def _address(array: np.ndarray[Any, Any]) -> int:
    # Three times as fast as array.ctypes.data, but works for writable arrays only.
    is_writable = array.flags.writeable
    return ctypes.addressof(ctypes.c_char.from_buffer(array)) if is_writable else array.ctypes.data  # type: ignore[arg-type]


def aligned_copy(array: np.ndarray[Any, Any], margin: int = 0, offset: int = 0) -> np.ndarray[Any, Any]:
    """Copy an array to memory aligned as CuPy's is.

    Args:
        array: what to copy.
        margin: bytes of further memory on either side of the copy.
        offset: the copy's address modulo 256.
    """
    memory = np.empty(array.nbytes + 2 * margin + 2 * _ALIGNMENT, np.uint8)
    skipped = (offset - margin - _address(memory)) % _ALIGNMENT + margin
    copy = memory[skipped : skipped + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class _Guarded:
    """A copy of an array between two bands of guard bytes, aligned in memory like the original."""

    def __init__(self, array: np.ndarray[Any, Any], position: int) -> None:
        self.inner = aligned_copy(array, _GUARD, _address(array) % _ALIGNMENT)
        start = _address(self.inner) - _GUARD
        memory = (ctypes.c_uint8 * (array.nbytes + 2 * _GUARD)).from_address(start)
        self.whole = np.ctypeslib.as_array(memory)
        # Random bytes, others for each argument and side: a write that copies a guard byte onto another would go
        # unnoticed between equal ones.
        self.before, self.after = np.random.default_rng(position).integers(0, 256, (2, _GUARD), np.uint8)
        self.whole[:_GUARD], self.whole[-_GUARD:] = self.before, self.after

    def check(self, kernel: str, parameter: Parameter, before: np.ndarray[Any, Any]) -> None:
        """Raise KernelError if the kernel wrote to a guard band or to a const array."""
        bands = (("before", self.whole[:_GUARD], self.before), ("after", self.whole[-_GUARD:], self.after))
        for side, band, expected in bands:
            if not np.array_equal(band, expected):
                raise KernelError(f"{kernel}: writes {side} the array {parameter.name}, of shape {before.shape}")
        if parameter.is_const and self.inner.tobytes() != before.tobytes():
            raise KernelError(f"{kernel}: writes to {parameter.name}, which it declares const")

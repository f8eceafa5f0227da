"""Run built kernels on the CPU: call the library, and turn its message into an error.

Libraries for mode `cpu` are of two kinds. "cpu" runs each block as one thread, "blocks" at the true block size, once;
both run blocks in parallel. Mode `threads` runs every thread at the true block size, in several orders, with undefined
shared memory filled with NaN and guard bytes around the arrays.
"""

import ctypes
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..backend.threads import OPENMP, keep_freed_memory, variable
from ..errors import KernelError
from .addresses import Addresses
from .build import BuildError, build
from .description import parameters_of, variable_in
from .exports import symbol, word
from .memory import MemoryCopy, copy_arrays
from .objects import Variable, variables
from .packing import Args, Packing
from .positions import with_short_positions
from .signature import Parameter, kernels_in, read_source, signature
from .structures import MiniskLaunch

Three: TypeAlias = tuple[int, int, int]  # x, y, z of a grid or a block

# Orders of the threads, as (schedule, seed): forward, reverse, two random permutations. A missing barrier gives a wrong
# result in some of them only.
SCHEDULES = ((0, 0), (1, 0), (2, 1), (2, 2))


class HostKernel:
    """One kernel of a library built for the CPU.

    Args:
        source: the kernel file.
        name: the kernel's name in it.
        mode: "cpu", "blocks", "threads" or "check".
        defines: macros such as "REAL=float".

    Raises:
        KernelError: there is no compiler, or it refuses the file.
    """

    def __init__(self, source: Path, name: str, mode: str, defines: Sequence[str]) -> None:
        self.name, self.source, self.mode, self.defines = name, source, mode, defines
        declared = signature(source, name)
        self.path, self.library = load_library(source, mode, defines)
        suffix = symbol(name, declared)
        self.function = self.library[f"minisk_launch_{suffix}"]
        described = parameters_of(self.library, suffix)
        self.parameters = [
            Parameter(each.name, each.type, type_.is_array, type_.is_const)
            for each, type_ in zip(declared.parameters, described, strict=True)
        ]
        self.dtypes = [type_.dtype for type_ in described]
        self.outputs = [i for i, p in enumerate(self.parameters) if p.is_array and not p.is_const]
        self.packing = Packing(described)

    def __call__(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        """Run the kernel: in every order of the threads in mode `threads`, else once. Raises KernelError."""
        self.check_outputs(args)
        if self.mode in ("cpu", "blocks"):
            self.run(grid, block, self.packing.pack(args), dynamic_shared)
        else:
            self._call_in_every_order(grid, block, args, dynamic_shared)

    def check_outputs(self, args: Args) -> None:
        """Raise KernelError if an array that the kernel may write to is read-only."""
        for i in self.outputs:
            if isinstance(args[i], np.ndarray) and not args[i].flags.writeable:
                name = self.parameters[i].name
                raise KernelError(f"{self.name}: the array {name} is read-only, but not declared const")

    def call(self, grid: Three, block: Three, args: Args, dynamic_shared: int, schedule: int = 0, seed: int = 0) -> str:
        """Run the kernel once; return the executor's error message, with the line if it is known, or "" for none.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the launch.
        """
        return self._run(MiniskLaunch(grid, block, dynamic_shared, schedule, seed), self.packing.pack(args))

    def run(self, grid: Three, block: Three, packed: bytes, dynamic_shared: int) -> None:
        """Run the kernel once, in mode "cpu" or "blocks", with arguments packed already. Raises KernelError."""
        threads = (1, 1, 1) if self.mode == "cpu" else block
        self._require_no(self._run(MiniskLaunch(grid, threads, dynamic_shared), packed))

    def _run(self, launch: MiniskLaunch, packed: bytes) -> str:
        if not self.function(ctypes.byref(launch), ctypes.create_string_buffer(packed, len(packed))):
            return ""
        error, places = with_short_positions(launch.error.decode(errors="replace")), Addresses(self.path)
        place = places.place(launch.address) or places.place(launch.access)
        message = f"{place}: {error}" if place else error
        if error.endswith("Ctrl-C"):
            raise KeyboardInterrupt(f"{self.name}: {message}")
        return message

    def _require_no(self, error: str) -> None:
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
            copies, inner = copy_arrays(args)
            self._require_no(self.call(grid, block, inner, dynamic_shared, schedule, seed))
            for copy in copies:
                self._check_copy(copy, args)
            results.append(inner)
        for i in self.outputs:
            if not isinstance(args[i], np.ndarray):  # a null pointer
                continue
            args[i][...] = results[0][i]
            for (schedule, seed), other in zip(SCHEDULES[1:], results[1:], strict=True):
                if not agree(other[i], args[i], "atomic" in read_source(self.source)):
                    order = f"the order in which threads run (schedule {schedule}, seed {seed})"
                    cause = "a barrier or an atomic is missing"
                    raise KernelError(f"{self.name}: {self.parameters[i].name} depends on {order}: {cause}")

    def _check_copy(self, copy: MemoryCopy, args: Args) -> None:
        """Raise KernelError if the kernel wrote to a guard band or to a const array."""
        members = [self.parameters[i] for i in copy.members]
        names = " and ".join(member.name for member in members)
        if copy.overrun:
            shape = args[copy.members[0]].shape
            raise KernelError(f"{self.name}: writes {copy.overrun} the array {names}, of shape {shape}")
        is_changed = any(copy.arrays[i].tobytes() != args[i].tobytes() for i in copy.members)
        if is_changed and all(member.is_const for member in members):
            raise KernelError(f"{self.name}: writes to {names}, which it declares const")

    @functools.cached_property
    def variables(self) -> list[Variable]:
        """The `__shared__` arrays and the `__device__` and `__constant__` variables of the file."""
        return variables(self.path)

    def variable(self, name: str) -> np.ndarray[Any, Any]:
        """Return the memory of a `__device__` or `__constant__` variable. Raises KernelError: there is none."""
        try:
            return variable_in(self.library, word(name))
        except AttributeError:
            known = ", ".join(kernels_in(self.source).variables) or "none"
            raise KernelError(f"{self.source.name} has no device variable {name!r}; it has {known}") from None

    def memory_of(self, variable: Variable) -> np.ndarray[Any, Any]:
        """Return the bytes of a `__device__` or `__constant__` variable, to read and write."""
        start = self.library.minisk_library_start
        start.restype = ctypes.c_void_p
        return np.ctypeslib.as_array((ctypes.c_uint8 * variable.bytes).from_address(start() + variable.offset))

    def _device_variables(self) -> list[np.ndarray[Any, Any]]:
        return [self.memory_of(variable) for variable in self.variables if not variable.is_shared]


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
    if mode in ("cpu", "blocks"):
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

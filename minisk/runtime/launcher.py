"""Launching a kernel: on a GPU through CuPy, on the CPU through the library built from the same `.cu`.

    SCALE = Kernel("scale.cu", "scale")
    launch(SCALE, grid=(planes,), block=(256,), args=(spatial, factor, x, out))

The environment variable MINISK_KERNELS chooses what runs behind the seam, here and nowhere else:

    auto      CUDA kernels for CuPy arrays; for NumPy arrays those of mode `cpu`, the NumPy formula without a compiler
    numpy     the NumPy (or CuPy) formula
    cpu       each block one thread, blocks side by side on all processors; refuses kernels not marked ANY_BLOCK
    threads   every thread of every block, at its true size, in several orders: slow, for proving a kernel
    check     once, with every access to memory watched: slower, and certain
"""

import functools
import logging
import math
import operator
import os
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..backend import Array, device_of
from ..errors import DeviceError, DtypeError, KernelError, ShapeError
from .build import find_compiler
from .checked import CheckedKernel, CheckReport
from .cpu import Args, HostKernel, Three
from .signature import PACKAGE, REAL, WIDE, Parameter, locate, signatures

log = logging.getLogger(__name__)

MODES = ("auto", "numpy", "cpu", "threads", "check")
_LARGEST_INDEX = 2**31 - 1
Sizes: TypeAlias = Sequence[int]  # of a grid or a block, one to three
Compiled: TypeAlias = tuple[list[np.dtype[Any]], Callable[..., None]]


class Kernel:
    """One kernel of a `.cu` file, with the constants it is compiled with.

    file: a file of minisk's own by name, or the path of yours; name: an `extern "C" __global__` function in it;
    constants: macros. Nothing is compiled before the first launch. Raises KernelError if there is no such kernel.
    """

    def __init__(self, file: str | Path, name: str, **constants: int | str) -> None:
        self.path, self.name, self.constants = locate(file), name, constants
        known = signatures(self.path)
        if name not in known:
            raise KernelError(f"{self.path.name} has no kernel {name!r}; it has {', '.join(known) or 'none'}")
        self.signature = known[name]
        self._compiled: dict[tuple[str, str, bool], Compiled] = {}

    def compiled(self, target: str, real: str = "f", is_huge: bool = False) -> Compiled:
        """Return its arguments' dtypes, and a function that runs it, compiled on the first call.

        target: "cuda:0", "cpu", "threads" or "check"; real: NumPy's letter, "e", "f" or "d"; is_huge: index with 64
        bits. Raises KernelError.
        """
        key = (target, real, is_huge)
        if key not in self._compiled:
            types = {"real": REAL[real], "wide": WIDE[real], "index_t": "long long" if is_huge else "int"}
            defines = [f"REAL={types['real']}", f"INDEX={types['index_t']}"]
            defines += [f"{name}={value}" for name, value in self.constants.items()]
            dtypes = [parameter.dtype(types) for parameter in self.signature.parameters]
            if target.startswith("cuda"):
                run = _compile_for_gpu(self.path, self.name, tuple(defines), int(target[5:]))
            else:
                kind = CheckedKernel if target == "check" else HostKernel
                run = kind(self.path, self.name, target, defines, dtypes)
            self._compiled[key] = dtypes, run
        return self._compiled[key]


def launch(kernel: Kernel, grid: Sizes, block: Sizes, args: Args, dynamic_shared: int = 0) -> None:
    """Run a kernel: grid and block of one to three numbers, args as its signature has them, in order.

    Arrays must be C-contiguous, of the dtype declared (`real`: all of one of float16, float32, float64), and all NumPy
    or all on one GPU; Python numbers are turned into the type declared. dynamic_shared: bytes.
    Raises KernelError, DtypeError, DeviceError, ShapeError, each before anything runs; KernelError also for what the
    kernel does wrong in modes `threads` and `check`.
    """
    run, request = _prepared(kernel, grid, block, args)
    run(*request, dynamic_shared)


def examine(
    kernel: Kernel, grid: Sizes, block: Sizes, args: Args, dynamic_shared: int = 0, uninitialised: Collection[str] = ()
) -> CheckReport:
    """Run a kernel on NumPy arrays as `launch` does, with every access watched, and return what was found and counted.

    uninitialised: names of the arrays that hold nothing yet; reading them before writing is then a finding.
    Raises as `launch`, but not for what the kernel does wrong.
    """
    run, request = _prepared(kernel, grid, block, args, target="check")
    assert isinstance(run, CheckedKernel)
    return run.examine(*request, dynamic_shared, uninitialised)


def _prepared(
    kernel: Kernel, grid: Sizes, block: Sizes, args: Args, target: str = ""
) -> tuple[Callable[..., None], tuple[Three, Three, list[Any]]]:
    """Check and type what a launch was given: the kernel, compiled for it, and grid, block and arguments."""
    parameters = kernel.signature.parameters
    if len(args) != len(parameters):
        expected = ", ".join(parameter.name for parameter in parameters)
        raise KernelError(f"{kernel.name} takes {len(parameters)} arguments ({expected}), got {len(args)}")
    given = [(parameter, arg) for parameter, arg in zip(parameters, args, strict=True) if parameter.is_array]
    for parameter, arg in given:
        if not hasattr(arg, "flags"):
            raise DtypeError(f"{kernel.name}: argument {parameter.name} is a {type(arg).__name__}, not an array")
    real = ["f", *(array.dtype.char for parameter, array in given if parameter.type == "real")][-1]
    if real not in REAL:
        raise DtypeError(f"{kernel.name}: arrays are {np.dtype(real)}, expected float16, float32 or float64")
    blocks, threads, most = _three(kernel, "grid", grid), _three(kernel, "block", block), kernel.signature.most_threads
    count = math.prod(threads)
    if count > most:
        raise KernelError(f"{kernel.name}: block {tuple(block)} has {count} threads, it takes {most} at most")
    arrays = [array for _, array in given]
    dtypes, run = kernel.compiled(target or _target(kernel, arrays), real, any(a.size > _LARGEST_INDEX for a in arrays))
    return run, (blocks, threads, [_checked(kernel, *each) for each in zip(parameters, args, dtypes, strict=True)])


def _checked(kernel: Kernel, parameter: Parameter, arg: Any, dtype: np.dtype[Any]) -> Any:
    """The argument as it will be passed: an array as it is, a number in exactly the type the kernel declares."""
    if parameter.is_array:
        if arg.dtype != dtype:
            raise DtypeError(f"{kernel.name}: argument {parameter.name} is {arg.dtype}, expected {dtype}")
        if not arg.flags.c_contiguous:
            raise ShapeError(f"{kernel.name}: argument {parameter.name}, shape {arg.shape}, is not C-contiguous")
        return arg
    try:
        return dtype.type(arg if dtype.kind == "f" else operator.index(arg))
    except (TypeError, OverflowError, ValueError) as error:
        raise KernelError(f"{kernel.name}: argument {parameter.name} is {arg!r}, not a {parameter.type}") from error


def _target(kernel: Kernel, arrays: Sequence[Array]) -> str:
    device, *others = sorted({device_of(array) for array in arrays}) or ["cpu"]
    if others:
        raise DeviceError(f"{kernel.name}: arrays are on {device}, {', '.join(others)}, expected one device")
    if device != "cpu":
        return device
    mode = kernel_mode()
    if mode == "cpu" and not kernel.signature.any_block:
        # It may need all threads of its block, and mode cpu runs one.
        raise KernelError(f"{kernel.name} is not marked ANY_BLOCK, as mode cpu needs: mark it, or use mode threads")
    if mode in ("threads", "check"):
        return mode
    return "cpu" if kernel.signature.any_block else "threads"


def _three(kernel: Kernel, what: str, sizes: Sizes) -> Three:
    if not 1 <= len(sizes) <= 3 or any(size < 1 for size in sizes):
        raise KernelError(f"{kernel.name}: {what} {tuple(sizes)} must be one to three positive numbers")
    x, y, z = (*sizes, 1, 1)[:3]
    if x > _LARGEST_INDEX or max(y, z) > 65535:
        raise KernelError(f"{kernel.name}: {what} {tuple(sizes)} is beyond CUDA's limit, (2**31 - 1, 65535, 65535)")
    return x, y, z


def _compile_for_gpu(path: Path, name: str, defines: tuple[str, ...], device: int) -> Callable[..., None]:
    import cupy

    # CuPy keeps what it built by source and options, and does not look into headers: their digest is made an option.
    headers = "".join(header.read_text(encoding="utf-8") for header in sorted(PACKAGE.glob("*.cuh")))
    digest = f"-DMINISK_HEADERS={zlib.crc32(headers.encode())}"
    options = ("-std=c++17", f"-I{PACKAGE}", digest, *(f"-D{define}" for define in defines))
    function = cupy.RawModule(code=path.read_text(encoding="utf-8"), options=options).get_function(name)

    def run(grid: Three, block: Three, args: Sequence[Any], dynamic_shared: int) -> None:
        with cupy.cuda.Device(device):
            function(grid, block, tuple(args), shared_mem=dynamic_shared)

    return run


def kernel_mode() -> str:
    """Return MINISK_KERNELS, "auto" if it is not set. Raises KernelError for a word that is no mode."""
    mode = os.environ.get("MINISK_KERNELS", "auto")
    if mode not in MODES:
        raise KernelError(f"MINISK_KERNELS is {mode!r}, expected one of {', '.join(MODES)}")
    return mode


PROBE = Kernel("axpy.cu", "channel_scale")


@functools.cache
def why_no_kernels() -> str | None:
    """Return why NumPy arrays can't have compiled kernels, None if they can; tries the compiler once."""
    try:
        find_compiler()
        PROBE.compiled("cpu")
    except (KernelError, OSError) as error:
        log.warning("NumPy formulas in use instead of compiled kernels: %s", error)
        return str(error)
    return None


def kernels_in_use(device: str) -> str:
    """Say, for a person, what runs behind the seam on a device."""
    if kernel_mode() == "numpy":
        return "the formulas, in NumPy" if device == "cpu" else "the formulas, in CuPy"
    if device != "cpu":
        return "CUDA kernels"
    reason = why_no_kernels()
    return f"kernels built by {find_compiler()[1]}" if reason is None else f"the formulas, in NumPy ({reason})"

"""`cupy.RawModule`: kernels from the source that a GPU would get, run by minisk's CPU executor.

CuPy passes a Python int as int64 and a float as float64, even where the kernel declares another type, and does not
check the dtype or layout of an array. Here each of these mistakes is an error.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minisk.runtime.build import cache_folder
from minisk.runtime.cpu import HostKernel
from minisk.runtime.signature import PACKAGE, signatures

from .arrays import bound, on_device, unwrap
from .ledger import LEDGER

MOST_THREADS, MOST_SHARED = 1024, 48 * 1024  # a block's limits, unless the kernel raises them


class RawModule:
    """One source with one set of options."""

    mode = "cpu"  # of the CPU executor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound("cupy", "RawModule", args, kwargs)
        self.code, options = kwargs.get("code", *args), kwargs.get("options", ())
        if not isinstance(options, tuple):
            raise TypeError(f"Argument 'options' has incorrect type (expected tuple, got {type(options).__name__})")
        self.defines = []
        for option in options:
            if option.startswith("-D"):
                self.defines.append(option[2:])
            elif option.startswith("-I"):
                assert Path(option[2:]).is_dir(), f"{option}: no such folder"
            else:
                assert option == "-std=c++17", f"the stand-in does not know the compiler's option {option}"

    def get_function(self, name: str) -> Callable[..., None]:
        path = _file_with(self.code)
        if name not in signatures(path):
            raise RuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return _RawKernel(path, name, self.defines)


@functools.cache
def _file_with(code: str) -> Path:
    """Return minisk's file of that content, or a new file in the cache: built kernels are found by file name."""
    for path in PACKAGE.glob("*.cu"):
        if path.read_text(encoding="utf-8") == code:
            return path
    path = cache_folder() / f"standin-{hashlib.sha256(code.encode()).hexdigest()[:16]}.cu"
    path.write_text(code, encoding="utf-8")
    return path


class _RawKernel:
    def __init__(self, path: Path, name: str, defines: list[str]) -> None:
        self.path, self.defines, self.name = path, defines, name
        self.signature = signatures(path)[name]
        types = dict(define.split("=") for define in defines)
        real, index = types.get("REAL", "float"), types.get("INDEX", "int")
        declared = {"real": real, "wide": "double" if real == "double" else "float", "index_t": index}
        # One CPU thread cannot compute in float16, and convolution lays out doubles differently there.
        is_laid_out_alike = types.get("LANES", "1") == "1" or real == "float"
        self.may_be_one_thread = self.signature.any_block and real != "half_t" and is_laid_out_alike
        self.dtypes = [parameter.dtype(declared) for parameter in self.signature.parameters]
        self.runs: dict[str, HostKernel] = {}  # minisk keeps a kernel while the mode may change

    def __call__(
        self,
        grid: Any,
        block: Any,
        args: Any,
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        self._check_sizes(grid, block, shared_mem)
        assert len(args) == len(self.dtypes), f"{self.name} takes {len(self.dtypes)} arguments, got {len(args)}"
        for parameter, dtype, arg in zip(self.signature.parameters, self.dtypes, args, strict=True):
            where = f"{self.name}: argument {parameter.name}"
            if isinstance(arg, np.ndarray):
                raise TypeError(f"Unsupported type {type(arg)}")
            if parameter.is_array:
                assert on_device(arg) and arg.dtype == dtype, f"{where} must be an array of {dtype}"
                assert arg.flags.c_contiguous, f"{where} is not contiguous"
            else:
                assert type(arg) is dtype.type, f"{where} is a {type(arg).__name__}, the kernel takes {dtype}"
        LEDGER.kernels[self.name] += 1
        hosts = [unwrap(arg) for arg in args]
        mode = RawModule.mode if self.may_be_one_thread else "threads"
        if mode not in self.runs:
            # In mode cpu, a team of LANES threads is one thread.
            defines = ["LANES=1" if mode == "cpu" and d.startswith("LANES=") else d for d in self.defines]
            self.runs[mode] = HostKernel(self.path, self.name, mode, defines)
        request = _three(grid), _three(block), hosts, shared_mem
        if mode == RawModule.mode:
            self.runs[mode](*request)
        else:  # at its true block size, in one order of the threads
            error = self.runs[mode].call(*request)
            assert not error, f"{self.name}: {error}"

    def _check_sizes(self, grid: Any, block: Any, shared_mem: int) -> None:
        for what, sizes, most in (("grid", grid, (2**31 - 1, 65535, 65535)), ("block", block, (1024, 1024, 64))):
            assert isinstance(sizes, tuple) and 1 <= len(sizes) <= 3, f"{self.name}: {what} {sizes!r} is no tuple"
            is_fitting = all(type(n) is int and 1 <= n <= limit for n, limit in zip(sizes, most, strict=False))
            assert is_fitting, f"{self.name}: {what} {sizes} must be ints from 1 to {most}"
        assert math.prod(block) <= min(MOST_THREADS, self.signature.most_threads), f"{self.name}: block {block}"
        assert type(shared_mem) is int and shared_mem <= MOST_SHARED, f"{self.name}: {shared_mem} bytes shared"


def _three(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Fill up the sizes of a grid or block with ones."""
    return sizes + (1,) * (3 - len(sizes))

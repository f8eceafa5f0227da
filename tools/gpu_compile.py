"""Compile every kernel for many GPUs with NVRTC, without a GPU, and list the registers and memory each one uses.

    python tools/gpu_compile.py            rewrite the table of docs/kernels.md
    python tools/gpu_compile.py --check    compile only

Needs the package nvidia-cuda-nvrtc (the extra `nvrtc`), but no driver and no CuPy. Warnings are errors, and so are
registers that spill to memory.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import math
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import minisk.cuda
from minisk.runtime import Kernel
from minisk.runtime.preprocess import PACKAGE
from minisk.runtime.signature import signatures
from minisk.serialization import atomic_write

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "kernels.md"
BEGIN, END = "<!-- table of tools/gpu_compile.py -->\n", "<!-- end of table -->\n"
TYPES = ("float", "double", "half_t")


class Architecture(NamedTuple):
    """Limits of a streaming multiprocessor; CUDA C++ Programming Guide, table "Technical Specifications"."""

    gpus: str
    threads: int
    blocks: int
    shared: int  # bytes
    reserved: int  # bytes of shared memory that the system takes from each block


ARCHITECTURES = {
    75: Architecture("Turing, T4", 1024, 16, 64 << 10, 0),
    80: Architecture("A100", 2048, 32, 164 << 10, 1024),
    86: Architecture("RTX 30", 1536, 16, 100 << 10, 1024),
    89: Architecture("RTX 40, L4", 1536, 24, 100 << 10, 1024),
    90: Architecture("H100", 2048, 32, 228 << 10, 1024),
    100: Architecture("B200", 2048, 32, 228 << 10, 1024),
    120: Architecture("RTX 50", 1536, 24, 100 << 10, 1024),
}
REGISTERS = 65536  # of a multiprocessor, on all of these


class Unit(NamedTuple):
    """One text to compile: a kernel file with constants, and the kernels that operations launch with them."""

    path: Path
    constants: tuple[tuple[str, int | str], ...]
    kernels: tuple[str, ...]

    def __str__(self) -> str:
        is_own = PACKAGE in self.path.parents
        file = self.path.relative_to(PACKAGE).as_posix() if is_own else self.path.name
        return " ".join([file, *(f"{name}={value}" for name, value in self.constants)])


class Usage(NamedTuple):
    """What ptxas reports for one kernel: registers per thread, bytes of static shared memory, bytes spilled."""

    registers: int
    shared: int
    spilled: int

    def occupancy(self, architecture: Architecture, block: int = 256) -> float:
        """Return the share of a multiprocessor's threads that can be resident at once, in blocks of `block` threads."""
        warps = block // 32
        per_warp = math.ceil(self.registers * 32 / 256) * 256
        fits = [REGISTERS // per_warp // warps, architecture.threads // block, architecture.blocks]
        fits.append(architecture.shared // max(1, self.shared + architecture.reserved))
        return min(fits) * block / architecture.threads


def units() -> list[Unit]:
    """Return every kernel file of the package, with each set of constants that launchers compile it with."""
    launched: dict[tuple[Path, tuple[tuple[str, int | str], ...]], set[str]] = {}
    for module in pkgutil.iter_modules(minisk.cuda.__path__, "minisk.cuda."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Kernel):
                launched.setdefault((value.path, tuple(sorted(value.constants.items()))), set()).add(value.name)
    for path in PACKAGE.glob("*.cu"):  # launchers that create kernels on first use: the constants in the file
        if not any(path == known for known, _ in launched):
            launched[path, ()] = set(signatures(path))
    for path in PACKAGE.glob("steps/*.cu"):  # never launched by operations
        launched[path, ()] = set()
    return sorted(Unit(path, constants, tuple(sorted(names))) for (path, constants), names in launched.items())


def nvrtc() -> ctypes.CDLL | None:
    """Load NVRTC from its package; return None if that is not installed."""
    found = importlib.util.find_spec("nvidia")
    for folder in (found.submodule_search_locations or []) if found else []:
        for library in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(library))
    return None


def compile_unit(library: ctypes.CDLL, unit: Unit, architecture: int, real: str) -> dict[str, Usage]:
    """Compile one text for one architecture and return the usage of each kernel.

    Raises:
        RuntimeError: with the compiler's log, if it reports an error or a warning.
    """
    options = [f"-arch=sm_{architecture}", "-std=c++17", f"-I{PACKAGE}", f"-DREAL={real}", "-Xptxas", "-v"]
    options += ["-Werror", "all-warnings", *(f"-D{name}={value}" for name, value in unit.constants)]
    program = ctypes.c_void_p()
    source = unit.path.read_bytes()
    library.nvrtcCreateProgram(ctypes.byref(program), source, unit.path.name.encode(), 0, None, None)
    words = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    failed = library.nvrtcCompileProgram(program, len(options), words)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, text)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    log = text.value.decode()
    if failed:
        raise RuntimeError(f"{unit} for sm_{architecture}, {real}:\n{log}")
    return dict(_usages(log))


def _usages(log: str) -> Iterator[tuple[str, Usage]]:
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)
        registers, shared = re.search(r"Used (\d+) registers", part), re.search(r"(\d+) bytes smem", part)
        spills = re.findall(r"(\d+) bytes spill", part)
        assert name and registers and spills, part
        yield name[1], Usage(int(registers[1]), int(shared[1]) if shared else 0, sum(map(int, spills)))


def table(library: ctypes.CDLL) -> str:
    """Return the table in Markdown: registers and occupancy of each kernel, in float32, on each architecture."""
    heads = [f"sm_{number}<br>{about.gpus}" for number, about in ARCHITECTURES.items()]
    lines = [f"| kernel | launched | shared, bytes | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for unit in units():
        usages = [compile_unit(library, unit, number, "float") for number in ARCHITECTURES]
        lines.append(f"| **{unit}** |" + " |" * (2 + len(heads)))
        for name in signatures(unit.path):
            each = zip(usages, ARCHITECTURES.values(), strict=True)
            cells = [f"{found[name].registers}, {100 * found[name].occupancy(about):.0f} %" for found, about in each]
            launched = "yes" if name in unit.kernels else ""
            lines.append(f"| `{name}` | {launched} | {usages[0][name].shared} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile everything for every architecture; return 1 if registers spill."""
    parser = argparse.ArgumentParser(description="Compile every kernel for many GPUs, without a GPU.")
    parser.add_argument("--check", action="store_true", help="only compile; leave docs/kernels.md as it is")
    check_only = parser.parse_args(arguments).check
    library = nvrtc()
    if library is None:
        sys.exit("gpu_compile: NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    spilling = [
        f"{name} of {unit}, sm_{number}, {real}: {usage.spilled} bytes"
        for unit in units()
        for number in ARCHITECTURES
        for real in TYPES
        for name, usage in compile_unit(library, unit, number, real).items()
        if usage.spilled
    ]
    print("\n".join(spilling) or "every kernel compiles for every architecture, without warnings or spills")
    if not check_only:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        atomic_write(DOCUMENT, (before + BEGIN + table(library) + END + after).encode())
    return int(bool(spilling))


if __name__ == "__main__":
    sys.exit(main())

"""Compile every kernel for many GPUs with NVRTC, without a GPU, and list the registers and memory each one uses.

    python tools/gpu_compile.py            rewrite the table of docs/kernels.md
    python tools/gpu_compile.py --check    compile only

Needs the package nvidia-cuda-nvrtc (the extra `nvrtc`), but no driver and no CuPy. Warnings are errors, and so are
registers that spill to memory.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the kernels beside this file, not installed ones

import minisk.cuda
from minisk.runtime import Kernel
from minisk.runtime.nvrtc import ARCHITECTURES, Usage, compile_for, nvrtc
from minisk.runtime.preprocess import PACKAGE
from minisk.runtime.signature import signatures
from minisk.serialization import atomic_write

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "kernels.md"
BEGIN, END = "<!-- table of tools/gpu_compile.py -->\n", "<!-- end of table -->\n"
TYPES = ("float", "double", "half_t")


class Unit(NamedTuple):
    """One text to compile: a kernel file with constants, and the kernels that operations launch with them."""

    path: Path
    constants: tuple[tuple[str, int | str], ...]
    kernels: tuple[str, ...]

    def __str__(self) -> str:
        is_own = PACKAGE in self.path.parents
        file = self.path.relative_to(PACKAGE).as_posix() if is_own else self.path.name
        return " ".join([file, *(f"{name}={value}" for name, value in self.constants)])


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


def compile_unit(unit: Unit, architecture: int, real: str) -> dict[str, Usage]:
    """Compile one text for one architecture and return the usage of each kernel.

    Raises:
        RuntimeError: with the compiler's log, if it reports an error or a warning.
    """
    defines = [f"REAL={real}", *(f"{name}={value}" for name, value in unit.constants)]
    build = compile_for(unit.path, defines, architecture)
    if build.errors or re.search(r"\bwarning\b", build.log):
        raise RuntimeError(f"{unit} for sm_{architecture}, {real}:\n{build.log}")
    return build.usages


def table() -> str:
    """Return the table in Markdown: registers and occupancy of each kernel, in float32, on each architecture."""
    heads = [f"sm_{number}<br>{about.gpus}" for number, about in ARCHITECTURES.items()]
    lines = [f"| kernel | launched | shared, bytes | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for unit in units():
        usages = [compile_unit(unit, number, "float") for number in ARCHITECTURES]
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
    if nvrtc() is None:
        sys.exit("gpu_compile: NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    spilling = [
        f"{name} of {unit}, sm_{number}, {real}: {usage.spilled} bytes"
        for unit in units()
        for number in ARCHITECTURES
        for real in TYPES
        for name, usage in compile_unit(unit, number, real).items()
        if usage.spilled
    ]
    print("\n".join(spilling) or "every kernel compiles for every architecture, without warnings or spills")
    if not check_only:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        atomic_write(DOCUMENT, (before + BEGIN + table() + END + after).encode())
    return int(bool(spilling))


if __name__ == "__main__":
    sys.exit(main())

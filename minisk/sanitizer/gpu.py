"""Compile a file's kernels as for a GPU: what NVRTC refuses, and the registers, spills and occupancy of each kernel."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..runtime.findings import Finding
from ..runtime.nvrtc import ARCHITECTURES, Usage, compile_for
from ..runtime.signature import kernels_in, locate, type_names
from .cases import Case, cases


class KernelUsage(NamedTuple):
    """What a kernel needs on a GPU. occupancy: the share of a multiprocessor's threads that are resident at once."""

    kernel: str
    block: int
    usage: Usage
    occupancy: float

    def __str__(self) -> str:
        registers, shared, spilled = self.usage
        spills = f"{spilled} bytes spilled" if spilled else "no spills"
        memory = f", {shared} bytes of shared memory" if shared else ""
        return (
            f"{self.kernel}: {registers} registers, {spills}{memory}; "
            f"{100 * self.occupancy:.0f} % of a multiprocessor's threads in blocks of {self.block}"
        )


class GpuReport(NamedTuple):
    """The result of compiling a file for one architecture."""

    architecture: int
    findings: list[Finding]
    usages: list[KernelUsage]

    def __str__(self) -> str:
        count = "1 finding" if len(self.findings) == 1 else f"{len(self.findings)} findings"
        head = f"for sm_{self.architecture} ({ARCHITECTURES[self.architecture].gpus}): "
        return "\n  ".join([head + (count if self.findings else "compiles"), *map(str, [*self.findings, *self.usages])])


def compile_file(file: str | Path, dtype: str = "float32", architecture: int = 80) -> GpuReport:
    """Compile a kernel file for a GPU, once for each set of constants that its cases use.

    Args:
        file: the name of a file of minisk's own, or the path of yours.
        dtype: the stored dtype, `real`: float16, float32 or float64.
        architecture: a key of ARCHITECTURES.

    Raises:
        KernelError: NVRTC is not installed, or the file cannot be read.
    """
    path = locate(file)
    types = type_names(np.dtype(dtype).char)
    defines = [f"REAL={types['real']}", f"INDEX={types['index_t']}"]
    every_case = [case for found in cases(file, dtype).values() for case in found]
    plain = {name for name, known in kernels_in(path).kernels.items() if known.template is None and not known.is_c}
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in every_case:
        constants = tuple(f"{name}={value}" for name, value in case.kernel.constants.items())
        groups.setdefault(constants, []).append(case)
    findings: dict[Finding, None] = {}
    usages: dict[str, KernelUsage] = {}
    for constants, group in (groups or {(): []}).items():
        names = plain | {case.kernel.name for case in group if not case.kernel.signature.is_c}
        build = compile_for(path, [*defines, *constants], architecture, sorted(names))
        for error in build.errors:
            place = f"{error.file}:{error.line}" if error.line else error.file
            findings[Finding("refused by nvcc", f"{place}: {error.text}", 1, place)] = None
        usages |= {each.kernel: each for each in _usages(build.usages, group, architecture)}
    return GpuReport(architecture, list(findings), list(usages.values()))


def _usages(found: dict[str, Usage], group: Sequence[Case], architecture: int) -> list[KernelUsage]:
    """Return the usage of each kernel in the block of its first case; 256 threads if it has none."""
    usages = []
    for name, usage in found.items():
        launched = [case for case in group if case.kernel.name == name]
        block = int(np.prod(launched[0].block)) if launched else 256
        dynamic_shared = launched[0].dynamic_shared if launched else 0
        occupancy = usage.occupancy(ARCHITECTURES[architecture], block, dynamic_shared)
        usages.append(KernelUsage(name, block, usage, occupancy))
    return usages

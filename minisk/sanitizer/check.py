"""Check the kernels of a file: run each of their cases with every memory access instrumented."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import KernelError
from ..runtime import examine
from ..runtime.findings import CheckReport
from ..runtime.preprocess import PACKAGE
from .cases import cases


class KernelCheck(NamedTuple):
    """The reports of one kernel, one for each of its cases."""

    kernel: str
    reports: list[CheckReport]

    @property
    def problems(self) -> int:
        """The number of launches with findings; 1 for a kernel without a case."""
        return sum(not report.ok for report in self.reports) if self.reports else 1


def check_file(file: str | Path, kernel: str | None = None, dtype: str = "float32") -> Iterator[KernelCheck]:
    """Run the cases of a file's kernels and yield the reports, kernel by kernel.

    Args:
        file: the name of a file of minisk's own, or the path of yours.
        kernel: the only kernel to check; None for all.
        dtype: the stored dtype, `real`: float16, float32 or float64.

    Raises:
        KernelError: the file has no kernel, or not this one; or the file or a case cannot be read or compiled.
    """
    kernels = cases(file, dtype)
    if not kernels:
        raise KernelError(f'{file} has no kernel: expected `extern "C" __global__ void name(…)`')
    if kernel is not None and kernel not in kernels:
        raise KernelError(f"{file} has no kernel {kernel!r}: it has {', '.join(kernels)}")
    for name, found in kernels.items():
        if kernel is None or kernel == name:
            yield KernelCheck(name, [examine(*case) for case in found])


def own_kernel_files() -> list[Path]:
    """Return the paths of minisk's own kernel files."""
    return sorted(PACKAGE.glob("*.cu"))

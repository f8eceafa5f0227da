"""Check the kernels of a file: run each of their cases with every memory access instrumented."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import KernelError
from ..runtime import BuildError, examine
from ..runtime.findings import CheckReport
from ..runtime.left_out import device_files
from ..runtime.preprocess import PACKAGE
from ..runtime.signature import instantiations, kernels_in, locate
from .cases import Case, cases, macros_note
from .host_use import host_code_in_device_code
from .promise import copied, with_promise
from .suggestion import suggested_line


class KernelCheck(NamedTuple):
    """The reports of one kernel, one for each of its cases.

    not_tried: why there are none, or ""; place: where the kernel stands, "file.cu:7"; suggestion: the `check:` line to
    write above it, or "".
    """

    kernel: str
    reports: list[CheckReport]
    not_tried: str = ""
    place: str = ""
    suggestion: str = ""

    @property
    def problems(self) -> int:
        """The number of launches with findings; 1 for a kernel that was not tried."""
        return sum(not report.ok for report in self.reports) + bool(self.not_tried)


def check_file(
    file: str | Path, kernel: str | None = None, dtype: str = "float32", timeout: float | None = None
) -> Iterator[KernelCheck]:
    """Run the cases of a file's kernels and yield the reports, kernel by kernel; then the kernels that were not tried.

    Args:
        file: the name of a file of minisk's own, or the path of yours.
        kernel: the only kernel to check, or the only instantiation of a template, "k<float>"; None for all.
        dtype: the stored dtype, `real`: float16, float32 or float64.
        timeout: seconds after which a launch is ended, with a finding; None for no limit.

    Raises:
        KernelError: the file has no kernel, or not this one; or the file or a case cannot be read or compiled.
    """
    path, known = locate(file), cases(file, dtype)
    names = [*known, *(each.name for each in kernels_in(path).passed_over)]
    if not names:
        raise KernelError(f"{file} has no kernel: expected `__global__ void name(…)`")
    launched = [case.kernel.name for found in known.values() for case in found]
    if kernel is not None and not any(_is_same(kernel, name) for name in [*names, *launched]):
        raise KernelError(f"{file} has no kernel {kernel!r}: it has {', '.join(dict.fromkeys([*names, *launched]))}")
    misuse = host_code_in_device_code(path)
    for name, found in known.items():
        wanted = [case for case in found if kernel in (None, name) or _is_same(kernel, case.kernel.name)]
        if wanted:
            reports = []
            for case in wanted:
                before = copied(case)
                reports.append(with_promise(_examined(case, timeout), case, before))
            reports[0] = reports[0]._replace(findings=[*misuse, *reports[0].findings])
            misuse = []
            yield KernelCheck(name, reports)
    for untried in _not_tried(path, {name for name, found in known.items() if found}):
        if kernel in (None, untried.kernel):
            yield untried


def _is_same(name: str | None, other: str) -> bool:
    """Return whether two names of kernels differ by spaces only: k<float, 4> and k<float,4>."""
    return name is not None and "".join(name.split()) == "".join(other.split())


def _examined(case: Case, timeout: float | None) -> CheckReport:
    try:
        return examine(*case, timeout=timeout)
    except BuildError as error:
        raise BuildError(f"{error}{macros_note(case.kernel)}") from error


def _not_tried(path: Path, tried: set[str]) -> list[KernelCheck]:
    """Return the kernels of a file that have no case, with the reason, in the order of their lines."""
    found = kernels_in(path)
    instances = instantiations(found.kernels)
    tried = {*tried, *instances.values()}  # of these templates, the instantiations are listed
    reasons = {each.name: (each.reason, each.file.name, each.line) for each in found.passed_over}
    for name, known in found.kernels.items():
        reasons.setdefault(name, ("no `check:` line stands above it", known.file.name, known.line))
    untried = []
    for name, (reason, file, line) in sorted(reasons.items(), key=lambda item: item[1][2]):
        if name not in tried:
            known_as = found.kernels.get(name)
            suggestion = suggested_line(name, known_as, path) if known_as else ""
            untried.append(KernelCheck(name, [], reason, f"{file}:{line}", suggestion))
    return untried


def host_code_left_out(file: str | Path) -> list[str]:
    """Return the host code of a file and its headers that is not compiled, because it uses CUDA's runtime.

    Such as "main (line 12)", or "Buffer (line 3 of buffers.cuh)".

    Raises:
        KernelError: there is no such file.
    """
    path = locate(file)
    return [
        f"{part.name} (line {part.line}{'' if each == path else f' of {each.name}'})"
        for each, text in device_files(path).items()
        for part in text.left_out
    ]


def own_kernel_files() -> list[Path]:
    """Return the paths of minisk's own kernel files."""
    return sorted(PACKAGE.glob("*.cu"))

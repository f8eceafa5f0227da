"""Ladders: the kernels of one operation from naive to fast, each proven, compared with the first and counted.

A ladder is a file of `minisk/cuda/steps/`. Each kernel in it is a step. Comments describe it:

    // step: …      above a kernel: what this step does, in a sentence
    // check: …     above a kernel: the launch to count; all steps have the same arrays, of the same lengths
    // in use: …    at the top: file and launch of the kernel that operations use
    // adds: …      at the top: what the kernel in use does beyond the last step

Equal arrays get equal elements, so the results of two steps can be compared.
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from ..runtime import examine
from ..runtime.findings import CheckReport
from ..runtime.preprocess import PACKAGE
from ..runtime.signature import read_source, signatures
from .cases import Case, cases, read_case

FOLDER = PACKAGE / "steps"
# Of a step against step 1, relative to the largest element: sums in another order, results rounded to the stored dtype.
MOST_ERROR = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}
_STEP = re.compile(r"// step: (.*)")
_IN_USE = re.compile(r"// in use: (\S+) (\w+)(<<<.*)")
_ADDS = re.compile(r"// adds: (.*)")


class Step(NamedTuple):
    """One kernel of a ladder and what its launch cost.

    error: the largest difference from step 1, relative to step 1's largest element; most_error: the most allowed.
    bytes: distinct bytes of global memory that each block moves, summed over blocks.
    requests, sectors: of global memory; wavefronts: of shared memory.
    operations, exponentials: of floating-point numbers; None where the kernel does not count them.
    """

    kernel: str
    sentence: str
    is_in_use: bool
    report: CheckReport
    error: float
    most_error: float
    bytes: int
    requests: int
    sectors: int
    wavefronts: int
    operations: int | None
    exponentials: int | None

    @property
    def is_proven(self) -> bool:
        """Whether the checker found nothing and the result agrees with step 1."""
        return self.report.ok and self.error <= self.most_error


class Ladder(NamedTuple):
    """The steps of a file, the kernel in use last, if one can be launched alone. adds: what the kernel in use adds."""

    name: str
    steps: list[Step]
    adds: str


def ladder_names() -> list[str]:
    """Return the names of all ladders."""
    return sorted(path.stem for path in FOLDER.glob("*.cu"))


def climb(name: str, folder: Path = FOLDER, dtype: str = "float32") -> Ladder:
    """Run every step of a ladder under the checker, and return the counts.

    Args:
        name: of a file of `folder`, without ".cu".
        folder: where the file lies.
        dtype: the stored dtype, `real`: float16, float32 or float64.

    Raises:
        KernelError: there is no such ladder, or a step has no `step:` or `check:` line.
    """
    path = folder / f"{name}.cu"
    if not path.is_file():
        raise KernelError(f"there is no ladder {name!r}: expected one of {', '.join(ladder_names())}")
    adds = _ADDS.search(read_source(path))
    steps: list[Step] = []
    first: dict[str, np.ndarray[Any, Any]] = {}
    for sentence, case in _cases(path, dtype):
        report, counts = _run(case, dtype)
        results = _outputs(case)
        first = first or results
        steps.append(_step(sentence, case, report, counts, (_error(results, first), MOST_ERROR[dtype])))
    return Ladder(name, steps, adds[1] if adds else "")


def _cases(path: Path, dtype: str) -> Iterator[tuple[str, Case]]:
    """Yield sentence and launch of each step, then an empty sentence and the launch of the kernel in use."""
    text = read_source(path)
    lines = text.splitlines()
    for kernel, found in cases(path, dtype).items():
        line = signatures(path)[kernel].line
        above = [match[1] for match in map(_STEP.match, lines[:line]) if match]
        if not found or not above:
            raise KernelError(f"{path.name}:{line}: {kernel} needs a `step:` and a `check:` line above it")
        yield above[-1], found[0]
    in_use = _IN_USE.search(text)
    if in_use is not None:
        yield "", read_case(PACKAGE / in_use[1], path.name, in_use[2], in_use[3], dtype)


def _run(case: Case, dtype: str) -> tuple[CheckReport, list[int] | None]:
    """Run a launch under the checker; return the report and the counters of steps/number.cuh, if the file has them."""
    library = case.kernel.compiled("check", np.dtype(dtype).char)[1].library  # type: ignore[attr-defined]
    if not hasattr(library, "minisk_step_counters"):
        return examine(*case), None
    library.minisk_step_counters.restype = ctypes.POINTER(ctypes.c_ulonglong)
    counters = library.minisk_step_counters()
    counters[0] = counters[1] = 0
    report = examine(*case)
    return report, counters[:2]


def _outputs(case: Case) -> dict[str, np.ndarray[Any, Any]]:
    arguments = zip(case.kernel.signature.parameters, case.args, strict=True)
    return {p.name: array for p, array in arguments if p.is_array and not p.is_const}


def _error(results: dict[str, np.ndarray[Any, Any]], first: dict[str, np.ndarray[Any, Any]]) -> float:
    """Return the largest difference of the outputs that step 1 has; infinite if a result is NaN."""
    errors = [
        np.abs(results[name].astype("d") - array.astype("d")).max() / np.abs(array.astype("d")).max()
        for name, array in first.items()
    ]
    return float(np.nan_to_num(max(errors), nan=np.inf))


def _step(
    sentence: str, case: Case, report: CheckReport, counts: list[int] | None, errors: tuple[float, float]
) -> Step:
    shared = [site for site in report.sites if site.is_shared]
    globals_ = [site for site in report.sites if not site.is_shared]
    operations, exponentials = counts or (None, None)
    return Step(
        kernel=case.kernel.name,
        sentence=sentence or "The kernel in use.",
        is_in_use=not sentence,
        report=report,
        error=errors[0],
        most_error=errors[1],
        bytes=sum(site.block_bytes for site in globals_),
        requests=sum(site.requests for site in globals_),
        sectors=sum(site.transactions for site in globals_),
        wavefronts=sum(site.transactions for site in shared),
        operations=operations,
        exponentials=exponentials,
    )


def ladder_table(ladder: Ladder) -> str:
    """Return a ladder as text: the counts of each step, then a sentence for each."""
    row = "{:<24} {:>8} {:>8} {:>8} {:>10} {:>10} {:>6}  {}".format
    lines = [row(ladder.name, "bytes", "requests", "sectors", "wavefronts", "operations", "e^x", "verdict")]
    sentences = []
    for number, step in enumerate(ladder.steps, start=1):
        counted = ["-" if count is None else count for count in (step.operations, step.exponentials)]
        verdict = "clean, equals step 1" if step.is_proven else _mistake(step)
        name = f"{number} {step.kernel}"
        lines.append(row(name, step.bytes, step.requests, step.sectors, step.wavefronts, *counted, verdict))
        sentences.append(f"{number}  {step.sentence}" + (f" It adds {ladder.adds}" if step.is_in_use else ""))
    if not ladder.steps[-1].is_in_use:
        sentences.append(f"   In use: {ladder.adds}")
    return "\n".join([*lines, "", *sentences])


def _mistake(step: Step) -> str:
    return str(step.report.findings[0]) if not step.report.ok else f"differs from step 1 by {step.error:.1e}"

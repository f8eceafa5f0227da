"""Try what ANY_BLOCK promises: that a kernel gives the same results with one thread a block, as mode `cpu` runs it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..errors import KernelError
from ..runtime import BuildError, launch
from ..runtime.cpu import agree
from ..runtime.findings import CheckReport, Finding
from ..runtime.memory import copy_arrays
from ..runtime.mode import in_mode
from .cases import Case


def with_promise(report: CheckReport, case: Case, before: Case) -> CheckReport:
    """Return a report with a finding if the kernel breaks the promise of ANY_BLOCK.

    Args:
        report: of the checked launch at its true block size.
        case: what it was launched with; its arrays hold the results.
        before: a copy of the case from before that launch.
    """
    if not case.kernel.signature.any_block or not report.ok:
        return report
    copies, args = copy_arrays(before.args)
    problem = _run(before, args)
    if problem is None:
        return report
    for copy in copies:
        if copy.overrun and not problem:
            name = case.kernel.signature.parameters[copy.members[0]].name
            problem = f"it writes {copy.overrun} the array {name}"
    for parameter, result, expected in zip(case.kernel.signature.parameters, args, case.args, strict=True):
        is_array = isinstance(result, np.ndarray) and isinstance(expected, np.ndarray)
        if is_array and not problem and not agree(result, expected, True):
            different = int((~np.isclose(result, expected, rtol=1e-3, equal_nan=True)).sum())
            problem = f"{different} of {result.size} elements of {parameter.name} differ"
    if not problem:
        return report
    place = f"{case.kernel.path.name}:{case.kernel.signature.line}"
    sentence = f"{place}: with one thread a block, as mode cpu runs it, {problem}: remove ANY_BLOCK"
    return report._replace(findings=[Finding("any block", sentence, 1, place)])


def copied(case: Case) -> Case:
    """Return a case with copies of its arrays."""
    return case._replace(args=tuple(arg.copy() if isinstance(arg, np.ndarray) else arg for arg in case.args))


def _run(case: Case, args: list[object]) -> str | None:
    """Run a case in mode `cpu`; return the error, "" if there was none, or None if it was not run.

    A text that refuses to be compiled for one thread, by a static_assert, promises nothing with these constants.
    """
    try:
        with in_mode("cpu"), _ended_by_ctrl_c():
            launch(case.kernel, case.grid, case.block, args, case.dynamic_shared)
    except BuildError:
        return None
    except KernelError as error:
        return str(error).removeprefix(f"{case.kernel.name}: ")
    return ""


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once: Python's own handler would wait for a loop that may never end here."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

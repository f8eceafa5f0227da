"""For exercises in CUDA: run the reader's kernel under the checker; say in one sentence what is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from minisk import KernelError
from minisk.runtime import Kernel, examine
from minisk.runtime.time_limit import STILL_RUNNING
from minisk.sanitizer import CheckReport

from .answers import Wrong

LONGEST_LAUNCH = 20.0  # seconds; the launches of the exercises take one or two


def examined(
    path: Path, name: str, grid: Any, block: Any, args: Sequence[Any], uninitialised: Collection[str] = ("out",)
) -> CheckReport:
    """Run a kernel of the reader once with every access checked, and return the report.

    Raises Wrong if there is no such kernel, if the compiler refuses it, or if the checker finds a mistake.
    """
    try:
        report = examine(Kernel(path, name), grid, block, args, uninitialised=uninitialised, timeout=LONGEST_LAUNCH)
    except KernelError as error:
        raise Wrong(refusal(str(error))) from None
    if not report.ok:
        raise Wrong(finding(report))
    return report


def refusal(message: str) -> str:
    """Return a compiler's first error, or another message, as one sentence."""
    first = re.search(r"([^/\s]+\.cu:\d+):\d+: error: (.*)", message)
    if first:
        return f"{first[1]}: the compiler says: {first[2]}."
    start = message.splitlines()[0].rstrip(".:")
    return f"{start}: is there a closing brace for each opening one?" if "does not compile" in start else f"{start}."


def finding(report: CheckReport) -> str:
    """Return the first finding of a report as one sentence."""
    first = report.findings[0]
    if STILL_RUNNING in first.sentence:
        place = first.sentence.split(STILL_RUNNING)[0].strip()
        return f"{place} still runs after {LONGEST_LAUNCH:g} seconds: does a loop there never end?"
    sentence, hint = re.sub(r" \(if that is meant, [^)]*\)", "", first.sentence), ""
    if first.kind == "uninitialised" and "reads the shared array" in first.sentence:
        hint = ", so no thread has written it, or no barrier stands between"
    return f"The checker finds a mistake of the kind {first.kind!r}: {sentence}{hint}."


def sectors(report: CheckReport, array: str | None = None) -> int:
    """Return the sectors that a launch moved, of all arrays or of one."""
    return sum(site.transactions for site in report.sites if not site.is_shared and array in (None, site.array))


def least_sectors(report: CheckReport) -> int:
    """Return the least possible number of sectors for the same requests."""
    return sum(site.least for site in report.sites if not site.is_shared)


def wavefronts(report: CheckReport) -> tuple[int, int]:
    """Return the wavefronts of shared memory, and the least possible number for the same requests."""
    shared = [site for site in report.sites if site.is_shared]
    return sum(site.transactions for site in shared), sum(site.least for site in shared)

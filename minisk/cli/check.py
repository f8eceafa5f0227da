"""`minisk check`: run CUDA kernels on the CPU with every memory access instrumented, and print what is wrong."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import KernelError
from ..sanitizer import (
    CheckReport,
    FileResult,
    GpuReport,
    KernelCheck,
    as_json,
    as_sarif,
    check_file,
    compile_file,
    costliest_site,
    counts_table,
    exit_status,
    own_kernel_files,
    request_picture,
)
from .signals import ended_by_ctrl_c
from .text import add_command

_STATUSES = "exit status: 0 no findings, 1 findings, 2 a file cannot be checked, 3 a kernel was not tried"


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = add_command(commands, "check", "find races, bad accesses and slow ones in CUDA kernels, without a GPU")
    parser.epilog = _STATUSES
    parser.add_argument(
        "files", nargs="+", help=".cu files with `check:` lines above their kernels, or `all`: minisk's own"
    )
    parser.add_argument("--kernel", help="check only this kernel")
    parser.add_argument(
        "--dtype", choices=["float16", "float32", "float64"], default="float32", help="the stored dtype, `real`"
    )
    parser.add_argument("--counts", action="store_true", help="print what the memory accesses of each line cost")
    parser.add_argument("--picture", action="store_true", help="draw the costliest request: lanes and addresses")
    parser.add_argument(
        "--gpu",
        type=int,
        nargs="?",
        const=80,
        choices=[75, 80, 86, 89, 90, 100, 120],
        help="also compile with NVRTC, by default for sm_80: what nvcc refuses, registers, spills, occupancy",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the results as JSON")
    form.add_argument("--sarif", action="store_true", help="print the results as SARIF, for code scanning")
    parser.set_defaults(run=run)


@ended_by_ctrl_c()
def run(arguments: argparse.Namespace) -> None:
    """Check the kernels of the files and print the results; the exit status is that of the worst one."""
    is_text = not (arguments.json or arguments.sarif)
    files = [str(path) for path in own_kernel_files()] if arguments.files == ["all"] else arguments.files
    results = [_check(file, arguments, is_text) for file in files]
    if arguments.json:
        print(as_json(results))
    elif arguments.sarif:
        print(as_sarif(results, __version__))
    else:
        _print_summary(results)
    status = exit_status(results)
    if status:
        sys.exit(status)


def _check(file: str, arguments: argparse.Namespace, is_text: bool) -> FileResult:
    checks: list[KernelCheck] = []
    gpu, error = None, ""
    try:
        for check in _checks(file, arguments):
            checks.append(check)
            if is_text:
                _print_check(check, arguments)
    except KernelError as problem:
        error = str(problem)
        if is_text:
            print(f"minisk check: {error}", file=sys.stderr)
    if arguments.gpu:
        gpu, error = _compile(file, arguments, error)
        if is_text and gpu:
            print(f"{Path(file).name} {gpu}")
    return FileResult(file, checks, gpu, error)


def _checks(file: str, arguments: argparse.Namespace) -> Iterator[KernelCheck]:
    return check_file(file, arguments.kernel, arguments.dtype)


def _compile(file: str, arguments: argparse.Namespace, error: str) -> tuple[GpuReport | None, str]:
    """Compile a file for a GPU; return the report and the first error."""
    try:
        return compile_file(file, arguments.dtype, arguments.gpu), error
    except KernelError as problem:
        return None, error or str(problem)


def _print_check(check: KernelCheck, arguments: argparse.Namespace) -> None:
    if check.not_tried:
        print(f"{check.place}: {check.kernel} was not tried: {check.not_tried}")
        if check.suggestion:
            print(f"    a guess, to correct: {check.suggestion}")
    for report in check.reports:
        _print_report(report, arguments.counts, arguments.picture)


def _print_report(report: CheckReport, counts: bool, picture: bool) -> None:
    print(report)
    if counts:
        print(counts_table(report))
    costliest = costliest_site(report)
    if picture and costliest is not None:
        print(request_picture(costliest))


def _print_summary(results: list[FileResult]) -> None:
    launches = sum(result.launches for result in results)
    problems = sum(check.problems for result in results for check in result.checks)
    print(f"launches checked: {launches}; with findings, or kernels not tried: {problems}")

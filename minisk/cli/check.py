"""`minisk check`: run CUDA kernels on the CPU with every memory access instrumented, and print what is wrong."""

import argparse
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import KernelError
from ..runtime.nvrtc import ARCHITECTURES
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
    host_code_left_out,
    own_kernel_files,
    request_picture,
)
from .text import add_command, show

_STATUSES = "exit status: 0 no findings, 1 findings, 2 a file cannot be checked, 3 a kernel was not tried"
_DEFAULT_ARCHITECTURE = 80
_STATUS_OF_CTRL_C = 130  # 128 + SIGINT, as a shell gives it


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = add_command(commands, "check", "find races, bad accesses and slow ones in CUDA kernels, without a GPU")
    parser.epilog = _STATUSES
    parser.add_argument(
        "files", nargs="*", help=".cu files with `check:` lines above their kernels, or `all`: minisk's own"
    )
    parser.add_argument("--kernel", help="check only this kernel")
    parser.add_argument(
        "--dtype", choices=["float16", "float32", "float64"], default="float32", help="the stored dtype, `real`"
    )
    parser.add_argument("--counts", action="store_true", help="print what the memory accesses of each line cost")
    parser.add_argument("--picture", action="store_true", help="draw the costliest request: lanes and addresses")
    parser.add_argument(
        "--gpu",
        type=_architecture_or_file,
        nargs="?",
        const=_DEFAULT_ARCHITECTURE,
        metavar="ARCHITECTURE",
        help="also compile with NVRTC, by default for sm_80: what nvcc refuses, registers, spills, occupancy",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60,
        metavar="SECONDS",
        help="end a launch that takes longer, as a finding (default: 60; 0: never)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the results as JSON")
    form.add_argument("--sarif", action="store_true", help="print the results as SARIF, for code scanning")
    parser.set_defaults(run=run)


def _architecture_or_file(text: str) -> int | str:
    """Return an architecture as a number; the name of a file, as in `--gpu FILE`, unchanged."""
    if not text.isdigit():
        return text
    if int(text) not in ARCHITECTURES:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(map(str, ARCHITECTURES))}, not {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, not {text!r}")
    return seconds


def run(arguments: argparse.Namespace) -> None:
    """Check the kernels of the files and print the results; the exit status is that of the worst one."""
    is_text = not (arguments.json or arguments.sarif)
    files = [str(path) for path in own_kernel_files()] if arguments.files == ["all"] else arguments.files
    if isinstance(arguments.gpu, str):
        files, arguments.gpu = [arguments.gpu, *files], _DEFAULT_ARCHITECTURE
    if not files:
        raise KernelError("expected at least one FILE.cu, or `all`")
    try:
        results = [_check(file, arguments, is_text) for file in files]
    except KeyboardInterrupt as interruption:
        print(f"minisk check: {str(interruption) or 'interrupted by Ctrl-C'}", file=sys.stderr)
        sys.exit(_STATUS_OF_CTRL_C)
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
    left_out: list[str] = []
    gpu, error, refusal = None, "", ""
    try:
        left_out = host_code_left_out(file)
        if is_text and left_out:
            show(f"{Path(file).name}: host code is left out: {', '.join(left_out)}")
        for check in _checks(file, arguments):
            checks.append(check)
            if is_text:
                _print_check(check, arguments)
    except KernelError as problem:
        error = str(problem)
        if is_text:
            print(f"minisk check: {error}", file=sys.stderr)
    if arguments.gpu:
        gpu, refusal = _compile(file, arguments)
        if is_text and gpu:
            show(f"{Path(file).name} {gpu}")
        if is_text and refusal and refusal != error:
            print(f"minisk check: {refusal}", file=sys.stderr)
    return FileResult(file, checks, gpu, error or refusal, left_out)


def _checks(file: str, arguments: argparse.Namespace) -> Iterator[KernelCheck]:
    return check_file(file, arguments.kernel, arguments.dtype, arguments.timeout or None)


def _compile(file: str, arguments: argparse.Namespace) -> tuple[GpuReport | None, str]:
    """Compile a file for a GPU; return the report, or why there is none."""
    try:
        return compile_file(file, arguments.dtype, arguments.gpu), ""
    except KernelError as problem:
        return None, str(problem)


def _print_check(check: KernelCheck, arguments: argparse.Namespace) -> None:
    if check.not_tried:
        show(f"{check.place}: {check.kernel} was not tried: {check.not_tried}")
        if check.suggestion:
            show(f"    a guess, to correct: {check.suggestion}")
    for report in check.reports:
        _print_report(report, arguments.counts, arguments.picture)


def _print_report(report: CheckReport, counts: bool, picture: bool) -> None:
    show(report)
    if counts:
        show(counts_table(report))
    costliest = costliest_site(report)
    if picture and costliest is not None:
        show(request_picture(costliest))


def _print_summary(results: list[FileResult]) -> None:
    launches = sum(result.launches for result in results)
    problems = sum(check.problems for result in results for check in result.checks)
    refused = sum(bool(result.error) for result in results)
    files = f"; files not checked: {refused}" if refused else ""
    print(f"launches checked: {launches}; with findings, or kernels not tried: {problems}{files}")

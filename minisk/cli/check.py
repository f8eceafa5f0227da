"""`minisk check`: run CUDA kernels on the CPU with every memory access instrumented, and print what is wrong."""

import argparse
import sys
from typing import Any

from ..sanitizer import CheckReport, check_file, costliest_site, counts_table, own_kernel_files, request_picture
from .signals import ended_by_ctrl_c


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("check", help="find races, bad accesses and slow ones in CUDA kernels, without a GPU")
    parser.add_argument("file", help="a .cu file with `check:` lines above its kernels, or `all` of minisk's own")
    parser.add_argument("--kernel", help="check only this kernel")
    parser.add_argument(
        "--dtype", choices=["float16", "float32", "float64"], default="float32", help="the stored dtype, `real`"
    )
    parser.add_argument("--counts", action="store_true", help="print what the memory accesses of each line cost")
    parser.add_argument("--picture", action="store_true", help="draw the costliest request: lanes and addresses")
    parser.set_defaults(run=run)


@ended_by_ctrl_c()
def run(arguments: argparse.Namespace) -> None:
    """Check the kernels and print a line for each launch; exit with status 1 if there are findings."""
    files = own_kernel_files() if arguments.file == "all" else [arguments.file]
    launches = problems = 0
    for file in files:
        for check in check_file(file, arguments.kernel, arguments.dtype):
            if not check.reports:
                print(f"{check.kernel}: not tried: no line `check: <<<grid, block>>> …` above it")
            for report in check.reports:
                _print_report(report, arguments.counts, arguments.picture)
            launches += len(check.reports)
            problems += check.problems
    print(f"launches checked: {launches}; with findings, or kernels not tried: {problems}")
    if problems or not launches:
        sys.exit(1)


def _print_report(report: CheckReport, counts: bool, picture: bool) -> None:
    print(report)
    if counts:
        print(counts_table(report))
    costliest = costliest_site(report)
    if picture and costliest is not None:
        print(request_picture(costliest))

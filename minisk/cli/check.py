"""`minisk check`: run CUDA kernels on the CPU with every access to memory watched, and say what is wrong with them."""

import argparse
import sys
from typing import Any

from ..runtime.launcher import examine
from ..runtime.signature import PACKAGE
from ..sanitizer.cases import cases


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("check", help="find races, bad accesses and slow ones in CUDA kernels, without a GPU")
    parser.add_argument("file", help="a .cu file with a `check:` line above its kernels, or `all` of minisk's own")
    parser.add_argument("--kernel", help="this one only")
    parser.add_argument("--dtype", choices=["float16", "float32", "float64"], default="float32", help="of `real`")
    parser.add_argument("--counts", action="store_true", help="print what the accesses of each line cost")
    parser.add_argument("--picture", action="store_true", help="draw the costliest request: lanes and addresses")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check, print a line for each launch, and end with status 1 if something was found."""
    files = sorted(PACKAGE.glob("*.cu")) if arguments.file == "all" else [arguments.file]
    bad = checked = 0
    for file in files:
        for name, found in cases(file, arguments.dtype).items():
            if arguments.kernel not in (None, name):
                continue
            reports = [examine(*case) for case in found]
            if not reports:
                print(f"{name}: not tried: no line `check: <<<grid, block>>> …` above it")
            for report in reports:
                print(report)
                if arguments.counts:
                    print(report.table())
                if arguments.picture and report.sites:
                    print(max(report.sites, key=lambda site: site.transactions / max(1, site.least)).picture())
            checked += len(reports)
            bad += not reports or sum(not report.ok for report in reports)
    print(f"launches checked: {checked}; with findings, or kernels not tried: {bad}")
    if bad or not checked:
        sys.exit(1)

"""`minisk check` as a library: run kernels with every memory access instrumented, and report mistakes and costs."""

from ..runtime.findings import CheckReport, Finding, Site
from .cases import Case, cases
from .check import KernelCheck, check_file, own_kernel_files
from .expressions import ExpressionError
from .report import costliest_site, counts_table, request_picture

__all__ = [
    "Case",
    "CheckReport",
    "ExpressionError",
    "Finding",
    "KernelCheck",
    "Site",
    "cases",
    "check_file",
    "costliest_site",
    "counts_table",
    "own_kernel_files",
    "request_picture",
]

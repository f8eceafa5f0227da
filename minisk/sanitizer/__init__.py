"""`minisk check` as a library: run kernels with every memory access instrumented, and report mistakes and costs."""

from ..runtime.findings import CheckReport, Finding, Site
from .cases import Case, cases
from .check import KernelCheck, check_file, host_code_left_out, own_kernel_files
from .expressions import ExpressionError
from .gpu import GpuReport, compile_file
from .ladder import Ladder, Step, climb, ladder_names, ladder_table
from .report import costliest_site, counts_table, request_picture
from .results import FileResult, as_json, as_sarif, exit_status

__all__ = [
    "Case",
    "CheckReport",
    "ExpressionError",
    "FileResult",
    "Finding",
    "GpuReport",
    "KernelCheck",
    "Ladder",
    "Site",
    "Step",
    "as_json",
    "as_sarif",
    "cases",
    "check_file",
    "climb",
    "compile_file",
    "costliest_site",
    "counts_table",
    "exit_status",
    "host_code_left_out",
    "ladder_names",
    "ladder_table",
    "own_kernel_files",
    "request_picture",
]

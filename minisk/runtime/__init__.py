"""Compile and launch CUDA kernels: on a GPU through CuPy, on a CPU through the system's C++ compiler."""

from .build import BuildError
from .checked import recorded_reports
from .launcher import Kernel, examine, launch
from .mode import in_mode, kernel_mode, kernels_in_use, launch_threads, vector_bytes, why_no_kernels

__all__ = ["BuildError", "Kernel", "examine", "in_mode", "kernel_mode", "kernels_in_use", "launch"]
__all__ += ["launch_threads", "recorded_reports", "vector_bytes", "why_no_kernels"]

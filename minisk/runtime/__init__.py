"""Compile and launch CUDA kernels: on a GPU through CuPy, on a CPU through the system's C++ compiler."""

from .build import BuildError
from .launcher import Kernel, examine, launch
from .mode import kernel_mode, kernels_in_use, why_no_kernels

__all__ = ["BuildError", "Kernel", "examine", "kernel_mode", "kernels_in_use", "launch", "why_no_kernels"]

"""`minisk check` as a library: try kernels with every memory access watched, and report what was found."""

from .cases import Case, cases

__all__ = ["Case", "cases"]

"""Attention modules that go into a bottleneck."""

from .selective_kernel import DEFAULT_BRANCHES, Branch, Branches, SKConv

__all__ = ["DEFAULT_BRANCHES", "Branch", "Branches", "SKConv"]

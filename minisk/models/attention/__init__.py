"""Attention blocks that go into a bottleneck."""

from .selective_kernel import Bottleneck, Branch, SKConv, SKUnit

__all__ = ["Bottleneck", "Branch", "SKConv", "SKUnit"]

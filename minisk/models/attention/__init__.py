"""Attention modules that go into a bottleneck, or between the stages of a network."""

from .bam import BAM
from .cbam import CBAM
from .selective_kernel import DEFAULT_BRANCHES, Branch, Branches, SKConv
from .squeeze_excitation import SqueezeExcitation

__all__ = ["BAM", "CBAM", "DEFAULT_BRANCHES", "Branch", "Branches", "SKConv", "SqueezeExcitation"]

"""The ablations of the SKNet paper on the skeleton of `sknet_small`: variants that differ in one choice each.

Widths, groups and the number of branches follow sknet_small (576 thousand parameters) unless a variant says otherwise.
Source: Li et al., *Selective Kernel Networks*, CVPR 2019, section 4.3 and tables 6 to 8, for the questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..autograd import Tensor
from ..nn import BatchNorm2d, Conv2d, Module, ModuleList, conv_norm
from .attention import Branch, SKConv
from .residual import BN_MOMENTUM, Bottleneck, ResidualNet, Stage, cifar_stem


@dataclass(frozen=True)
class Variant:
    """One network of a study.

    Args:
        name: in tables and folders.
        kernels: (kernel, dilation) of each branch.
        channels_per_group: of every branch.
        r, L: of the fuse step, d = max(C / r, L).
        select: weight the branches by attention; otherwise their mean is taken, without a fuse step.
        width: inner channels of the first stage; the second and third have two and four times as many.
    """

    name: str
    kernels: tuple[tuple[int, int], ...] = ((3, 1), (3, 2))
    channels_per_group: int = 16
    r: int = 16
    L: int = 32
    select: bool = True
    width: int = 48

    def network(self, num_classes: int) -> ResidualNet:
        """Return the network, with random weights, for images of 32 pixels or more."""
        stages = (Stage(self.width, 96, 1, 1), Stage(2 * self.width, 192, 2, 2), Stage(4 * self.width, 256, 2, 2))
        return ResidualNet(cifar_stem(32, stride=2), 32, stages, self._unit, num_classes)

    def _unit(self, in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        groups = width // self.channels_per_group
        branches = [Branch(kernel, dilation, groups) for kernel, dilation in self.kernels]
        middle = SKConv(width, branches, self.r, self.L, stride) if self.select else BranchMean(width, branches, stride)
        return Bottleneck(in_channels, width, out_channels, middle, stride, project)


class BranchMean(Module):
    """The mean of convolutions with batch norm and ReLU: a selective kernel without its fuse and select steps.

    (N, C, H, W) → (N, C, H / stride, W / stride). With one branch it is an ordinary convolution.

    Args:
        channels: C.
        branches: of the mean.
        stride: of every branch.
    """

    def __init__(self, channels: int, branches: Sequence[Branch], stride: int = 1) -> None:
        self.convs, self.norms = ModuleList(), ModuleList()
        for kernel, dilation, groups in branches:
            padding = dilation * (kernel // 2)
            self.convs.append(Conv2d(channels, channels, kernel, stride, padding, dilation, groups, bias=False))
            self.norms.append(BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = [conv_norm(conv, norm, x) for conv, norm in zip(self.convs, self.norms, strict=True)]
        for feature in others:
            first = first + feature
        return first / (1 + len(others)) if others else first


SKNET_SMALL = Variant("3x3 and 3x3 dilation 2")

# The first variant of a study is sknet_small.
STUDIES: dict[str, tuple[Variant, ...]] = {
    "branches": (
        SKNET_SMALL,
        Variant("one branch", kernels=((3, 1),), select=False),
        Variant("three branches", kernels=((3, 1), (3, 2), (3, 3))),
    ),
    "dilation": (
        SKNET_SMALL,
        Variant("3x3 and 5x5", kernels=((3, 1), (5, 1))),
        Variant("3x3 and 5x5 of half the group width", kernels=((3, 1), (5, 1)), channels_per_group=8),
    ),
    "groups": (
        SKNET_SMALL,
        Variant("8 channels a group", channels_per_group=8),
        Variant("24 channels a group", channels_per_group=24),
        Variant("48 channels a group", channels_per_group=48),
    ),
    # With L = 32, r = 16 changes nothing: C is 48 to 192, so d = max(C / r, L) = 32 throughout.
    "r": (SKNET_SMALL, Variant("r 8, L 4", r=8, L=4), Variant("r 16, L 4", r=16, L=4), Variant("r 48, L 4", r=48, L=4)),
    "L": (SKNET_SMALL, Variant("L 8", L=8), Variant("L 16", L=16), Variant("L 64", L=64)),
    "select": (SKNET_SMALL, Variant("mean of the branches", select=False)),
    # 571,542 and 575,854 parameters; sknet_small has 575,882.
    "one-kernel": (
        SKNET_SMALL,
        Variant("one 3x3", kernels=((3, 1),), channels_per_group=46, select=False, width=46),
        Variant("one 5x5", kernels=((5, 1),), channels_per_group=13, select=False, width=52),
    ),
}

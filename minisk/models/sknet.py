"""SKNet: residual networks whose bottlenecks contain a selective kernel.

    x ─┬─ 1×1 ─ BN ─ ReLU ─ SKConv ─ 1×1 ─ BN ─ + ─ ReLU ─
       └─ shortcut ──────────────────────────┘

For ImageNet (26, 50, 101), for CIFAR (29), and a small one for CIFAR on a CPU.
Source: Li et al., *Selective Kernel Networks*, CVPR 2019, table 1 and section 4.2, and the authors' model files
(github.com/implus/SKNet).
"""

from collections.abc import Sequence
from functools import partial

from ..nn import Module
from .attention import DEFAULT_BRANCHES, Branch, Branches, SKConv
from .residual import CIFAR_STAGES, Bottleneck, ResidualNet, Stage, cifar_stem, imagenet_stages, imagenet_stem


class SKUnit(Bottleneck):
    """A bottleneck whose middle is an SKConv; the stride is that of the branches.

    Args:
        in_channels, width, out_channels, stride, project: as of Bottleneck.
        branches, r, L: as of SKConv.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int = 1,
        project: bool = False,
        branches: Branches = DEFAULT_BRANCHES,
        r: int = 16,
        L: int = 32,
    ) -> None:
        middle = SKConv(width, branches, r, L, stride)
        super().__init__(in_channels, width, out_channels, middle, stride, project)


def sknet26(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """Return SKNet-26 for ImageNet: 2, 2, 2, 2 units; 16.7 M parameters, 2.59 G multiply-adds at 224 pixels."""
    return _imagenet_sknet((2, 2, 2, 2), num_classes, branches, r, L, caffe_pool)


def sknet50(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """Return SKNet-50 for ImageNet: 3, 4, 6, 3 units; 27.5 M parameters, 4.47 G multiply-adds at 224 pixels."""
    return _imagenet_sknet((3, 4, 6, 3), num_classes, branches, r, L, caffe_pool)


def sknet101(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """Return SKNet-101 for ImageNet: 3, 4, 23, 3 units; 48.7 M parameters, 8.46 G multiply-adds at 224 pixels."""
    return _imagenet_sknet((3, 4, 23, 3), num_classes, branches, r, L, caffe_pool)


def _imagenet_sknet(
    units: Sequence[int], num_classes: int, branches: Branches, r: int, L: int, caffe_pool: bool
) -> ResidualNet:
    unit = partial(SKUnit, branches=branches, r=r, L=L)
    return ResidualNet(imagenet_stem(caffe_pool), 64, imagenet_stages(units), unit, num_classes)


def sknet29(num_classes: int = 10, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32) -> ResidualNet:
    """Return SKNet-29 for CIFAR: three stages of 3 units; 28.3 M parameters, 4.03 G multiply-adds at 32 pixels.

    The authors' groups are not published. branches=[(3, 1, 64), (5, 1, 64)] gives the 27.7 M that they report.
    """
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, partial(SKUnit, branches=branches, r=r, L=L), num_classes)


SMALL_STAGES = (Stage(48, 96, 1, 1), Stage(96, 192, 2, 2), Stage(192, 256, 2, 2))


def sknet_small(num_classes: int = 10, channels_per_group: int = 16) -> ResidualNet:
    """Return a small SKNet for CIFAR on a CPU: five units, 0.58 M parameters, 24.1 M multiply-adds at 32 pixels.

    The stem halves the image: on a CPU, memory traffic takes as long as arithmetic, and 16×16 pixels need a quarter
    of both.
    """

    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        groups = width // channels_per_group
        branches = (Branch(3, 1, groups), Branch(3, 2, groups))
        return SKUnit(in_channels, width, out_channels, stride, project, branches)

    return ResidualNet(cifar_stem(32, stride=2), 32, SMALL_STAGES, unit, num_classes)

"""SKNet for ImageNet (26, 50, 101), for CIFAR (29), and a small one for CIFAR on a CPU.

Source: Li et al., *Selective Kernel Networks*, CVPR 2019, table 1 and section 4.2, and the authors' model files.
"""

from collections.abc import Sequence
from functools import partial

from ..nn import Branch, Module, SKUnit
from ..nn.selective_kernel import DEFAULT_BRANCHES
from .residual import CIFAR_STAGES, ResidualNet, Stage, cifar_stem, imagenet_stages, imagenet_stem

Branches = Sequence[tuple[int, int, int]]


def _imagenet(
    blocks: Sequence[int], num_classes: int, branches: Branches, r: int, L: int, caffe_pool: bool
) -> ResidualNet:
    unit = partial(SKUnit, branches=branches, r=r, L=L)
    return ResidualNet(imagenet_stem(caffe_pool), 64, imagenet_stages(blocks), unit, num_classes)


def sknet26(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-26 for ImageNet: 2, 2, 2, 2 units; 16.7 M parameters, 2.59 G multiply-adds at 224 pixels."""
    return _imagenet((2, 2, 2, 2), num_classes, branches, r, L, caffe_pool)


def sknet50(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-50 for ImageNet: 3, 4, 6, 3 units; 27.5 M parameters, 4.47 G multiply-adds at 224 pixels."""
    return _imagenet((3, 4, 6, 3), num_classes, branches, r, L, caffe_pool)


def sknet101(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-101 for ImageNet: 3, 4, 23, 3 units; 48.7 M parameters, 8.46 G multiply-adds at 224 pixels."""
    return _imagenet((3, 4, 23, 3), num_classes, branches, r, L, caffe_pool)


def sknet29(num_classes: int = 10, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32) -> ResidualNet:
    """SKNet-29 for CIFAR: three stages of 3 units; 28.3 M parameters, 4.03 G multiply-adds at 32 pixels.

    The authors' groups are not published. branches=[(3, 1, 64), (5, 1, 64)] gives the 27.7 M they report.
    """
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, partial(SKUnit, branches=branches, r=r, L=L), num_classes)


SMALL_STAGES = (Stage(48, 96, 1, 1), Stage(96, 192, 2, 2), Stage(192, 256, 2, 2))


def sknet_small(num_classes: int = 10, channels_per_group: int = 16) -> ResidualNet:
    """A small SKNet for CIFAR on a CPU: five units, 0.51 M parameters, 24.1 M multiply-adds at 32 pixels.

    The stem halves the image at once: on a CPU, passes over memory cost as much as arithmetic, and at 16×16 pixels
    there is a quarter of either.
    """

    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        groups = width // channels_per_group
        branches = (Branch(3, 1, groups), Branch(3, 2, groups))
        return SKUnit(in_channels, width, out_channels, stride, project, branches)

    return ResidualNet(cifar_stem(32, stride=2), 32, SMALL_STAGES, unit, num_classes)

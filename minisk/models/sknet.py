"""SKNet for ImageNet (26, 50, 101), for CIFAR (29), and a small one for CIFAR on a CPU; and ResNeXt.

All share one shape: a stem, stages of bottleneck units, the mean of each plane, a classifier. ResNeXt is the plainest,
and the network SKNet starts from: its units have one grouped convolution in the middle.
Sources: Li et al., *Selective Kernel Networks*, CVPR 2019, table 1 and section 4.2, and the authors' model files;
Xie et al., *Aggregated Residual Transformations*, CVPR 2017, 32×4d for ImageNet, as SKNet's tables compare.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from .. import ops
from ..autograd.tensor import Tensor
from ..nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Sequential, init, recompute
from .attention.selective_kernel import BN_MOMENTUM, DEFAULT_BRANCHES, Bottleneck, Branch, SKUnit

# (in_channels, width, out_channels, stride, project) → unit
UnitFactory = Callable[[int, int, int, int, bool], Module]
Branches = Sequence[tuple[int, int, int]]


class Stage(NamedTuple):
    """Units of one resolution: inner width D, output channels, how many, and the first one's stride."""

    width: int
    out: int
    units: int
    stride: int


class ResidualNet(Module):
    """(N, 3, H, W) → (N, num_classes) logits.

    stem: a module 3 → stem_channels; stages: see Stage; unit: makes one unit. The first unit of every stage has a
    projection as its shortcut, the others the identity.
    recompute: in training, keep only what goes between units, and run each again in backward (`nn.recompute`). But for
    the last stage, which backward comes to first: what it keeps is gone when the larger planes are computed again.
    """

    recompute = False

    def __init__(
        self, stem: Module, stem_channels: int, stages: Sequence[Stage], unit: UnitFactory, num_classes: int
    ) -> None:
        self.stem = stem
        channels = stem_channels
        self.stages = Sequential()
        for stage in stages:
            units = Sequential()
            for i in range(stage.units):
                units.append(unit(channels, stage.width, stage.out, stage.stride if i == 0 else 1, i == 0))
                channels = stage.out
            self.stages.append(units)
        self.classifier = Linear(channels, num_classes)
        init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        *early, last = self.stages
        for part in (self.stem, *(unit for stage in early for _, unit in stage.children())):
            x = recompute(part, x) if self.recompute and self.training else part(x)
        return self.classifier(ops.global_avg_pool2d(last(x)))


def cifar_stem(channels: int = 64, stride: int = 1) -> Sequential:
    """3×3 convolution, batch norm, ReLU: 32 pixels stay 32, or become 16 with a stride of 2."""
    norm = BatchNorm2d(channels, momentum=BN_MOMENTUM, relu=True)
    return Sequential(Conv2d(3, channels, 3, stride, padding=1, bias=False), norm)


def imagenet_stem(caffe_pool: bool = False) -> Sequential:
    """7×7 convolution of stride 2, batch norm, ReLU, 3×3 max pool of stride 2: 224 pixels become 56.

    caffe_pool: pool without padding in ceil mode, as the authors' Caffe graph; every port pads by 1.
    """
    pool = MaxPool2d(3, 2, ceil_mode=True) if caffe_pool else MaxPool2d(3, 2, padding=1)
    norm = BatchNorm2d(64, momentum=BN_MOMENTUM, relu=True)
    return Sequential(Conv2d(3, 64, 7, 2, padding=3, bias=False), norm, pool)


def imagenet_stages(blocks: Sequence[int], widths: Sequence[int] = (128, 256, 512, 1024)) -> list[Stage]:
    """Four stages whose output is twice their width; all but the first halve the image."""
    return [
        Stage(width, 2 * width, units, 1 if i == 0 else 2)
        for i, (width, units) in enumerate(zip(widths, blocks, strict=True))
    ]


CIFAR_STAGES = (Stage(512, 256, 3, 1), Stage(1024, 512, 3, 2), Stage(2048, 1024, 3, 2))


def _grouped_units(groups: int) -> UnitFactory:
    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        middle = Sequential(
            Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False),
            BatchNorm2d(width, momentum=BN_MOMENTUM, relu=True),
        )
        return Bottleneck(in_channels, width, out_channels, middle, stride, project)

    return unit


def resnext50(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """ResNeXt-50 32×4d for ImageNet: 25.0 M parameters, 4.23 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3)), _grouped_units(groups), num_classes)


def resnext101(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """ResNeXt-101 32×4d for ImageNet: 44.2 M parameters, 7.97 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 23, 3)), _grouped_units(groups), num_classes)


def resnext29(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """ResNeXt-29 16×32d for CIFAR, the baseline of SKNet's table 4."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, _grouped_units(groups), num_classes)


def _sknet(
    blocks: Sequence[int], num_classes: int, branches: Branches, r: int, L: int, caffe_pool: bool
) -> ResidualNet:
    unit = partial(SKUnit, branches=branches, r=r, L=L)
    return ResidualNet(imagenet_stem(caffe_pool), 64, imagenet_stages(blocks), unit, num_classes)


def sknet26(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-26 for ImageNet: 2, 2, 2, 2 units; 16.7 M parameters, 2.59 G multiply-adds at 224 pixels."""
    return _sknet((2, 2, 2, 2), num_classes, branches, r, L, caffe_pool)


def sknet50(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-50 for ImageNet: 3, 4, 6, 3 units; 27.5 M parameters, 4.47 G multiply-adds at 224 pixels."""
    return _sknet((3, 4, 6, 3), num_classes, branches, r, L, caffe_pool)


def sknet101(
    num_classes: int = 1000, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32, caffe_pool: bool = False
) -> ResidualNet:
    """SKNet-101 for ImageNet: 3, 4, 23, 3 units; 48.7 M parameters, 8.46 G multiply-adds at 224 pixels."""
    return _sknet((3, 4, 23, 3), num_classes, branches, r, L, caffe_pool)


def sknet29(num_classes: int = 10, branches: Branches = DEFAULT_BRANCHES, r: int = 16, L: int = 32) -> ResidualNet:
    """SKNet-29 for CIFAR: three stages of 3 units; 28.3 M parameters, 4.03 G multiply-adds at 32 pixels.

    The authors' groups are not published. branches=[(3, 1, 64), (5, 1, 64)] gives the 27.7 M they report.
    """
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, partial(SKUnit, branches=branches, r=r, L=L), num_classes)


SMALL_STAGES = (Stage(48, 96, 1, 1), Stage(96, 192, 2, 2), Stage(192, 256, 2, 2))


def sknet_small(num_classes: int = 10, channels_per_group: int = 16) -> ResidualNet:
    """A small SKNet for CIFAR on a CPU: five units, 0.58 M parameters, 24.1 M multiply-adds at 32 pixels.

    The stem halves the image at once: on a CPU, passes over memory cost as much as arithmetic, and at 16×16 pixels
    there is a quarter of either.
    """

    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> Module:
        groups = width // channels_per_group
        branches = (Branch(3, 1, groups), Branch(3, 2, groups))
        return SKUnit(in_channels, width, out_channels, stride, project, branches)

    return ResidualNet(cifar_stem(32, stride=2), 32, SMALL_STAGES, unit, num_classes)

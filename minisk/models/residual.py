"""The shape all models here share: a stem, stages of bottleneck units, the mean of each plane, a classifier.

ResNeXt is the plainest, and the network SKNet starts from: its units have one grouped convolution in the middle.
Source: Xie et al., *Aggregated Residual Transformations*, CVPR 2017; 32×4d for ImageNet, as SKNet's tables compare.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .. import ops
from ..nn import BatchNorm2d, Bottleneck, Conv2d, Linear, MaxPool2d, Module, Sequential, init
from ..nn.selective_kernel import BN_MOMENTUM
from ..tensor import Tensor

# (in_channels, width, out_channels, stride, project) → unit
UnitFactory = Callable[[int, int, int, int, bool], Module]


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
    """

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
        return self.classifier(ops.global_avg_pool2d(self.stages(self.stem(x))))


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


def _imagenet(blocks: Sequence[int], num_classes: int, groups: int) -> ResidualNet:
    return ResidualNet(imagenet_stem(), 64, imagenet_stages(blocks), _grouped_units(groups), num_classes)


def resnext50(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """ResNeXt-50 32×4d for ImageNet: 25.0 M parameters, 4.23 G multiply-adds at 224 pixels."""
    return _imagenet((3, 4, 6, 3), num_classes, groups)


def resnext101(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """ResNeXt-101 32×4d for ImageNet: 44.2 M parameters, 7.97 G multiply-adds at 224 pixels."""
    return _imagenet((3, 4, 23, 3), num_classes, groups)


def resnext29(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """ResNeXt-29 16×32d for CIFAR, the baseline of SKNet's table 4."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, _grouped_units(groups), num_classes)

"""ResNeXt, the network SKNet starts from: the same units with one grouped convolution in the middle.

Source: Xie et al., *Aggregated Residual Transformations*, CVPR 2017; 32×4d for ImageNet, as SKNet's tables compare.
"""

from collections.abc import Sequence

from ..nn import BatchNorm2d, Bottleneck, Conv2d, Module, Sequential
from ..nn.selective_kernel import BN_MOMENTUM
from .residual import CIFAR_STAGES, ResidualNet, UnitFactory, cifar_stem, imagenet_stages, imagenet_stem


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

"""ResNeXt: bottlenecks whose middle is one grouped 3×3 convolution. SKNet replaces it with a selective kernel.

    x ─┬─ 1×1 ─ BN ─ ReLU ─ 3×3 in groups ─ BN ─ ReLU ─ 1×1 ─ BN ─ + ─ ReLU ─
       └─ shortcut ────────────────────────────────────────────────┘

Source: Xie et al., *Aggregated Residual Transformations*, CVPR 2017; 32×4d, as in the tables of the SKNet paper.
"""

from .residual import CIFAR_STAGES, ResidualNet, cifar_stem, grouped_units, imagenet_stages, imagenet_stem


def resnext50(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """Return ResNeXt-50 32×4d for ImageNet: 25.0 M parameters, 4.23 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 6, 3)), grouped_units(groups), num_classes)


def resnext101(num_classes: int = 1000, groups: int = 32) -> ResidualNet:
    """Return ResNeXt-101 32×4d for ImageNet: 44.2 M parameters, 7.97 G multiply-adds at 224 pixels."""
    return ResidualNet(imagenet_stem(), 64, imagenet_stages((3, 4, 23, 3)), grouped_units(groups), num_classes)


def resnext29(num_classes: int = 10, groups: int = 16) -> ResidualNet:
    """Return ResNeXt-29 16×32d for CIFAR, the baseline of table 4 in the SKNet paper."""
    return ResidualNet(cifar_stem(), 64, CIFAR_STAGES, grouped_units(groups), num_classes)
